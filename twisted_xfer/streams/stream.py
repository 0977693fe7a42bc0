"""One connection whose bytes a pure reader turns into events, read by a coroutine at its own pace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from typing import Protocol as Shape

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import ConnectionLost, SourceChanged, TimedOut
from twisted_xfer.interfaces import Eventually, ILimiter, IUpload
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.streams.drain import Queued, drained, kernel_queue

T = TypeVar("T")

#: Bytes read from a file at once: as many as a transport buffers before it asks for a pause.
CHUNK: Final = 64 * 1024


class Reader(Shape):
    """A pure wire: takes bytes, gives events until None."""

    def receive_data(self, data: bytes, /) -> None:
        """Take bytes."""
        ...

    def next_event(self) -> Any:
        """The next event, or None. Raises RemoteProtocolError."""
        ...


@implementer(IPushProducer)
class Outlet:
    """Learns from a transport when its buffer is full and when it is empty again."""

    def __init__(self) -> None:
        self.full = False
        self.empty: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self.full = True

    def resumeProducing(self) -> None:
        """It is empty."""
        self.full = False
        empty, self.empty = self.empty, None
        if empty is not None:
            empty.callback(None)

    def stopProducing(self) -> None:
        """The connection is down: whoever waits is told by it."""


class WireStream(Protocol):
    """Feeds ``reader``, and stops reading the network while nobody asks for events.

    So at most one read of the transport (64 KiB) waits in memory. A connection on which nothing
    moves for ``idle`` seconds is aborted (0: never).

    Attributes:
        lost: why the connection is down, or None while it is up.
        timed_out: whether it was silence that ended it.
        finished: whether the peer said that it sends no more, on a connection that is still up.
    """

    transport: Any = None

    def __init__(self, clock: IReactorTime, idle: float, queued: Queued = kernel_queue) -> None:
        self.clock = clock
        self.lost: Failure | None = None
        self.timed_out = False
        self.finished = False
        self.reader: Any = None
        self._idle = idle
        self._queued = queued
        self._timer: IDelayedCall | None = None
        self._wake: Deferred[None] | None = None
        self._waiting: Deferred[Any] | None = None
        self._paused = False
        self._guard: Outlet | None = None

    # --- the transport's calls -------------------------------------------------------------

    def connectionMade(self) -> None:
        """Count the time."""
        if self._idle:
            self._timer = self.clock.callLater(self._idle, self._silent)

    def dataReceived(self, data: bytes) -> None:
        """Hand it on, and read no more until it is used."""
        self.touch()
        self.reader.receive_data(data)
        if not self._wake_up() and not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """The peer sends no more: only for those that provide IHalfCloseableProtocol."""
        self.finished = True
        self._wake_up()

    def writeConnectionLost(self) -> None:
        """All that was written is sent: only for those that provide IHalfCloseableProtocol."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Wake whoever waits for this connection."""
        self.lost = reason
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self._wake_up() and self._waiting is not None:
            self._waiting.cancel()

    def _wake_up(self) -> bool:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.callback(None)
        return wake is not None

    # --- for the coroutine -----------------------------------------------------------------

    @property
    def ended_cleanly(self) -> bool:
        """Whether the peer closed in order: what came is all that was sent."""
        if self.lost is None:
            return self.finished
        return isinstance(self.lost.value, ConnectionDone)

    def touch(self) -> None:
        """Something moved."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(self._idle)

    def set_idle(self, seconds: float) -> None:
        """From now on another limit of silence (0: none)."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._idle = seconds
        self._timer = self.clock.callLater(seconds, self._silent) if seconds and self.lost is None else None

    async def next_event(self) -> Any:
        """The reader's next event, or None when the connection is down and there are no more.

        Raises:
            RemoteProtocolError: the reader's.
        """
        while (event := self.reader.next_event()) is None and await self.any_bytes():
            continue
        return event

    async def any_bytes(self) -> bool:
        """Wait for bytes; False when no more can come."""
        if self.lost is not None or self.finished:
            return False
        wake: Deferred[None] = Deferred()
        self._wake = wake
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        await wake
        return True

    async def need_event(self) -> Any:
        """The next event.

        Raises:
            TimedOut, ConnectionLost: there is none.
            RemoteProtocolError: the reader's.
        """
        event = await self.next_event()
        if event is None:
            raise self.gone()
        return event

    async def more(self, seconds: float) -> bool:
        """Whether anything came, or the end did, within ``seconds``: for messages that only silence ends."""
        came = True

        def silence() -> None:
            nonlocal came
            came = False
            self._wake_up()

        timer = self.clock.callLater(seconds, silence)
        came = await self.any_bytes() and came
        if timer.active():
            timer.cancel()
        return came

    def gone(self) -> TimedOut | ConnectionLost:
        """What to raise for a connection that went down too early."""
        if self.timed_out:
            return TimedOut(detail="no answer")
        reason = getattr(self.lost, "value", None)
        if isinstance(reason, TLSError):
            # The last of OpenSSL's own words for it: a certificate that is not trusted, or no TLS at all.
            words = [str(entry[-1]) for entry in reason.args[0] if entry] if reason.args else []
            return ConnectionLost(detail=f"TLS failed: {words[-1] if words else 'no reason given'}")
        return ConnectionLost(
            detail="the connection was closed" if self.ended_cleanly else "the connection broke"
        )

    def guard(self) -> None:
        """Learn from here on when the peer does not read what is written; see breathe."""
        self._guard = Outlet()
        self.transport.registerProducer(self._guard, True)

    async def breathe(self) -> None:
        """Wait while a guarded transport's buffer is full, so that unread answers do not pile up."""
        guard = self._guard
        if guard is not None and guard.full and self.lost is None:
            guard.empty = Deferred()
            await self.wait(guard.empty)

    async def wait(self, answer: Deferred[T]) -> T:
        """Await ``answer``; it is cancelled when the connection goes down.

        Raises:
            TimedOut, ConnectionLost: the connection is down already.
        """
        if self.lost is not None:
            answer.addErrback(lambda _gone: None)
            answer.cancel()
            raise self.gone()
        self._waiting = answer
        try:
            return await answer
        except CancelledError:
            raise self.gone() from None
        finally:
            self._waiting = None

    async def pause(self, seconds: float) -> None:
        """Wait, and read nothing meanwhile."""
        await self.wait(deferLater(self.clock, seconds))

    async def paced(self, count: int, limiter: ILimiter | None) -> None:
        """Wait until ``limiter`` lets ``count`` bytes that came be taken; of what a lost peer sent, no more."""
        while limiter is not None and self.lost is None and (count := count - limiter.take(count)):
            await deferLater(self.clock, limiter.delay())
            self.touch()

    async def write_alone(self, data: bytes) -> None:
        """Write ``data`` so that what is written next does not stick to it in the peer's read."""
        if self.lost is not None:
            raise self.gone()
        guarded = self._guard is not None
        if guarded:
            self.transport.unregisterProducer()
        await self.wait(drained(self.transport, data, self.clock, self._queued))
        if guarded:
            self.guard()
        self.touch()

    async def send_bytes(
        self,
        read: Callable[[int], Eventually[bytes]],
        size: int,
        limiter: ILimiter | None = None,
        progress: Callable[[int], object] | None = None,
        sent: Callable[[bytes], object] | None = None,
        alone: bool = False,
    ) -> None:
        """Write ``size`` bytes from ``read`` as fast as the peer and ``limiter`` take them.

        ``progress`` is told each count, ``sent`` the bytes (for digests). With ``alone`` what is written
        next does not stick to them, see write_alone.

        Raises:
            SourceChanged: ``read`` gave fewer.
            TimedOut, ConnectionLost: the peer went away.
        """
        outlet = self._guard or Outlet()
        if self.lost is not None:
            raise self.gone()
        if outlet is not self._guard:
            self.transport.registerProducer(outlet, True)
        try:
            left = size
            while left:
                granted = min(left, CHUNK) if limiter is None else limiter.take(min(left, CHUNK))
                if not granted:
                    await self.pause(limiter.delay() if limiter is not None else 0)
                    continue
                data = await resolve(read(granted))
                if not data:
                    raise SourceChanged(detail="shorter than it was", transferred=size - left)
                if self.lost is not None:
                    raise self.gone()
                left -= len(data)
                if left or not alone:
                    self.transport.write(data)
                if sent is not None:
                    sent(data)
                if progress is not None:
                    progress(len(data))
                if outlet.full:
                    outlet.empty = Deferred()
                    await self.wait(outlet.empty)
                self.touch()
        finally:
            if self.lost is None and outlet is not self._guard:
                self.transport.unregisterProducer()
        if alone and size:
            await self.write_alone(data)

    async def store(self, upload: IUpload, data: bytes, limiter: ILimiter | None = None) -> None:
        """Write ``data`` to ``upload`` within its limits.

        Raises:
            QuotaExceeded, TooLarge, and what the storage raises.
        """
        view = memoryview(data)
        while view:
            room = upload.reserve(len(view))
            if limiter is not None:
                room = limiter.take(room)
            if room:
                await resolve(upload.write(view[:room]))
                view = view[room:]
            elif limiter is not None and self.lost is None:
                await self.pause(limiter.delay())
            else:
                # The peer is gone, and what it sent is ours: nothing is left to slow down.
                limiter = None
        self.touch()

    def _silent(self) -> None:
        self.timed_out = True
        self.transport.abortConnection()
