"""What the tests of prompt transports share: a server's end whose turns the test takes, and the client's."""

from __future__ import annotations

import contextlib
import datetime as dt
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import main
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.runtime.prompt import PromptServer, address_of
from twisted_xfer.runtime.tls import TLS
from twisted_xfer.runtime.tls_identity import self_signed

IDENTITY = self_signed(("localhost",), now=dt.datetime.now(dt.UTC))
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
#: More than the socket buffers of both ends hold.
LARGE = 16 << 20


class Turns(Clock):
    """A reactor whose turns the test takes."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        #: How often somebody wanted to know when it can write.
        self.asked = 0

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)
        self.asked += 1

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def turn(self) -> None:
        """Tell whoever reads, and whoever writes, as the reactor does."""
        for one in list(self.readers):
            self._told(one, one.doRead)
        for one in list(self.writers):
            self._told(one, one.doWrite)
        self.advance(0)

    def _told(self, one: Any, act: Callable[[], Any]) -> None:
        why = act()
        if why is main.CONNECTION_DONE:
            one.readConnectionLost(Failure(why))
        elif why:
            one.connectionLost(Failure(why))


@implementer(IHandshakeListener)
class Notes(Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.answer: Callable[[bytes], None] = lambda data: None

    def handshakeCompleted(self) -> None:
        self.told.append("secure")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)
        self.answer(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append(reason.type)


class Rig:
    """A server's transport, and the client's end of it."""

    def __init__(self) -> None:
        self.reactor = Turns()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.client = socket.create_connection(listening.getsockname())
            sock, place = listening.accept()
        self.client.settimeout(10)
        self.protocol = Notes()
        address = address_of(socket.AF_INET, place)
        self.transport = PromptServer(sock, self.protocol, address, None, 7, self.reactor)
        self.protocol.makeConnection(self.transport)

    def secure(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """Both ends go over to TLS."""
        self.start_tls()
        client = self.shake(version)
        assert self.protocol.told == ["secure"]
        return client

    def start_tls(self) -> None:
        """The server goes over to TLS."""
        self.session = TLS(self.reactor, identities=[IDENTITY], aes=lambda: True).control_session()
        self.session.start(self.transport)

    def shake(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, keylog: str = "") -> ssl.SSLSocket:
        """The client does."""
        self.client.setblocking(False)
        context = context_of(version)
        if keylog:
            context.keylog_filename = keylog
        secured = context.wrap_socket(self.client, do_handshake_on_connect=False)
        self.client = secured

        def shaken() -> bool:
            with contextlib.suppress(ssl.SSLWantReadError):
                secured.do_handshake()
                return True
            return False

        self.until(shaken)
        self.until(lambda: self.protocol.told)
        secured.settimeout(10)
        return secured

    def until(self, done: Callable[[], object]) -> None:
        """Take turns until ``done``, or for ten seconds: the kernel delivers when it likes."""
        for _ in range(1000):
            if done():
                return
            self.reactor.turn()
            select.select([self.client, *self.fileno()], [], [], 0.01)
        raise AssertionError(f"never: {self.protocol.told}")

    def fileno(self) -> list[int]:
        """The server's descriptor, if it has one."""
        return [self.transport.fileno()] if self.transport.connected else []

    def until_told(self, *told: Any) -> None:
        """Take turns until the protocol knows all that, and nothing else."""
        self.until(lambda: len(self.protocol.told) >= len(told))
        assert self.protocol.told == list(told)

    def close(self) -> None:
        """Let go of both ends."""
        if self.transport.connected:
            self.transport.connectionLost(Failure(ConnectionDone()))
        self.client.close()


def context_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's, for that version alone, which takes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def connection() -> Iterator[Rig]:
    """A rig whose timers fail the test; to be used with ``yield from``."""
    rig = Rig()
    yield rig
    rig.close()
    assert rig.reactor.getDelayedCalls() == []


def read(rig: Rig, size: int | None = None) -> bytes:
    """What the client gets: so many bytes, or until the end."""
    pieces: list[bytes] = []
    ended = False

    def enough() -> bool:
        nonlocal ended
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while not ended and (size is None or len(b"".join(pieces)) < size):
                pieces.append(rig.client.recv(1 << 20 if size is None else size))
                ended = not pieces[-1]
        return ended or (size is not None and sum(map(len, pieces)) >= size)

    rig.client.setblocking(False)
    rig.until(enough)
    rig.client.settimeout(10)
    return b"".join(pieces)
