"""What both ends of an xfer connection have in common: bytes, backpressure, liveness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import ConnectionLost, RemoteProtocolError, TimedOut, XferError
from twisted_xfer.protocols.xfer.errormap import error_message
from twisted_xfer.protocols.xfer.lending import Lending
from twisted_xfer.protocols.xfer.wire.frames import data_header
from twisted_xfer.protocols.xfer.wire.link import Event, Link
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import Error, Ping, Pong

#: The most that is read from the socket at once: content in bulk does not come this way, see bulk.py. Small
#: files do; measured for those of 4 KiB, half of this costs a twentieth more, and twice as much no less.
READ_SIZE: Final = 128 * 1024
#: What we have said beyond a full transport; past it we listen no more until the peer has read it. A
#: window of entries with paths of any length gets its answers within that.
MAX_UNREAD: Final = 1024 * 1024
#: Silence after which we ask, and after which we give up, in seconds.
PING_AFTER: Final = 15.0
DEAD_AFTER: Final = 60.0


class Role(Shape):
    """Who handles what comes once the login is done."""

    def event(self, event: Event) -> None:
        """One event. May raise XferError: the connection then ends with it."""
        ...

    def lost(self, reason: XferError) -> None:
        """The connection is gone."""
        ...


@implementer(IPushProducer)
class Connection(Lending, Protocol):
    """One end. Subclasses do the handshake in ``handshake`` and then set ``role``.

    What the peer controls is bounded: input by the link and by pausing the transport, output by
    ``writable``, which those who send content wait for, and answers by MAX_UNREAD, past which nothing
    more is listened to that would need an answer; time by the two constants above.
    """

    def __init__(self, side: Literal["caller", "listener"], clock: IReactorTime) -> None:
        super().__init__()
        self.link = Link(side)
        self.clock = clock
        self.role: Role | None = None
        #: Takes the inner pieces of large DATA frames, which need no look at anything else.
        self.on_content: Callable[[int, bytes], None] | None = None
        #: Called when what had come is dispatched: does what was put off until then, and says whether it was anything.
        self.on_pulled: Callable[[], bool] | None = None
        #: Why it ended, as far as we know better than the transport.
        self.reason: XferError | None = None
        self._paused = False
        self._pulling = False
        self._unread = 0
        self._last_heard = 0.0
        #: When something other than PING and PONG was said, or the peer took what we had for it.
        self.last_moved = 0.0
        #: Until when the peer has something to do that nothing is heard of.
        self.patient_until = 0.0
        self._watch: IDelayedCall | None = None
        self._close_later = False

    # --- the transport ---------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Whether bytes go through TLS."""
        return ISSLTransport.providedBy(self.transport)

    def connectionMade(self) -> None:
        """Begin to watch and to be told when the peer reads slowly."""
        transport = self.transport
        raw: Any = self._raw
        if ITCPTransport.providedBy(raw):
            raw.setTcpNoDelay(True)
            raw.setTcpKeepAlive(True)
            raw.bufferSize = READ_SIZE  # type: ignore[attr-defined]
        if transport is not None:
            transport.registerProducer(self, True)
        self._last_heard = self.last_moved = self.clock.seconds()
        self._watch = self.clock.callLater(PING_AFTER, self._check_alive)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._closing:
            return
        self._last_heard = self.clock.seconds()
        try:
            if self.on_content is not None and not self._paused and not self._pulling:
                stream = self.link.pass_content(data)
                if stream:
                    self.last_moved = self._last_heard
                    self.on_content(stream, data)
                    return
            self.link.receive_data(data)
        except XferError as error:
            self.fail(error)
            return
        self._pull()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.closed = self._closing = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        error = self.reason or ConnectionLost(None, type(reason.value).__name__)
        role, self.role = self.role, None
        self.on_content = self.on_pulled = None
        if role is not None:
            role.lost(error)
        self.wake()
        self.forget_line()
        self.ended(error)

    def ended(self, error: XferError) -> None:
        """For subclasses: after the role was told."""

    # --- input -----------------------------------------------------------------------------

    def _pull(self) -> None:
        if self._pulling:
            return
        self._pulling = more = True
        try:
            while more:
                try:
                    self._dispatch_all()
                finally:
                    # Before an error is said, as it came before that.
                    more = self.on_pulled is not None and self.on_pulled()
        except XferError as error:
            self.fail(error)
        finally:
            self._pulling = False

    def _dispatch_all(self) -> None:
        now = self.clock.seconds()
        while self._listens and not self._closing:
            event = self.link.next_event()
            if event is None:
                break
            self._dispatch(event, now)

    def _dispatch(self, event: Event, now: float) -> None:
        if isinstance(event, Ping):
            self.send(Pong())
            return
        if isinstance(event, Pong):
            return
        self.last_moved = now
        if isinstance(event, Error) and not event.stream:
            self.remote_error(event)
        elif self.role is not None:
            self.role.event(event)
        else:
            self.handshake(event)

    def handshake(self, event: Event) -> None:
        """For subclasses: an event before there is a role."""
        raise RemoteProtocolError(detail="out of order")

    def remote_error(self, error: Error) -> None:
        """For subclasses: the peer ends the connection."""
        self.close()

    def pause(self) -> None:
        """Take no more events for now."""
        if not self._paused:
            self._paused = True
            producer = IPushProducer(self.transport, None)
            if producer is not None and not self.closed and not self.lent:
                producer.pauseProducing()

    def resume(self) -> None:
        """Take events again, those first that have come already."""
        if self._paused:
            self._paused = False
            self._last_heard = self.last_moved = self.clock.seconds()
            if self.lent:
                return
            self._pull()
            producer = IPushProducer(self.transport, None)
            if producer is not None and self._listens and not self.closed:
                producer.resumeProducing()

    @property
    def _listens(self) -> bool:
        """Whether events are taken: neither a role has paused us, nor a peer that does not read."""
        return not self._paused and self._unread <= MAX_UNREAD

    # --- output ----------------------------------------------------------------------------

    def send(self, *messages: Message) -> None:
        """Send messages."""
        if not self._closing and self.transport is not None:
            frames = [self.link.encode(message) for message in messages]
            self.write_pieces(frames)
            if self._full:
                # Others wait for ``writable``; an answer cannot, so what asks for it must.
                self._unread += sum(map(len, frames))
                if self._unread > MAX_UNREAD and not self.lent:
                    IPushProducer(self.transport).pauseProducing()

    def send_data(self, stream: int, data: bytes) -> None:
        """Send a DATA frame."""
        if not self._closing and self.transport is not None:
            self.write_pieces([data_header(stream, len(data)), data])

    def send_raw(self, data: bytes) -> None:
        """Send bytes that make whole frames."""
        if not self._closing and self.transport is not None:
            self.write_pieces([data])

    def writable(self) -> Deferred[None] | None:
        """None, or a Deferred that fires when the peer has read enough (or is gone)."""
        return self.waiter() if self._full and not self._closing else None

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._full = True

    def resumeProducing(self) -> None:
        """There is room again."""
        self._full = False
        self.last_moved = self.clock.seconds()
        unread, self._unread = self._unread, 0
        self.wake()
        if unread > MAX_UNREAD and not self._closing and not self.lent:
            self._pull()
            if self._listens and not self._closing:
                IPushProducer(self.transport).resumeProducing()

    def stopProducing(self) -> None:
        """The connection is going away."""
        self.resumeProducing()

    def line_is_back(self) -> None:
        """Go on with what waited while a thread had the line."""
        self._last_heard = self.last_moved = self.clock.seconds()
        self._unread = 0
        if self._close_later:
            self._close_now()
        if not self._paused:
            self._pull()
        if self._listens and not self.lent:
            IPushProducer(self.transport).resumeProducing()

    # --- the end ---------------------------------------------------------------------------

    def fail(self, error: XferError) -> None:
        """Tell the peer why, and close."""
        if self._closing:
            return
        self.reason = error
        self.send(error_message(error))
        self.close()

    def close(self) -> None:
        """Close once everything was sent."""
        if not self._closing and self.transport is not None:
            self._closing = True
            self._paused = not self._listens
            self.resumeProducing()
            if self.lent:
                self._close_later = True
            else:
                self._close_now()

    def _close_now(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        producer = IPushProducer(transport, None)
        if self._paused and producer is not None:
            # TLS ends only when the peer's own end is read.
            producer.resumeProducing()
        transport.loseConnection()

    def cut(self, reason: XferError) -> None:
        """Close at once, whatever is still to be sent."""
        if self.reason is None:
            self.reason = reason
        self._closing = True
        if self.transport is not None:
            self.transport.abortConnection()

    def _check_alive(self) -> None:
        self._watch = self.clock.callLater(PING_AFTER, self._check_alive)
        silent = self.clock.seconds() - self._last_heard
        if self._closing:
            # What was to be said was little; a peer that does not take it is not waited for.
            self.cut(TimedOut(None, "would not close"))
            return
        if self._paused:
            # It is us who do not listen, so the peer must hear that we are there.
            if self.role is not None:
                self.send(Ping())
            return
        if silent >= DEAD_AFTER:
            self._watch.cancel()
            self._watch = None
            self.cut(TimedOut(None, "nothing heard"))
        elif silent >= PING_AFTER and self.role is not None:
            self.send(Ping())
        self.check_idle(self.clock.seconds() - max(self.last_moved, self.patient_until))

    def check_idle(self, seconds: float) -> None:
        """For subclasses: nothing has moved for so long."""
