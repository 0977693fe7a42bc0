"""Connecting protocols without a network: one side by hand, or two sides through a pump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol, Protocol
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

#: Documentation addresses (RFC 5737): they cannot be mistaken for anybody's.
PEER: Final = "192.0.2.1"
LOCAL: Final = "192.0.2.2"
#: Rounds after which a pump gives up: two peers that answer each other for ever are a bug.
MAX_ROUNDS: Final = 10_000


class Transport(StringTransportWithDisconnection):
    """A stream in memory that remembers how it ended.

    Attributes:
        ended: None while open, then ``"closed"`` (orderly) or ``"aborted"``.
    """

    ended: str | None = None

    def write(self, data: bytes) -> None:
        """Sent, unless the connection is down."""
        if self.ended is None:
            super().write(data)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """An orderly close, complete at once."""
        self._end("closed", ConnectionDone())

    def abortConnection(self) -> None:
        """A reset, complete at once."""
        self._end("aborted", ConnectionAborted())

    def _end(self, how: str, reason: Exception) -> None:
        if self.ended is None:
            self.ended = how
            self.connected = False
            self.protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do in memory."""

    def take(self) -> bytes:
        """What was written since the last time."""
        data: bytes = self.value()  # type: ignore[no-untyped-call]
        self.clear()  # type: ignore[no-untyped-call]
        return data


class Connection:
    """A server protocol and the client's hands: ``send``, ``received``, ``hang_up``."""

    def __init__(self, protocol: Protocol, transport: Transport) -> None:
        self.protocol = protocol
        self.transport = transport

    def send(self, data: bytes) -> bytes:
        """Deliver ``data`` (unless the connection is down); what the server wrote since the last time."""
        if self.transport.ended is None:
            self.protocol.dataReceived(data)
        return self.transport.take()

    def received(self) -> bytes:
        """What the server wrote since the last time."""
        return self.transport.take()

    def hang_up(self) -> None:
        """The client closes. Does nothing when the connection is down."""
        self.transport.loseConnection()

    @property
    def ended(self) -> str | None:
        """None while the connection is up, else ``"closed"`` or ``"aborted"``."""
        return self.transport.ended


def connect(
    factory: IProtocolFactory,
    *,
    peer: str = PEER,
    local: str = LOCAL,
    transport: Transport | None = None,
) -> Connection | None:
    """A connection from ``peer`` to a server's ``factory``; None when the factory refuses it."""
    protocol: Any = factory.buildProtocol(_address(peer, 50_000))
    if protocol is None:
        return None
    if transport is None:
        transport = Transport(  # type: ignore[no-untyped-call]
            hostAddress=_address(local, 2121), peerAddress=_address(peer, 50_000)
        )
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return Connection(protocol, transport)


class Datagrams:
    """A server's datagram protocol and what it sent, as (bytes, address)."""

    def __init__(self, protocol: DatagramProtocol) -> None:
        self.protocol = protocol
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        protocol.makeConnection(self)  # type: ignore[arg-type]  # all of IUDPTransport that services use

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """IUDPTransport's, for the protocol."""
        self.sent.append((datagram, addr))

    def send(self, datagram: bytes, addr: tuple[str, int] = ("127.0.0.1", 50_000)) -> list[bytes]:
        """Deliver ``datagram`` from ``addr``; what was sent back there, and nowhere else."""
        before = len(self.sent)
        self.protocol.datagramReceived(datagram, addr)
        new = self.sent[before:]
        elsewhere = [to for _, to in new if to != addr]
        if elsewhere:
            raise AssertionError(f"sent to {elsewhere[0]}, who did not ask")
        return [data for data, _ in new]


def pump(client: Connection, server: Connection, each_round: Callable[[], object] = lambda: None) -> None:
    """Carry bytes and the end of the stream between two protocols until both are quiet.

    ``each_round`` is called in between, to turn a reactor for instance. Give client and server made
    by ``connect``; the client's factory builds the client.

    Raises:
        RuntimeError: they never stop.
    """
    for _ in range(MAX_ROUNDS):
        each_round()
        moved = False
        for source, target in ((client, server), (server, client)):
            data = source.transport.take()
            if data:
                moved = True
                if target.ended is None:
                    target.protocol.dataReceived(data)
            elif source.ended is not None and target.ended is None:
                moved = True
                target.hang_up()
        if not moved:
            return
    raise RuntimeError(f"still talking after {MAX_ROUNDS} rounds")


def _address(host: str, port: int) -> Any:
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)
