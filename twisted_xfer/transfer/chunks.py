"""Sending what a file answers to read(): for TLS, for text, and for files that are no files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted_xfer.errors import SourceChanged
from twisted_xfer.interfaces import IChannel, ILimiter, IReadFile, ISecureChannel, TransferMode
from twisted_xfer.transfer.pump import Bench, Pump
from twisted_xfer.transfer.text import to_wire

#: What one read() is asked for. Measured: larger falls out of the processor's cache.
CHUNK: Final = 256 * 1024

#: A source other than a file that answers with less than this made it up for us (a listing formats
#: a batch of entries): one such read a turn, or the replies of every other session wait for it.
#: Measured: 16 ms for a NOOP beside a LIST of 10,000 without it, 2.4 ms with it.
SMALL_READ: Final = 64 * 1024

EMPTY: Final = memoryview(b"")


class ChunkPump(Pump):
    """File to channel through our memory, reading one chunk ahead of a file that answers later.

    Bounded: one chunk being written and one read ahead (twice the size in text mode).
    """

    __slots__ = (
        "_ahead",
        "_asked",
        "_at_end",
        "_encode",
        "_file",
        "_made_up",
        "_out",
        "_piece",
        "_read",
        "_starved",
        "_wanted",
    )

    def __init__(
        self,
        bench: Bench,
        file: IReadFile,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None,
        stall: float,
    ) -> None:
        super().__init__(bench, channel, limiter, stall)
        self._file = file
        self._encode: Callable[[bytes], bytes] | None = None
        if mode is TransferMode.ASCII:
            file.mode = "ascii"
            self._encode = to_wire
        #: Bytes of the file that have been read from it, by us or by the kernel.
        self._read = file.offset
        self._ahead: bytes | None = None
        self._asked = False
        self._starved = False
        self._made_up = False
        self._at_end = False
        self._wanted = CHUNK
        self._out = EMPTY
        #: What the limiter let through of ``_out`` and the channel has not taken: TLS wants the
        #: very same bytes again after it said that it was not ready.
        self._piece = EMPTY

    def _step(self) -> None:
        budget = self._bench.unit()
        while budget > 0:
            if self._made_up and not self._piece and not self._out:
                self._made_up = False
                break
            if not self._piece and not self._next_piece(budget):
                return
            sent = (self._send_last if self._at_end and not self._out else self._channel.send)(self._piece)
            short = sent < len(self._piece)
            self._piece = self._piece[sent:]
            self._moved(sent)
            budget -= sent
            if short:
                break
        self._watch(reading=False, writing=True)

    def _send_last(self, piece: memoryview) -> int:
        """The end follows: over TLS in the same segment."""
        channel = self._channel
        return (ISecureChannel(channel).send_last if ISecureChannel.providedBy(channel) else channel.send)(
            piece
        )

    def _next_piece(self, budget: int) -> bool:
        """Cut the next piece off what has been read; False when there is something to wait for, or the end."""
        if not self._out:
            if self._ahead is None and not self._at_end and not self._asked:
                self._ask()
            if self._ahead is None:
                if self._at_end:
                    self._finish()
                else:
                    self._starved = True
                    self._watch(reading=False, writing=False)
                return False
            data, self._ahead = self._ahead, None
            self._out = memoryview(data if self._encode is None else self._encode(data))
        granted = self._allow(min(len(self._out), budget))
        if granted <= 0:
            return False
        self._piece = self._out[:granted]
        self._out = self._out[granted:]
        return True

    def _ask(self) -> None:
        """Read one chunk; of a file what is left and a byte more, whose absence tells that this is the end."""
        info = self._file.info
        left = info.size - self._read
        self._wanted = left + 1 if 0 < left < CHUNK and info.kind == "file" else CHUNK
        answer = self._file.read(self._wanted)
        if isinstance(answer, bytes):
            self._arrived(answer)
            return
        self._asked = True
        self._wait_for(answer, self._arrived_late, quiet=False)

    def _arrived(self, data: bytes) -> None:
        if data:
            count = len(data)
            self._read += count
            self._ahead = data
            info = self._file.info
            if info.kind != "file":
                self._made_up = count < SMALL_READ
            else:
                self._at_end = count < self._wanted and self._read == info.size
        else:
            self._at_end = True

    def _arrived_late(self, data: bytes) -> None:
        self._asked = False
        self._arrived(data)
        if self._starved:
            self._starved = False
            self._run()

    def _finish(self) -> None:
        """Nothing is left to send: say so, unless the file is not what it was."""
        missing = self._file.info.size - self._read
        if missing > 0:
            raise SourceChanged(detail="the file became shorter", missing=missing)
        self._channel.shutdown()
        self._end(None)

    def _release(self) -> None:
        self._return(len(self._piece))
        self._piece = self._out = EMPTY
        self._ahead = None
        try:
            self._file.close(self._reason)
        except Exception:  # noqa: BLE001 - the transfer has ended, and its own reason is the one to tell
            self._bench.log.failure("closing a file after a transfer")
        self._fire(self._reason)
