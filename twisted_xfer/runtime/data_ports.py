"""Passive ports out of a bounded range, and active connections, straight on the reactor.

A listening socket here costs one system call per connection; a Twisted port with its factory
costs ten times as much, which is what a session of small files is made of. Ports are chosen by
us and never by ``bind(0)``: the kernel's search slows down a hundredfold once half of its range
is in TIME_WAIT, which a minute of small files brings about.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import Busy, Cancelled, DataConnectionFailed, DataPeerRefused, TimedOut
from twisted_xfer.interfaces import IChannel, IDataPorts, IEvents, IPassivePort
from twisted_xfer.runtime.channels import SocketChannel, reset
from twisted_xfer.runtime.dial import DescriptorReactor, dial, plain_address, socket_address
from twisted_xfer.runtime.sockets import take_connection

#: The dynamic ports of RFC 6335 section 6, when the configuration names no range.
DEFAULT_PORTS: Final = (49152, 65534)
#: A client makes one data connection at a time; strangers in the queue must not shut it out.
BACKLOG: Final = 16
#: Strangers closed during one accept() before it is given up.
MAX_STRANGERS: Final = 100
#: Ports of the range that other processes may hold before the search is given up: 2 ms of it.
MAX_BINDS: Final = 256
#: No descriptor, no memory: waiting would spin, for the connection stays in the queue.
SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Connections have the options of the socket that they were accepted from; other systems hand on some.
INHERITS: Final = sys.platform == "linux"

Network: TypeAlias = IPv4Network | IPv6Network


@implementer(IPassivePort, IReadDescriptor)
class PassivePort:
    """A listening socket of one session, kept for as many transfers as it likes."""

    __slots__ = (
        "_call", "_deadline", "_family", "_idle", "_owner", "_peer", "_peer_address", "_queue", "_sock", "_strangers", "_waiting",
        "_watched", "port",
    )  # fmt: skip

    def __init__(self, owner: DataPorts, sock: socket.socket, port: int, peer: str) -> None:
        self.port = port
        self._owner = owner
        self._sock: socket.socket | None = sock
        self._family = sock.family
        #: To be asked about the queue: by accept() an empty one is an exception, at eight times the cost.
        self._queue = select.poll()
        self._queue.register(sock, select.POLLIN)
        self._peer = peer
        self._peer_address = plain_address(peer)
        self._waiting: Deferred[IChannel] | None = None
        self._deadline: IDelayedCall | None = None
        self._strangers = 0
        self._call: Callable[[IChannel], None] | None = None
        #: With the reactor, and whether that has told us of somebody whom nobody waited for.
        self._watched = self._idle = False

    def accept(self, timeout: float) -> Deferred[IChannel]:
        """The next connection of the peer, at once when the kernel has it in the queue already.

        Fails with TimedOut, Cancelled (closed), DataPeerRefused (too many strangers), Busy (two
        at a time) and DataConnectionFailed (no descriptor left).
        """
        if self._sock is None:
            return fail(Cancelled(detail="the port is closed"))
        if self._waiting is not None:
            return fail(Busy(detail="already waiting for a data connection"))
        self._strangers = 0
        self._call = None
        try:
            channel = self._next()
        except DataConnectionFailed as error:
            return fail(error)
        if channel is not None:
            return succeed(channel)
        waiting: Deferred[IChannel] = Deferred(self._given_up)
        self._waiting = waiting
        self._watch()
        if timeout > 0:
            self._deadline = self._owner.reactor.callLater(
                timeout, self._fail, TimedOut(detail="no data connection")
            )
        return waiting

    def on_next(self, call: Callable[[IChannel], None] | None) -> None:
        """See IPassivePort. The port stays with the reactor afterwards, which saves two system calls a transfer."""
        self._call = call
        if call is not None and self._sock is not None:
            self._strangers = 0
            self._watch()

    def clear(self) -> None:
        """Drop whoever is in the queue."""
        self._call = None
        if self._sock is None:
            return
        # The kernel holds at most one more than the backlog.
        for _ in range(BACKLOG + 1):
            if not self._queue.poll(0):
                return
            try:
                connection, _address = self._sock.accept()
            except OSError:
                return
            reset(connection)

    def close(self) -> None:
        """Stop listening and free the port. May be called twice."""
        if self._sock is None:
            return
        self._call = None
        self._fail(Cancelled(detail="the port was closed"))
        self._unwatch()
        self._sock.close()
        self._sock = None
        self._owner.release(self.port)

    def fileno(self) -> int:
        """The listening descriptor; -1 once closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def doRead(self) -> None:
        """Somebody is in the queue."""
        if self._waiting is None and self._call is None:
            # Once is a connection that accept() has taken in this very turn; whoever else comes stays
            # in the queue.
            if self._idle:
                self._unwatch()
            self._idle = True
            return
        try:
            channel = self._next()
        except DataConnectionFailed as error:
            self._call = None
            self._unwatch()
            self._fail(error)
            return
        if channel is None:
            return
        call, self._call = self._call, None
        if call is not None:
            call(channel)
            return
        waiting = self._stop_waiting()
        if waiting is not None:
            waiting.callback(channel)

    def _watch(self) -> None:
        self._idle = False
        if not self._watched:
            self._watched = True
            self._owner.reactor.addReader(self)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._owner.reactor.removeReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the descriptor up."""
        self._call = None
        self._fail(DataConnectionFailed(detail="the listening socket failed"))

    def logPrefix(self) -> str:
        """For the log context."""
        return "data-port"

    def _next(self) -> SocketChannel | None:
        """Take the peer's connection from the queue, closing the strangers before it."""
        sock = self._sock
        while sock is not None:
            try:
                connection, address = take_connection(sock, self._family)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in SHORTAGES:
                    name = errno.errorcode.get(error.errno, "")
                    raise DataConnectionFailed(detail=f"accept: {name}") from error
                connection = None
                address = ("", 0)
            if connection is not None and self._is_peer(address[0]):
                return SocketChannel(connection, self._peer, immediate=INHERITS)
            # A connection that was reset in the queue counts as well: this loop ends whatever comes.
            self._strangers += 1
            if connection is not None:
                reset(connection)
                self._owner.refused(self._peer, address[0])
            if self._strangers >= MAX_STRANGERS:
                raise DataPeerRefused(detail="too many connections from elsewhere")
        return None

    def _is_peer(self, address: str) -> bool:
        return address == self._peer or plain_address(address) == self._peer_address

    def _given_up(self, waiting: Deferred[IChannel]) -> None:
        self._stop_waiting()

    def _stop_waiting(self) -> Deferred[IChannel] | None:
        waiting, self._waiting = self._waiting, None
        deadline, self._deadline = self._deadline, None
        if waiting is not None:
            self._unwatch()
        if deadline is not None and deadline.active():
            deadline.cancel()
        return waiting

    def _fail(self, error: Exception) -> None:
        waiting = self._stop_waiting()
        if waiting is not None:
            waiting.errback(error)


