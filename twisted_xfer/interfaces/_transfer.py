"""Channels, transfers, data ports and the limits on them."""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._both import ILimiter
from twisted_xfer.interfaces._storage import Eventually, Expected, IReadFile, IUpload


class TransferMode(enum.Enum):
    """RFC 959 section 3.1.1 representation types, as the pumps know them."""

    IMAGE = "image"
    ASCII = "ascii"


class IChannel(Interface):
    """A connected, non-blocking byte channel that a pump drives from the reactor.

    Reads and writes never wait. ``want`` semantics for TLS: a call that raises WantRead or
    WantWrite (twisted_xfer.interfaces) must be repeated, with the same data, once the socket is
    ready in that direction.
    """

    peer: str = Attribute("IP address of the other end, as text")
    secure: bool = Attribute("True when bytes go through TLS: sendfile and splice are then forbidden")

    def fileno() -> int:
        """The socket's descriptor, for the reactor, and for sendfile/splice when not secure."""

    def recv_into(buffer: memoryview) -> int:
        """Bytes read, 0 at a clean end. Raises WantRead, WantWrite, ConnectionLost, Truncated."""

    def send(data: bytes | memoryview) -> int:
        """Bytes accepted, at least 1. Raises WantRead, WantWrite, ConnectionLost."""

    def shutdown() -> bool:
        """Say that no more will be sent (close_notify, then FIN); True once that is under way.

        Raises WantRead, WantWrite when it must be called again.
        """

    def close() -> None:
        """Close the socket. May be called twice."""

    def abort() -> None:
        """Close at once with a reset, so that the peer cannot take what it has for the whole."""


class WantRead(Exception):
    """Repeat when the socket is readable."""


class WantWrite(Exception):
    """Repeat when the socket is writable."""


class ITransfer(Interface):
    """A transfer under way."""

    transferred: int = Attribute("bytes moved over the channel so far")
    result: Deferred[int] = Attribute(
        "fires with the bytes moved when the channel is down and the close path is done, or fails with "
        "a TransferError or a storage error, the close path done as well"
    )

    def cancel(reason: Exception | None = None) -> None:
        """End early: the channel is aborted and result fails with ``reason`` or Cancelled."""


class ITransfers(Interface):
    """Chooses the pump (sendfile or splice where the file and the channel are plain, else chunks).

    Also the one close path of all protocols: an upload that ended cleanly is committed; one that
    was cut is suspended; one that may not be kept (QuotaExceeded, TooLarge, Vetoed) is aborted.
    The channel is always closed, and aborted unless the end was clean.
    """

    def download(
        file: IReadFile,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None = None,
        stall: float = 0,
    ) -> ITransfer:
        """Send ``file`` from where it stands to its end, shut the channel down, close the file.

        ``stall`` seconds without progress end it with TimedOut (0: never).
        """

    def upload(
        upload: IUpload,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None = None,
        stall: float = 0,
        expected: Expected | None = None,
        confirm: Callable[[], Eventually[None]] | None = None,
    ) -> ITransfer:
        """Receive into ``upload`` until the channel's clean end, then commit it.

        ``confirm`` is asked in between: what it fails with (Truncated, say) is why the upload is not
        whole after all, and then it is suspended. Over plain TCP the end of a stream looks the
        same whether a client is done or was killed.
        """


class IPassivePort(Interface):
    """One listening data port that belongs to one session."""

    port: int = Attribute("the port to tell the client")

    def accept(timeout: float) -> Deferred[IChannel]:
        """The next connection from the session's own peer.

        Other peers are closed and counted, and the wait goes on; the deadline does not move.
        Fails with TimedOut, or Cancelled when closed.
        """

    def on_next(call: Callable[[IChannel], None] | None) -> None:
        """Call once with the next connection from the session's own peer, whenever it comes; None: no more.

        accept() takes it instead when it is asked first; clear() and close() end this.
        """

    def clear() -> None:
        """Drop whoever is in the queue: connections made for an earlier, abandoned PASV."""

    def close() -> None:
        """Stop listening and drop whoever is in the queue. May be called twice."""


class IDataPorts(Interface):
    """Passive ports out of a bounded range, and active connections."""

    def listen(local: str, peer: str) -> IPassivePort:
        """A port on the control connection's ``local`` address for ``peer`` alone.

        Raises:
            Busy: the range is used up.
        """

    def connect(host: str, port: int, local: str, timeout: float) -> Deferred[IChannel]:
        """Dial ``host``. Fails with DataConnectionFailed, TimedOut. The caller checked the address."""

    def advertised(local: str, peer: str) -> str:
        """The IPv4 address to tell ``peer`` in a 227 reply (masquerade by client network)."""


class ILease(Interface):
    """A counted place."""

    def release() -> None:
        """Give it back. May be called twice."""


class ILimits(Interface):
    """Counts of connections and sessions, back-off and bans."""

    def admit(peer: str) -> ILease:
        """A connection from ``peer``. Raises LimitReached, Banned."""

    def session(username: str, peer: str, most: int = 0) -> ILease:
        """A login of ``username``; ``most`` is the account's own limit (0: none). Raises LimitReached."""

    def delay(peer: str, username: str) -> float:
        """Seconds to wait before this login attempt may be answered."""

    def failed(peer: str, username: str) -> None:
        """A login failed."""

    def succeeded(peer: str, username: str) -> None:
        """A login was good."""
