"""Swift accepting: connections arrive as Twisted would bring them, and trouble stays Twisted's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher

from twisted_xfer.runtime import accepting, sockets
from twisted_xfer.runtime.accepting import accept_swiftly


class Watching:
    """A reactor that only notes who is read from."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        """Note."""
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        """Forget."""
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        """Note."""
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        """Forget."""
        self.writers.discard(writer)


class Taking(Factory):
    """Keeps what it built."""

    noisy = False

    def __init__(self) -> None:
        self.built: list[tuple[Any, Protocol]] = []
        self.refuses = False
        self.breaks = False

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """A protocol, as the flags say."""
        if self.breaks:
            raise RuntimeError("broken factory")
        if self.refuses:
            return None
        protocol = Protocol()
        protocol.factory = self
        self.built.append((addr, protocol))
        return protocol


@pytest.fixture
def port() -> Iterator[tcp.Port]:
    """A listening port on a reactor that does nothing by itself."""
    port = tcp.Port(0, Taking(), 5, "127.0.0.1", Watching())
    port.startListening()
    assert accept_swiftly(port)
    yield port
    for _, protocol in port.factory.built:
        if protocol.transport is not None and protocol.transport.connected:
            protocol.transport.connectionLost(_closed())
    port.connectionLost(_closed())


def _closed() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())


def caller(port: tcp.Port) -> socket.socket:
    """A client whose connection waits to be accepted."""
    return socket.create_connection(("127.0.0.1", port.getHost().port), 5)


def test_one_connection_a_turn(port):
    """Each call takes one, with its address and a transport that is being read; then there is none."""
    with caller(port) as first, caller(port) as second:
        port.doRead()
        assert [addr.port for addr, _ in port.factory.built] == [first.getsockname()[1]]
        port.doRead()
        port.doRead()
        assert [addr.port for addr, _ in port.factory.built] == [s.getsockname()[1] for s in (first, second)]
        for addr, protocol in port.factory.built:
            assert isinstance(addr, IPv4Address)
            assert protocol.connected
            assert protocol.transport.getPeer() == addr
            assert protocol.transport in port.reactor.readers
        assert [protocol.transport.sessionno for _, protocol in port.factory.built] == [0, 1]


def test_a_factory_that_refuses(port):
    """The client sees an end."""
    port.factory.refuses = True
    with caller(port) as client:
        port.doRead()
        assert client.recv(1) == b""


def test_a_factory_that_breaks_does_not_end_the_port(port):
    """It is logged, and the next one comes in."""
    port.factory.breaks = True
    seen: list[Any] = []
    globalLogPublisher.addObserver(seen.append)
    try:
        with caller(port):
            port.doRead()
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert ["RuntimeError" in str(event["log_failure"].type) for event in seen if "log_failure" in event] == [
        True
    ]
    port.factory.breaks = False
    with caller(port):
        port.doRead()
        assert len(port.factory.built) == 1


def test_what_accept_refuses_is_left_to_twisted(port, monkeypatch):
    """No descriptors left, for one, where Twisted frees one to turn the client away."""

    def full(listening: socket.socket, family: int) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    asked: list[Any] = []
    monkeypatch.setattr(tcp.Port, "doRead", asked.append)
    monkeypatch.setattr(accepting, "take_connection", full)
    port.doRead()
    assert asked == [port]


@pytest.mark.parametrize("raw", [True, False])
def test_what_is_accepted_is_as_usual(port, raw, monkeypatch):
    """Also where Python has no shorter way than ``accept``."""
    real = port.socket

    class Plain:
        """A socket of a Python that shows nothing more."""

        def accept(self) -> Any:
            """As everywhere."""
            return real.accept()

    assert hasattr(real, "_accept")
    if not raw:
        taking = sockets.take_connection
        monkeypatch.setattr(accepting, "take_connection", lambda _real, family: taking(Plain(), family))
    with caller(port) as client:
        port.doRead()
        ((_, protocol),) = port.factory.built
        taken = protocol.transport.getHandle()
        assert (taken.family, taken.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert taken.getpeername() == client.getsockname()
        assert not taken.getblocking()
        assert not taken.get_inheritable()


def test_ipv6():
    """Its addresses have four parts."""
    port = tcp.Port(0, Taking(), 5, "::1", Watching())
    port.startListening()
    assert accept_swiftly(port)
    with socket.create_connection(("::1", port.getHost().port), 5) as client:
        port.doRead()
        ((address, protocol),) = port.factory.built
        assert address == protocol.transport.getPeer() == IPv6Address("TCP", *client.getsockname())
        protocol.transport.connectionLost(_closed())
    port.connectionLost(_closed())


def test_other_ports_stay_as_they_are(tmp_path):
    """A UNIX socket has no addresses to speak of."""
    port = unix.Port(str(tmp_path / "socket"), Taking(), reactor=Watching())
    assert not accept_swiftly(port)
    assert "doRead" not in vars(port)