@implementer(IDataPorts)
class DataPorts:
    """Data connections of all sessions of one process.

    ``ports`` is the range for passive mode, both ends included; None is DEFAULT_PORTS.
    ``public_addresses`` are pairs (client network, address to advertise), first match wins; None
    or a network of prefix length 0 stands for everybody on the other side of the translation. ``random`` answers a number from 0 to its argument, excluded.
    """

    def __init__(
        self,
        reactor: DescriptorReactor,
        *,
        ports: tuple[int, int] | None = None,
        public_addresses: Sequence[tuple[Network | None, str]] = (),
        events: IEvents | None = None,
        random: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self.reactor = reactor
        self._low, self._high = ports or DEFAULT_PORTS
        self._public = tuple(public_addresses)
        self._events = events
        self._random = random
        #: Bounded by the range. A port is one session's alone, whatever address it listens on.
        self._used: set[int] = set()

    def advertise(self, public_addresses: Sequence[tuple[Network | None, str]]) -> None:
        """Tell other addresses from now on."""
        self._public = tuple(public_addresses)

    def listen(self, local: str, peer: str) -> PassivePort:
        """Listen on ``local`` for ``peer``.

        Raises:
            Busy: every port is taken.
            DataConnectionFailed: ``local`` is no address of ours, or descriptors have run out.
        """
        binds = 0
        for port in self._candidates():
            if port in self._used:
                continue
            sock = self._bind(local, port)
            if sock is not None:
                self._used.add(port)
                return PassivePort(self, sock, port, peer)
            binds += 1
            if binds >= MAX_BINDS:
                break
        raise Busy(detail="no passive port is free")

    def connect(self, host: str, port: int, local: str, timeout: float) -> Deferred[IChannel]:
        """Dial ``host``, an IP address, from the address ``local`` (empty: any)."""
        return dial(self.reactor, host, port, local, timeout)

    def advertised(self, local: str, peer: str) -> str:
        """The address for a 227 reply.

        A rule for the peer's own network comes first. A peer on this machine, or a private one
        when we are private too, is on our side of the address translation and gets ``local``.
        """
        ours, theirs = plain_address(local), plain_address(peer)
        for network, address in self._public:
            if network is not None and network.prefixlen and theirs in network:
                return address
        if theirs.is_loopback or theirs == ours or (theirs.is_private and ours.is_private):
            return str(ours)
        for network, address in self._public:
            if network is None or theirs in network:
                return address
        return str(ours)

    def release(self, port: int) -> None:
        """``port`` is free again."""
        self._used.discard(port)

    def refused(self, peer: str, intruder: str) -> None:
        """Report a connection that did not come from ``peer``."""
        if self._events is not None:
            self._events.emit("data.peer_refused", peer=peer, intruder=intruder)

    def _candidates(self) -> Iterator[int]:
        """Every port of the range once, from a random one on, in steps that depend on chance as well."""
        span = self._high - self._low + 1
        # The first few at random: nobody who saw one port may guess the next.
        for _ in range(8):
            yield self._low + self._random(span)
        start = self._random(span)
        for step in range(span):
            yield self._low + (start + step) % span

    @staticmethod
    def _bind(local: str, port: int) -> socket.socket | None:
        """A listening socket, or None when somebody else has the port."""
        try:
            family, address = socket_address(local, port)
            sock = socket.socket(family, socket.SOCK_STREAM)
        except (ValueError, OSError) as error:
            raise DataConnectionFailed(local, str(error)) from error
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return None
            raise DataConnectionFailed(local, str(error)) from error
        return sock
