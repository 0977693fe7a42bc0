"""Dialling out, straight on the reactor: one raw socket, one deadline, no factory."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import DataConnectionFailed, TimedOut
from twisted_xfer.interfaces import IChannel
from twisted_xfer.runtime.channels import SocketChannel, socket_error

#: Linux: bind the address now and choose the port at connect(), by all four parts of the pair.
BIND_ADDRESS_NO_PORT: Final = 24


class DescriptorReactor(Protocol):
    """What is asked of the reactor: descriptors (IReactorFDSet) and delayed calls (IReactorTime)."""

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch for reading."""

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for writing."""

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop watching for reading."""

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Stop watching for writing."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:  # noqa: A002 - IReactorTime's own name
        """Call later."""
        ...


@lru_cache(maxsize=4096)
def plain_address(text: str) -> IPv4Address | IPv6Address:
    """``text`` as an address: without a zone, and an IPv4-mapped one as the IPv4 address that it is.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


#: What bind() and connect() take: of IPv6 with flow and zone.
SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def socket_address(text: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """Family and address for bind() and connect(), with the zone of a link-local address, by name or number.

    Raises:
        ValueError: it is no address.
        OSError: it has a zone that this machine does not have.
    """
    address = plain_address(text)
    if isinstance(address, IPv4Address):
        return socket.AF_INET, (str(address), port)
    host, _, zone = text.partition("%")
    # Left in the text it would count for nothing: the number decides, which is 0 unless it is given.
    number = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0
    return socket.AF_INET6, (host, port, 0, number)


@implementer(IWriteDescriptor)
class Dial:
    """One active connection being made."""

    __slots__ = ("_deadline", "_host", "_reactor", "_sock", "result")

    def __init__(self, reactor: DescriptorReactor, sock: socket.socket, host: str) -> None:
        self._reactor = reactor
        self._sock: socket.socket | None = sock
        self._host = host
        self._deadline: IDelayedCall | None = None
        self.result: Deferred[IChannel] = Deferred(self._cancelled)

    def start(self, address: SocketAddress, timeout: float) -> None:
        """Dial ``address``."""
        if self._sock is None:
            return
        code = self._sock.connect_ex(address)
        if code == 0:
            self._connected()
        elif code == errno.EINPROGRESS:
            self._reactor.addWriter(self)
            if timeout > 0:
                self._deadline = self._reactor.callLater(timeout, self._late)
        else:
            self._fail(DataConnectionFailed(self._host, errno.errorcode.get(code, str(code))))

    def fileno(self) -> int:
        """The descriptor; -1 once it was given away or closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def doWrite(self) -> None:
        """Connected or refused."""
        if self._sock is None:
            return
        problem = socket_error(self._sock)
        if problem:
            self._fail(DataConnectionFailed(self._host, problem))
        else:
            self._connected()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor reports a refusal this way when error and hang-up come together."""
        problem = "" if self._sock is None else socket_error(self._sock)
        self._fail(DataConnectionFailed(self._host, problem or "connection lost"))

    def logPrefix(self) -> str:
        """For the log context."""
        return "data-dial"

    def _late(self) -> None:
        self._fail(TimedOut(self._host, "no answer"))

    def _cancelled(self, result: Deferred[IChannel]) -> None:
        sock = self._stop()
        if sock is not None:
            sock.close()

    def _stop(self) -> socket.socket | None:
        sock = self._sock
        if sock is not None:
            self._reactor.removeWriter(self)
            self._sock = None
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()
        return sock

    def _connected(self) -> None:
        sock = self._stop()
        if sock is not None:
            self.result.callback(SocketChannel(sock, self._host))

    def _fail(self, error: Exception) -> None:
        sock = self._stop()
        if sock is not None:
            sock.close()
            self.result.errback(error)


def dial(reactor: DescriptorReactor, host: str, port: int, local: str, timeout: float) -> Deferred[IChannel]:
    """Connect to ``host``, an IP address, from the address ``local`` (empty: any), in ``timeout`` seconds."""
    try:
        family, address = socket_address(host, port)
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (ValueError, OSError) as error:
        return fail(DataConnectionFailed(host, str(error)))
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if local and plain_address(local).version == plain_address(host).version:
            with contextlib.suppress(OSError):
                # Not Linux, or an old one: bind() chooses, more slowly.
                sock.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
            sock.bind(socket_address(local, 0)[1])
    except (ValueError, OSError) as error:
        sock.close()
        return fail(DataConnectionFailed(host, str(error)))
    attempt = Dial(reactor, sock, host)
    attempt.start(address, timeout)
    return attempt.result
