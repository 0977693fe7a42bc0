"""What every pump has in common: readiness, one unit a turn, stall, limit, cancel, one way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import Cancelled, ConnectionLost, TimedOut, TransferError
from twisted_xfer.interfaces import Eventually, IBlocking, IChannel, ILimiter, ITransfer, WantRead, WantWrite
from twisted_xfer.transfer.choose import Kernel
from twisted_xfer.transfer.faults import from_system

#: A limiter that has nothing to give and says "now" would else spin.
SHORTEST_PAUSE: Final = 0.001

T = TypeVar("T")


class PumpReactor(Protocol):
    """What is asked of the reactor: descriptors (IReactorFDSet) and time (IReactorTime)."""

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

    def seconds(self) -> float:
        """The clock."""
        ...


class Bench(Protocol):
    """What pumps share: see ``Transfers``."""

    reactor: PumpReactor
    blocking: IBlocking
    kernel: Kernel
    log: Logger

    def unit(self) -> int:
        """Bytes that one transfer may move in one turn."""
        ...

    def sendfile_unit(self) -> int:
        """The same for sendfile."""
        ...

    def begun(self) -> None:
        """One more transfer is under way."""

    def done(self) -> None:
        """One less."""

    def take_buffer(self) -> memoryview:
        """A buffer of CHUNK bytes."""
        ...

    def put_buffer(self, buffer: memoryview) -> None:
        """Give it back."""

    def take_pipe(self) -> tuple[int, int]:
        """An empty pipe: its reading and its writing end. Raises OSError."""
        ...

    def put_pipe(self, pipe: tuple[int, int], empty: bool) -> None:
        """Give it back; one that is not empty is closed."""


def deferred(answer: Eventually[T]) -> Deferred[T]:
    """An answer that is not a value yet."""
    return answer if isinstance(answer, Deferred) else ensureDeferred(answer)  # type: ignore[arg-type]


@implementer(ITransfer, IReadDescriptor, IWriteDescriptor)
class Pump:
    """One transfer under way, registered with the reactor only while the socket is not ready.

    Subclasses give ``_step`` (move at most one unit, then say what to wait for) and ``_release``
    (the storage's side of the end, then ``_fire``).
    """

    __slots__ = (
        "_again",
        "_bench",
        "_channel",
        "_ended",
        "_fd",
        "_limiter",
        "_paused",
        "_pending",
        "_progress",
        "_reading",
        "_reason",
        "_stall",
        "_stalled",
        "_writing",
        "result",
        "transferred",
    )

    def __init__(self, bench: Bench, channel: IChannel, limiter: ILimiter | None, stall: float) -> None:
        self.transferred = 0
        self.result: Deferred[int] = Deferred(self._dropped)
        self._bench = bench
        self._channel = channel
        self._limiter = limiter
        self._stall = stall
        self._fd = channel.fileno()
        self._reading = self._writing = self._ended = False
        #: Calls to the storage or a thread that have not answered: the end waits for them.
        self._pending = 0
        self._reason: Exception | None = None
        self._progress = 0.0
        self._stalled: IDelayedCall | None = None
        self._paused: IDelayedCall | None = None
        self._again: IDelayedCall | None = None
        bench.begun()

    def start(self) -> None:
        """The first step, before the reactor is asked for anything: most files are small."""
        self._run()

    def cancel(self, reason: Exception | None = None) -> None:
        """End early; without effect once the end has begun."""
        self._end(reason or Cancelled())

    # --- what the reactor calls -----------------------------------------------------------

    def fileno(self) -> int:
        """The channel's descriptor, also while it is being taken out of the reactor."""
        return self._fd

    def doRead(self) -> None:
        """Readable."""
        if self._again is None and self._paused is None:
            self._run()

    def doWrite(self) -> None:
        """Writable."""
        if self._again is None and self._paused is None:
            self._run()

    def connectionLost(self, reason: Failure) -> None:
        """Hang-up or error, with nothing left to read."""
        self._end(ConnectionLost(detail="hang-up"))

    def logPrefix(self) -> str:
        """For the log context."""
        return "transfer"

    # --- for subclasses ---------------------------------------------------------------------

    def _step(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        """Make one step; whatever it raises ends the transfer."""
        if self._ended:
            return
        try:
            self._step()
        except WantWrite:
            self._watch(reading=False, writing=True)
        except WantRead:
            self._watch(reading=True, writing=False)
        except OSError as error:
            self._end(from_system(error))
        except Exception as error:  # noqa: BLE001 - a third party's file raises what it likes; the transfer must end
            self._end(error)

    def _moved(self, count: int) -> None:
        self.transferred += count
        if self._stalled is not None:
            self._progress = self._bench.reactor.seconds()

    def _watch(self, *, reading: bool, writing: bool) -> None:
        """Wait for readiness. Descriptors that are watched already cost nothing."""
        if self._ended:
            return
        reactor = self._bench.reactor
        if reading != self._reading:
            self._reading = reading
            if reading:
                reactor.addReader(self)
            else:
                reactor.removeReader(self)
        if writing != self._writing:
            self._writing = writing
            if writing:
                reactor.addWriter(self)
            else:
                reactor.removeWriter(self)
        if self._stalled is None and (reading or writing):
            self._watch_stall()

    def _watch_stall(self) -> None:
        """Begin to count; a transfer that ends in its first turn never does."""
        if self._stall > 0:
            reactor = self._bench.reactor
            self._progress = reactor.seconds()
            self._stalled = reactor.callLater(self._stall, self._check_stall)

    def _soon(self) -> None:
        """Go on in the next turn, whatever the socket says: TLS may hold bytes that it has read already."""
        self._watch(reading=self._reading, writing=self._writing)
        if self._again is None and not self._ended:
            self._again = self._bench.reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self._run()

    def _allow(self, wanted: int) -> int:
        """How much the limiter lets through now; 0 when the pump has been paused."""
        limiter = self._limiter
        if limiter is None:
            return wanted
        granted = limiter.take(wanted)
        if granted <= 0:
            self._watch(reading=False, writing=False)
            delay = max(limiter.delay(), SHORTEST_PAUSE)
            self._paused = self._bench.reactor.callLater(delay, self._resume)
        return granted

    def _return(self, unused: int) -> None:
        if unused > 0 and self._limiter is not None:
            self._limiter.give_back(unused)

    def _resume(self) -> None:
        self._paused = None
        self._progress = self._bench.reactor.seconds()
        self._run()

    def _wait_for(self, answer: Eventually[T], then: Callable[[T], None], quiet: bool = True) -> None:
        """Wait for the storage or a thread; ``quiet``: and leave the socket alone meanwhile."""
        self._pending += 1
        if self._stalled is None:
            self._watch_stall()
        if quiet:
            self._watch(reading=False, writing=False)
        deferred(answer).addCallbacks(self._answered, self._unanswered, callbackArgs=(then,))

    def _answered(self, value: Any, then: Callable[[Any], None]) -> None:
        self._pending -= 1
        if self._ended:
            self._settle()
            return
        self._progress = self._bench.reactor.seconds()
        try:
            then(value)
        except OSError as error:
            self._end(from_system(error))
        except Exception as error:  # noqa: BLE001 - as in _run
            self._end(error)

    def _unanswered(self, failure: Failure) -> None:
        self._pending -= 1
        if self._ended:
            self._settle()
            return
        error = failure.value
        if isinstance(error, OSError):
            error = from_system(error)
        self._end(error if isinstance(error, Exception) else Cancelled(detail=type(error).__name__))

    # --- the end ----------------------------------------------------------------------------

    def _end(self, reason: Exception | None) -> None:
        """The one way out: reactor, channel, storage, result, in this order and once."""
        if self._ended:
            return
        self._watch(reading=False, writing=False)
        self._ended = True
        self._reason = reason
        for call in (self._stalled, self._paused, self._again):
            if call is not None and call.active():
                call.cancel()
        self._stalled = self._paused = self._again = None
        if reason is None:
            self._channel.close()
        else:
            self._channel.abort()
            if isinstance(reason, TransferError):
                reason.fields.setdefault("transferred", self.transferred)
        self._settle()

    def _settle(self) -> None:
        if not self._pending:
            self._release()

    def _fire(self, reason: Exception | None) -> None:
        self._bench.done()
        if self.result.called:
            # Whoever cancelled the Deferred itself has had its answer.
            return
        if reason is None:
            self.result.callback(self.transferred)
        else:
            self.result.errback(reason)

    def _dropped(self, result: Deferred[int]) -> None:
        self._end(Cancelled())

    def _check_stall(self) -> None:
        self._stalled = None
        reactor = self._bench.reactor
        now = reactor.seconds()
        if self._paused is not None:
            # Our own limit is no fault of the peer's.
            self._progress = now
        left = self._progress + self._stall - now
        if left <= 0:
            self._end(TimedOut(detail="no progress"))
        else:
            self._stalled = reactor.callLater(left, self._check_stall)
