"""Both ends of an xfer connection in memory, with a line between them that can cut, flip and stall."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.plugin import plugin
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.host import FixedRandom, MemoryHost

#: More turns than any test needs: a line that never falls silent is a failure, not a hang.
MAX_TURNS = 200_000


@implementer(ITransport, IPushProducer)
class End:
    """One end of the line; what is written waits until it is pumped to the other."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.out = bytearray()
        self.written = 0
        self.protocol: Any = None
        self.producer: Any = None
        self.paused = False
        self.closing = False
        self.connected = True
        self.high = 64 * 1024
        self.told_full = False

    def write(self, data: bytes) -> None:
        if self.closing:
            return
        self.out += data
        self.written += len(data)
        if self.producer is not None and len(self.out) > self.high and not self.told_full:
            self.told_full = True
            self.producer.pauseProducing()

    def writeSequence(self, pieces: Any) -> None:
        self.write(b"".join(bytes(piece) for piece in pieces))

    def drained(self) -> None:
        if self.told_full and len(self.out) <= self.high:
            self.told_full = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.closing = True
        self.out.clear()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.closing = True

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.address, 1)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 5001)

    def getHandle(self) -> object:
        return None

    def lost(self, reason: type[Exception]) -> None:
        if self.connected:
            self.connected = False
            self.closing = True
            self.protocol.connectionLost(Failure(reason()))


@attrs.define
class Line:
    """A connection. ``cut_after`` bytes to the listener it dies; bit ``flip_at`` of the way there is wrong."""

    caller: End
    listener: End
    chunk: int = 65536
    cut_after: int | None = None
    flip_at: int | None = None
    tap: Callable[[bytes], bytes] | None = None
    carried: int = 0

    def turn(self) -> bool:
        """Carry something; False when there is nothing to carry."""
        moved = self._carry(self.caller, self.listener, forth=True)
        moved = self._carry(self.listener, self.caller, forth=False) or moved
        for one, other in ((self.caller, self.listener), (self.listener, self.caller)):
            if one.closing and one.connected and not one.out:
                one.lost(ConnectionDone)
                if not other.out or other.closing or not one.connected:
                    other.out.clear()
                    other.lost(ConnectionDone)
                return True
        return moved

    def _carry(self, source: End, sink: End, *, forth: bool) -> bool:
        if not source.out or sink.paused or not sink.connected:
            return False
        data = bytes(source.out[: self.chunk])
        if forth:
            if self.cut_after is not None and self.carried + len(data) >= self.cut_after:
                data = data[: self.cut_after - self.carried]
                if data:
                    self.carried += len(data)
                    sink.protocol.dataReceived(data)
                self.cut()
                return True
            if self.flip_at is not None and self.carried <= self.flip_at < self.carried + len(data):
                broken = bytearray(data)
                broken[self.flip_at - self.carried] ^= 1
                data = bytes(broken)
                del source.out[: len(data)]
                self.carried += len(data)
                sink.protocol.dataReceived(data)
                source.drained()
                return True
            self.carried += len(data)
        del source.out[: len(data)]
        sink.protocol.dataReceived(data)
        source.drained()
        return True

    def cut(self) -> None:
        """Both ends lose the connection, with all that was under way."""
        for end in (self.caller, self.listener):
            end.out.clear()
            end.lost(ConnectionLost)


class Net:
    """Dials a factory in memory; ``lines`` holds every connection, ``plan`` changes the next ones."""

    def __init__(self, host: MemoryHost, options: XferOptions | None = None, peer: str = "127.0.0.1") -> None:
        self.host = host
        self.factory = plugin.stream_factory(options or XferOptions(), host)
        self.peer = peer
        self.lines: list[Line] = []
        self.plan: list[dict[str, Any]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        """As an endpoint does."""
        caller, listener = End("127.0.0.1"), End(self.peer)
        caller.protocol = factory.buildProtocol(None)
        listener.protocol = self.factory.buildProtocol(None)
        line = Line(caller, listener, **(self.plan.pop(0) if self.plan else {}))
        self.lines.append(line)
        listener.protocol.makeConnection(listener)
        caller.protocol.makeConnection(caller)
        return succeed(caller.protocol)

    def pump(self, until: Callable[[], bool] = lambda: False, seconds: float = 0.0) -> None:
        """Carry bytes until nothing moves, letting ``seconds`` pass in steps of one while nothing does."""
        left = seconds
        for _ in range(MAX_TURNS):
            if until():
                return
            if sum(line.turn() for line in self.lines):
                continue
            if left <= 0:
                return
            left -= 1
            self.host.clock.advance(1)
        raise AssertionError("the line never falls silent")

    def raw(self) -> Line:
        """A line whose caller is a protocol that only records."""
        recorder = Recorder()
        caller, listener = End("127.0.0.1"), End(self.peer)
        caller.protocol, listener.protocol = recorder, self.factory.buildProtocol(None)
        line = Line(caller, listener)
        self.lines.append(line)
        listener.protocol.makeConnection(listener)
        return line

    # --- the library over it ---------------------------------------------------------------------

    def work(self, **changes: Any) -> client.Work:
        return client.Work(blocking=InlineBlocking(), endpoint=self, random=FixedRandom(b"caller"), **changes)

    def run(self, started: Deferred[Any], seconds: float = 600.0) -> Any:
        """The outcome of a client call: its value, or the error it failed with."""
        got: list[Any] = []
        started.addBoth(got.append)
        self.pump(lambda: bool(got), seconds)
        self.pump()
        if not got:
            raise AssertionError("no outcome")
        return got[0].value if isinstance(got[0], Failure) else got[0]

    def send(
        self, paths: Any, path: bytes = b"", login: Any = None, on_event: Any = None, **changes: Any
    ) -> Any:
        paths = [os.fsencode(one) for one in paths]
        target = client.Target("memory", path=path)
        started = client.send(
            self.host.clock,
            paths,
            target,
            login or ALICE,
            self.work(**changes),
            on_event or (lambda _e: None),
        )
        return self.run(started)

    def get(self, path: bytes, into: Any, login: Any = None, **changes: Any) -> Any:
        started = client.get(
            self.host.clock,
            client.Target("memory", path=path),
            login or ALICE,
            LocalStorage(os.fspath(into)),
            work=self.work(**changes),
        )
        return self.run(started)

    def close_clean(self) -> None:
        """Nothing may be left when all connections are gone."""
        for line in self.lines:
            line.cut()
        assert self.host.limits.held == 0, self.host.limits
        assert not self.host.later(), self.host.later()


class Recorder:
    """A protocol of a hostile peer: sends nothing by itself."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any) -> None:
        self.lost = True


ALICE = client.Login(username="alice", password="secret", plain=True)


def local_net(root: Any, options: XferOptions | None = None, **host: Any) -> Net:
    """A net over a directory of this machine; alice's home is ``root``/alice."""
    os.makedirs(os.path.join(root, "alice"), exist_ok=True)
    return Net(MemoryHost({"alice": "secret"}, storage=_Homes(os.fspath(root)), **host), options)


class _Homes(LocalStorage):
    """Homes are ``/NAME`` for the memory host; here they are below the root."""

    def view(self, home: str, *, owner: str, create: bool = False) -> LocalStorage:
        return super().view(home.lstrip("/"), owner=owner, create=create)
