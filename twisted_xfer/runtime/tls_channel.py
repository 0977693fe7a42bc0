"""A TLS channel straight on a socket: OpenSSL reads and writes the descriptor itself.

Measured: half the cost of TLS through memory buffers, because no ciphertext is copied by us.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import Cancelled, ConnectionLost, DataTLSRefused, TimedOut, Truncated, XferError
from twisted_xfer.interfaces import ISecureChannel, WantRead, WantWrite
from twisted_xfer.runtime.channels import DRAIN_READS, DRAIN_SIZE, lost, prepare, reset
from twisted_xfer.runtime.dial import DescriptorReactor

#: The largest TLS record (RFC 8446 section 5.1): one SSL_read never gives more.
RECORD: Final = 16 * 1024

#: Handshake states that only a full handshake passes, on the side of the server and of the client.
_FULL: Final = (b"write certificate", b"read server certificate")


class HandshakeNotes:
    """What was seen of one handshake; pyOpenSSL does not tell whether a session was resumed."""

    __slots__ = ("full", "seen")

    def __init__(self) -> None:
        #: The context was prepared by ``watch_resumption``; without it nothing is proved.
        self.seen = False
        self.full = False


def _note_state(connection: SSL.Connection, _where: int, _code: int) -> None:
    """The context's info callback: remember that certificates went over the wire."""
    notes = connection.get_app_data()
    if isinstance(notes, HandshakeNotes) and not notes.full:
        notes.seen = True
        state = connection.get_state_string()
        notes.full = any(name in state for name in _FULL)


def watch_resumption(context: SSL.Context) -> None:
    """Let channels of ``context`` know whether they resumed a session.

    To be called before the first connection is made from it: a context is frozen from then on.
    """
    context.set_info_callback(_note_state)


