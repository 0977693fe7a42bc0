"""The reactor: events and timed calls reach who they are for, and trouble stays with who has it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import abstract, main
from twisted.logger import globalLogPublisher

from twisted_xfer.runtime.reactor import XferReactor


class Reader(abstract.FileDescriptor):
    """Notes what the reactor tells it."""

    def __init__(self, reactor: Any, does: Any = None) -> None:
        super().__init__(reactor)
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.told: list[Any] = []
        self._does = does
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        return self.ours.fileno()

    def doRead(self) -> Any:
        data = self.ours.recv(100)
        self.told.append(data)
        if self._does is not None:
            self._does()
        return None if data else main.CONNECTION_DONE

    def doWrite(self) -> Any:
        self.told.append("writable")
        self.stopWriting()

    def connectionLost(self, reason: Any) -> None:
        self.told.append(reason.type.__name__)
        super().connectionLost(reason)

    def close(self) -> None:
        """Let both ends go."""
        if self.ours.fileno() >= 0:
            self.stopReading()
            self.stopWriting()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def reactor() -> Iterator[XferReactor]:
    """One that is not installed."""
    reactor = XferReactor()
    yield reactor
    for descriptor in reactor.removeAll():
        descriptor.ours.close()
        descriptor.theirs.close()
    for internal in list(reactor._internalReaders):
        internal.connectionLost(None)
    reactor._poller.close()


def test_events_are_told(reactor):
    """Readable, writable, and the end."""
    one = Reader(reactor)
    one.theirs.sendall(b"x")
    reactor.doIteration(1)
    one.startWriting()
    reactor.doIteration(1)
    one.theirs.close()
    reactor.doIteration(1)
    assert one.told == [b"x", "writable", b"", "ConnectionDone"]
    assert one not in reactor.getReaders()
    one.close()


def test_nothing_to_tell(reactor):
    """It waits no longer than it is told to."""
    one = Reader(reactor)
    reactor.doIteration(0)
    assert one.told == []


def test_trouble_of_one_is_logged_and_ends_nobody_else(reactor):
    """As in Twisted, whoever raises is disconnected, and the others are told."""

    def fail() -> None:
        raise RuntimeError("broken")

    bad, good = Reader(reactor, fail), Reader(reactor)
    seen: list[Any] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        for one in (bad, good):
            one.theirs.sendall(b"x")
        for _ in range(2):
            # What came over a socket pair is there at once: nobody needs to wait.
            reactor.doIteration(0)
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert bad.told == [b"x", "RuntimeError"]
    assert good.told == [b"x"]
    assert [event["log_failure"].type for event in seen if "log_failure" in event] == [RuntimeError]
    bad.close()


def test_an_end_that_breaks_is_logged(reactor):
    """Even connectionLost may raise, and the reactor goes on."""

    class Breaks(Reader):
        def connectionLost(self, reason: Any) -> None:
            super().connectionLost(reason)
            raise RuntimeError("broken at the end")

    one = Breaks(reactor)
    seen: list[Any] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        one.theirs.close()
        reactor.doIteration(1)
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert one.told == [b"", "ConnectionDone"]
    assert [event["log_failure"].type for event in seen if "log_failure" in event] == [RuntimeError]
    one.close()


def test_who_was_closed_by_another_is_not_told(reactor):
    """Both were ready when the kernel was asked."""
    readers: list[Reader] = []

    def close_others() -> None:
        for other in readers:
            if not other.told:
                other.stopReading()

    readers += [Reader(reactor, close_others) for _ in range(2)]
    for one in readers:
        one.theirs.sendall(b"x")
    reactor.doIteration(1)
    assert sorted(len(one.told) for one in readers) == [0, 1]
    for one in readers:
        one.close()


def test_calls_that_are_made_while_it_waits(reactor):
    """From an event, put off, made earlier, cancelled, and from another thread."""
    told: list[str] = []
    far = reactor.callLater(3600, told.append, "far")
    gone = reactor.callLater(3600, told.append, "gone")

    def tell() -> None:
        # The reactor waits for the hour's end by now: each of these has to wake it.
        far.reset(0.01)
        gone.cancel()
        reactor.callLater(0, told.append, "now")
        reactor.callInThread(reactor.callFromThread, later)

    def later() -> None:
        told.append("thread")
        reactor.callLater(0.05, stop)

    def stop() -> None:
        told.append("stop")
        reactor.stop()

    one = Reader(reactor, tell)
    one.theirs.sendall(b"x")
    reactor.run(installSignalHandlers=False)
    assert sorted(told) == ["far", "now", "stop", "thread"]
    assert told[-1] == "stop"
    one.close()


def test_it_stops_from_an_event(reactor):
    """Without a timed call or a thread that would wake it."""
    one = Reader(reactor, reactor.stop)
    one.theirs.sendall(b"x")
    reactor.run(installSignalHandlers=False)
    assert one.told == [b"x", "ConnectionLost"]
    one.close()


def test_a_timed_call_that_was_made_earlier_by_an_event(reactor):
    """Nothing new is made: only the time has changed, while the reactor waits for the old one."""
    call = reactor.callLater(3600, reactor.stop)
    one = Reader(reactor, lambda: call.reset(0.01))
    one.theirs.sendall(b"x")
    reactor.run(installSignalHandlers=False)
    assert one.told == [b"x", "ConnectionLost"]
    one.close()


def test_a_timed_call_that_breaks(reactor):
    """It is logged, and the reactor goes on."""
    seen: list[Any] = []
    globalLogPublisher.addObserver(seen.append)
    reactor.callLater(0, lambda: 1 // 0)
    reactor.callLater(0.01, reactor.stop)
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert ZeroDivisionError in [event["log_failure"].type for event in seen if "log_failure" in event]


def test_a_timed_call_in_years(reactor):
    """The system cannot wait for so long at once."""
    call = reactor.callLater(100 * 365 * 24 * 3600, reactor.stop)
    one = Reader(reactor, lambda: reactor.callLater(0, reactor.stop) if len(one.told) == 2 else None)
    one.theirs.sendall(b"x")
    # By now the reactor waits for the far call alone.
    reactor.callLater(0.01, one.theirs.sendall, b"y")
    reactor.run(installSignalHandlers=False)
    assert one.told == [b"x", b"y", "ConnectionLost"]
    call.cancel()
    one.close()
