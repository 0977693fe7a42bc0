"""Receiving from a channel into an upload through one reused buffer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.errors import (
    AlreadyExists,
    Cancelled,
    DigestMismatch,
    QuotaExceeded,
    TooLarge,
    Truncated,
    Vetoed,
    XferError,
)
from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    IChannel,
    ILimiter,
    IUpload,
    TransferMode,
    WantRead,
    WantWrite,
)
from twisted_xfer.interfaces.answers import waiting
from twisted_xfer.transfer.faults import from_system
from twisted_xfer.transfer.pump import Bench, Pump, deferred
from twisted_xfer.transfer.text import FromWire

#: Bytes of a reused buffer, and the most that one recv_into() is given.
BUFFER: Final = 256 * 1024

#: Nothing of such an upload may be kept; everything else may be resumed.
DROPPED: Final = (QuotaExceeded, TooLarge, Vetoed, AlreadyExists)
#: After these commit() has kept the part itself.
KEPT_BY_COMMIT: Final = (Truncated, DigestMismatch)


class ReceivePump(Pump):
    """Channel to upload through our memory.

    Bounded: one buffer, and no reading while a write has not been answered.
    """

    __slots__ = (
        "_asking",
        "_buffer",
        "_decoder",
        "_expected",
        "_over",
        "_stored",
        "_tight",
        "_upload",
        "confirm",
    )

    def __init__(
        self,
        bench: Bench,
        upload: IUpload,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None,
        stall: float,
        expected: Expected | None,
    ) -> None:
        super().__init__(bench, channel, limiter, stall)
        self._upload = upload
        self._expected = expected
        self._decoder: FromWire | None = None
        if mode is TransferMode.ASCII:
            upload.mode = "ascii"
            self._decoder = FromWire()
        #: What the file holds, whether the last grant was short, and the error that the next byte meets.
        self._stored = upload.offset
        self._tight = False
        self._over: XferError | None = None
        self._buffer: memoryview | None = None
        #: Asked at the end, before commit(); see ITransfers.upload.
        self.confirm: Callable[[], Eventually[None]] | None = None
        self._asking: Deferred[None] | None = None

    # --- moving ------------------------------------------------------------------------------

    def _step(self) -> None:
        self._by_hand(self._bench.unit())

    def _by_hand(self, budget: int) -> None:
        """Receive up to ``budget`` bytes through the buffer."""
        while budget > 0:
            count = self._receive(min(budget, BUFFER))
            if count <= 0:
                return
            budget -= count
        self._put_buffer()
        self._unit_done()

    def _unit_done(self) -> None:
        if self._channel.secure:
            self._soon()
        else:
            self._watch(reading=True, writing=False)

    def _room(self, wanted: int) -> int:
        """How much may be stored; 0 when the next byte has to come before that is known.

        After less was granted than asked for, the file may be full to the byte, and then its end
        is as welcome as any: asking again would report a quota as exceeded that is only used up.
        """
        if self._tight:
            return 0
        try:
            room = self._upload.reserve(wanted)
        except (QuotaExceeded, TooLarge) as error:
            self._over = error
            room = 0
        self._tight = room < wanted
        return room

    def _receive(self, wanted: int) -> int:
        """Move one bufferful; 0 when the step is over: at the end, paused, or waiting for the storage."""
        room = self._room(wanted)
        if not room:
            self._put_buffer()
            return self._next_byte()
        granted = room if self._limiter is None else self._allow(room)
        if granted <= 0:
            self._put_buffer()
            return 0
        buffer = self._buffer
        if buffer is None:
            buffer = self._buffer = self._bench.take_buffer()
        count = 0
        try:
            count = self._channel.recv_into(buffer if granted == BUFFER else buffer[:granted])
        except Truncated:
            self._cut()
            return 0
        finally:
            if count < granted and self._limiter is not None:
                self._return(granted - count)
            if not count:
                self._put_buffer()
        if not count:
            self._received_all()
            return 0
        self._moved(count)
        return count if self._store(buffer[:count]) else 0

    def _store(self, data: memoryview) -> bool:
        """Write ``data``; False when the answer is still to come, for which the buffer has to wait."""
        plain = data if self._decoder is None else self._decoder.feed(data)
        self._stored += len(plain)
        answer = self._upload.write(plain)
        if answer is None:
            return True
        self._wait_for(answer, self._written)
        return False

    def _written(self, answer: None) -> None:
        self._put_buffer()
        self._watch(reading=True, writing=False)
        if self._channel.secure:
            self._soon()

    def _put_buffer(self) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            self._bench.put_buffer(buffer)

    def _next_byte(self) -> int:
        """Take one byte and ask for room for it then; answers as ``_receive``."""
        data = memoryview(bytearray(1))
        try:
            count = self._channel.recv_into(data)
        except Truncated:
            self._cut()
            return 0
        if not count:
            self._received_all()
            return 0
        if self._over is not None:
            raise self._over
        self._upload.reserve(1)
        self._tight = False
        self._moved(1)
        return 1 if self._store(data) else 0

    def _cut(self) -> None:
        """The channel ended without its promised end: whole all the same if the announced size is there."""
        if self._expected is None or self._expected.size is None or self._expected.size != self._stored:
            raise Truncated(detail="no close_notify", transferred=self.transferred)
        self._received_all()

    def _received_all(self) -> None:
        rest = self._decoder.end() if self._decoder is not None else b""
        if rest:
            self._upload.reserve(len(rest))
            self._stored += len(rest)
            answer = self._upload.write(rest)
            if answer is not None:
                self._wait_for(answer, self._last_written)
                return
        self._last_written(None)

    def _last_written(self, answer: None) -> None:
        confirmed = None if self.confirm is None else self.confirm()
        if confirmed is None:
            self._confirmed(None)
        else:
            asking = self._asking = deferred(confirmed)
            self._wait_for(asking, self._confirmed)

    def _confirmed(self, answer: None) -> None:
        self._asking = None
        if self._channel.secure:
            # Our own close_notify is a courtesy: the peer has said all it had to say, and is often gone.
            with contextlib.suppress(WantRead, WantWrite, XferError):
                self._channel.shutdown()
        self._end(None)

    # --- the end -------------------------------------------------------------------------------

    def _end(self, reason: Exception | None) -> None:
        """As for every pump; an answer that no longer matters keeps nobody from going on with the part."""
        super()._end(reason)
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _release(self) -> None:
        self._put_buffer()
        reason = self._reason
        try:
            if reason is None:
                answer: Any = self._upload.commit(self._expected)
            elif isinstance(reason, DROPPED):
                answer = self._upload.abort(reason)
            else:
                answer = self._upload.suspend(reason)
        except Exception as error:  # noqa: BLE001 - a third party's upload raises what it likes
            self._not_released(error)
            return
        if waiting(answer):
            deferred(answer).addCallbacks(self._released, self._release_failed)
        else:
            self._fire(reason)

    def _released(self, answer: object) -> None:
        self._fire(self._reason)

    def _release_failed(self, failure: Failure) -> None:
        error = failure.value
        self._not_released(error if isinstance(error, Exception) else Cancelled(detail=type(error).__name__))

    def _not_released(self, error: Exception) -> None:
        """commit() failed, and that is the reason now; or the close path did, and the old reason stays."""
        if self._reason is not None:
            self._bench.log.error("letting go of an upload: {error}", error=error)
            self._fire(self._reason)
            return
        if isinstance(error, OSError):
            error = from_system(error)
        self._reason = error
        if isinstance(error, KEPT_BY_COMMIT):
            self._fire(error)
        else:
            self._release()