@implementer(ISecureChannel)
class TLSChannel:
    """A TLS connection on ``sock``, which belongs to the channel from here on.

    ``context`` should be that of the control connection, so that a resumed session proves the
    same client. ``handshake()`` comes first; see ``handshake_channel``. A client names the server
    in ``hostname`` and may offer ``session``.
    """

    __slots__ = (
        "_connection", "_ended", "_ends", "_failure", "_notes", "_received", "_sock", "established", "peer",
        "secure",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        context: SSL.Context,
        server: bool = True,
        *,
        hostname: bytes = b"",
        session: SSL.Session | None = None,
    ) -> None:
        prepare(sock)
        self._sock = sock
        self.peer = peer
        self.secure = True
        self.established = False
        self._ended = False
        self._failure: XferError | None = None
        #: Where an end without close_notify is clean: nowhere (None), anywhere (empty), or there.
        self._ends: tuple[int, ...] | None = None
        self._received = 0
        self._notes = HandshakeNotes()
        connection = self._connection = self._connect(context)
        connection.set_app_data(self._notes)
        if server:
            connection.set_accept_state()
        else:
            if hostname:
                connection.set_tlsext_host_name(hostname)
            if session is not None:
                connection.set_session(session)
            connection.set_connect_state()

    def _connect(self, context: SSL.Context) -> SSL.Connection:
        return SSL.Connection(context, self._sock)

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session of the same context.

        False without ``watch_resumption``: what nobody looked at is not proved.
        """
        return self.established and self._notes.seen and not self._notes.full

    @property
    def one_ticket(self) -> bool:
        """See ISecureChannel: RFC 8446 appendix C.4 wants each ticket to be used once."""
        return self._connection.get_protocol_version() >= SSL.TLS1_3_VERSION

    @property
    def session(self) -> SSL.Session | None:
        """The session, for a client to offer again."""
        return self._connection.get_session()

    def handshake(self) -> None:
        """Go on with the handshake. Raises WantRead, WantWrite, DataTLSRefused."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            raise WantRead from None
        except SSL.WantWriteError:
            raise WantWrite from None
        except SSL.Error as error:
            raise DataTLSRefused(detail=reason_of(error)) from error
        self.established = True

    def fileno(self) -> int:
        """The descriptor, for the reactor alone; -1 once closed."""
        return self._sock.fileno()

    def accept_end(self, *received: int) -> None:
        """See ISecureChannel."""
        self._ends = received

    def recv_into(self, buffer: memoryview) -> int:
        """Fill ``buffer`` as far as there are records; 0 at close_notify.

        Raises WantRead, WantWrite, ConnectionLost, and Truncated when the connection ended
        without close_notify.
        """
        total = 0
        size = len(buffer)
        receive = self._connection.recv_into
        while total < size and not self._ended and self._failure is None:
            try:
                total += receive(buffer[total:], min(RECORD, size - total))
            except SSL.WantReadError:
                if self._fetch():
                    continue
                if total:
                    break
                raise WantRead from None
            except SSL.WantWriteError:
                if total:
                    break
                raise WantWrite from None
            except SSL.ZeroReturnError:
                self._ended = True
            except SSL.Error as error:
                # What came before it is whole: it is given first, and the error with the next call.
                failure = _read_failure(error)
                if isinstance(failure, Truncated) and self._may_end(self._received + total):
                    self._ended = True
                else:
                    self._failure = failure
        self._received += total
        if not total and self._failure is not None:
            raise self._failure
        return total

    def _fetch(self) -> bool:
        """Whether more could be fetched for OpenSSL, which here fetches for itself."""
        return False

    def _may_end(self, received: int) -> bool:
        return self._ends is not None and (not self._ends or received in self._ends)

    def send(self, data: bytes | memoryview) -> int:
        """Bytes written in whole records. Raises WantRead, WantWrite, ConnectionLost."""
        total = 0
        view = memoryview(data)
        send = self._connection.send
        try:
            while total < len(view):
                total += send(view[total:])
        except SSL.WantWriteError:
            if not total:
                raise WantWrite from None
        except SSL.WantReadError:
            if not total:
                raise WantRead from None
        except SSL.Error as error:
            raise ConnectionLost(detail=reason_of(error)) from error
        return total

    def shutdown(self) -> bool:
        """Send close_notify, then the end. Raises WantWrite, ConnectionLost."""
        self._say_end()
        sock = self._sock
        try:
            sock.shutdown(socket.SHUT_WR)
            # Records that nobody will read: left unread, they would turn the end into a reset.
            for _ in range(DRAIN_READS):
                if not sock.recv(DRAIN_SIZE):
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            raise lost(error) from error
        return True

    def _say_end(self) -> None:
        """Send close_notify."""
        try:
            self._connection.shutdown()
        except SSL.WantWriteError:
            raise WantWrite from None
        except SSL.WantReadError:
            raise WantRead from None
        except SSL.Error as error:
            raise ConnectionLost(detail=reason_of(error)) from error

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._keep_session()
        self._sock.close()

    def abort(self) -> None:
        """Close with a reset and without close_notify. May be called twice."""
        self._keep_session()
        reset(self._sock)

    def _keep_session(self) -> None:
        """Let the session outlive a connection that was not shut down: OpenSSL would take it for broken."""
        self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's own words for what went wrong: fixed texts, nothing of the peer's."""
    first: Any = error.args[0] if error.args else ""
    if isinstance(error, SSL.SysCallError):
        return errno.errorcode.get(first, "unexpected end")
    if isinstance(first, list) and first:
        return str(first[0][-1])
    return type(error).__name__


def _read_failure(error: SSL.Error) -> XferError:
    if isinstance(error, SSL.SysCallError) and error.args[0] in {-1, 0}:
        return Truncated(detail="no close_notify")
    return ConnectionLost(detail=reason_of(error))


@implementer(IReadDescriptor, IWriteDescriptor)
class Handshake:
    """One handshake under way, under a deadline."""

    __slots__ = ("_channel", "_deadline", "_fd", "_reactor", "_reading", "_writing", "result")

    def __init__(self, reactor: DescriptorReactor, channel: TLSChannel) -> None:
        self._reactor = reactor
        self._channel = channel
        self._fd = channel.fileno()
        self._reading = self._writing = False
        self._deadline: IDelayedCall | None = None
        self.result: Deferred[TLSChannel] = Deferred(self._cancelled)

    def start(self, timeout: float) -> None:
        """Take the first step at once; the client's hello is often there."""
        self._step()
        if timeout > 0 and not self.result.called:
            self._deadline = self._reactor.callLater(timeout, self._late)

    def fileno(self) -> int:
        """The channel's descriptor."""
        return self._fd

    def doRead(self) -> None:
        """Readable."""
        self._step()

    def doWrite(self) -> None:
        """Writable."""
        self._step()

    def connectionLost(self, reason: Failure) -> None:
        """Hang-up."""
        self._fail(DataTLSRefused(detail="hang-up during the handshake"))

    def logPrefix(self) -> str:
        """For the log context."""
        return "tls"

    def _step(self) -> None:
        if self.result.called:
            return
        try:
            self._channel.handshake()
        except WantRead:
            self._watch(reading=True, writing=False)
        except WantWrite:
            self._watch(reading=False, writing=True)
        except DataTLSRefused as error:
            self._fail(error)
        else:
            self._stop()
            self.result.callback(self._channel)

    def _watch(self, *, reading: bool, writing: bool) -> None:
        if reading != self._reading:
            self._reading = reading
            (self._reactor.addReader if reading else self._reactor.removeReader)(self)
        if writing != self._writing:
            self._writing = writing
            (self._reactor.addWriter if writing else self._reactor.removeWriter)(self)

    def _stop(self) -> None:
        self._watch(reading=False, writing=False)
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _late(self) -> None:
        self._fail(TimedOut(detail="TLS handshake"))

    def _cancelled(self, result: Deferred[TLSChannel]) -> None:
        self._fail(Cancelled(detail="TLS handshake"))

    def _fail(self, error: XferError) -> None:
        self._stop()
        self._channel.abort()
        if not self.result.called:
            self.result.errback(error)


def handshake_channel(
    reactor: DescriptorReactor, channel: TLSChannel, timeout: float
) -> Deferred[TLSChannel]:
    """Drive the handshake of ``channel``.

    Fails with DataTLSRefused, TimedOut or Cancelled, the channel then being closed.
    """
    handshake = Handshake(reactor, channel)
    handshake.start(timeout)
    return handshake.result
