"""The time and echo services on streams and datagrams."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import IHost, ILease
from twisted_xfer.protocols.timeecho.wire import Service, datagram_answer, pieces

#: Two echo services answer each other for ever once a forged datagram starts them; services live on
#: low ports, clients never do.
LOWEST_CLIENT_PORT: Final = 1024


def local_now(host: IHost) -> datetime:
    """The host's time, in the local zone, as ctime() takes it."""
    return datetime.fromtimestamp(host.wall_time(), UTC).astimezone()


class TimeEchoProtocol(Protocol):
    """One connection. Holds no bytes of its own: reading stops while the peer does not take answers."""

    transport: Any  # a stream transport: Twisted's stub knows only what all transports have

    def __init__(self, service: Service, host: IHost, peer: str, lease: ILease, idle: float) -> None:
        self._service = service
        self._host = host
        self._peer = peer
        self._lease = lease
        self._idle = idle
        self._session = host.new_session_id()
        self._opened = host.clock.seconds()
        self._timer: IDelayedCall | None = None
        self._end = "lost"

    def connectionMade(self) -> None:
        """Greet and close, or wait for data."""
        self._emit("connection.open", local=_address(self.transport.getHost()))
        if self._idle:
            # It runs until the connection is down: closing too takes as long as the peer likes.
            self._timer = self._host.clock.callLater(self._idle, self._idled)
        if self._service.greets:
            self.transport.write(self._service.answer(b"", local_now(self._host)))
            self.transport.loseConnection()
        else:
            # The transport's own back-pressure: while more than its buffer size waits to be sent, it
            # stops reading. That bounds what one peer can make us hold.
            self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Answer each piece."""
        if self._service.greets:
            return
        if self._timer is not None:
            self._timer.reset(self._idle)
        now = local_now(self._host)
        self.transport.write(b"".join([self._service.answer(piece, now) for piece in pieces(data)]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give everything back."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._lease.release()
        end = "closed" if isinstance(reason.value, ConnectionDone) else self._end
        self._emit("connection.close", reason=end, seconds=self._host.clock.seconds() - self._opened)

    def _idled(self) -> None:
        """Nothing came for too long. A peer that does not read would sit out an orderly close."""
        self._end = "idle"
        self.transport.abortConnection()

    def _emit(self, event_id: str, **fields: Any) -> None:
        self._host.events.emit(
            event_id, protocol="timeecho", session=self._session, peer=self._peer, **fields
        )


class TimeEchoFactory(Factory):
    """Accepts connections within the daemon's limits. ``idle`` is in seconds, 0 for no limit."""

    noisy = False

    def __init__(self, service: Service, host: IHost, idle: float) -> None:
        self._service = service
        self._host = host
        self._idle = idle

    def buildProtocol(self, addr: IAddress | None) -> TimeEchoProtocol | None:
        """A protocol, or None to close the connection at once: too many, or banned."""
        peer = _address(addr)
        try:
            lease = self._host.limits.admit(peer)
        except XferError as error:
            self._host.events.emit("connection.refused", protocol="timeecho", peer=peer, code=error.code)
            return None
        return TimeEchoProtocol(self._service, self._host, peer, lease, self._idle)


class TimeEchoDatagrams(DatagramProtocol):
    """Answers datagrams, of loopback peers only unless ``public``.

    A reply is longer than the question and goes where the question claims to come from: open to the
    world, this amplifies a forger's traffic.
    """

    noisy = False
    transport: Any

    def __init__(self, service: Service, host: IHost, public: bool) -> None:
        self._service = service
        self._host = host
        self._public = public

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer one datagram, or drop it without a word."""
        peer, port = addr[0], addr[1]
        if port < LOWEST_CLIENT_PORT or not (self._public or is_loopback(peer)):
            return
        try:
            self._host.limits.admit(peer).release()
        except XferError:
            return
        self.transport.write(datagram_answer(self._service, datagram, local_now(self._host)), addr)


def is_loopback(peer: str) -> bool:
    """Whether the IP address ``peer`` is this machine's own, mapped IPv4 included."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _address(addr: object) -> str:
    """The IP address of a Twisted address; empty for UNIX sockets, which have none."""
    return str(getattr(addr, "host", ""))
