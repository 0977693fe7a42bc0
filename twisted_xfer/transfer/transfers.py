"""The one place where a pump is chosen, and what all pumps share."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    IBlocking,
    IChannel,
    IHasFileno,
    ILimiter,
    IReadFile,
    ITransfers,
    IUpload,
    TransferMode,
)
from twisted_xfer.transfer.choose import Kernel, kernel_may_move
from twisted_xfer.transfer.chunks import ChunkPump
from twisted_xfer.transfer.pump import Pump, PumpReactor
from twisted_xfer.transfer.receive import BUFFER, ReceivePump
from twisted_xfer.transfer.sendfile import SendfilePump
from twisted_xfer.transfer.splice import SplicePump

#: What all transfers together move in one turn, so that a control connection waits about 1 ms;
#: one transfer alone gets it all, for fewer turns per byte.
TURN: Final = 1024 * 1024
#: What sendfile moves in one turn when it is alone: as much as a socket's buffers hold. It copies
#: once, or not at all, so that this too is a matter of 1 ms, and saves three of four turns.
ALONE: Final = 4 * TURN
#: With many transfers the turn grows rather than the units become too small to pay.
LEAST_UNIT: Final = 256 * 1024
#: Linux's default bound of a pipe without privileges (fs.pipe-max-size).
PIPE_SIZE: Final = 1024 * 1024
#: Buffers kept for reuse; more are made when more writes wait at once, and dropped afterwards.
SPARE_BUFFERS: Final = 4


@implementer(ITransfers)
class Transfers:
    """All transfers of one reactor. ``close()`` when the last is done."""

    log = Logger()

    def __init__(self, reactor: PumpReactor, blocking: IBlocking, *, kernel: Kernel | None = None) -> None:
        self.reactor = reactor
        self.blocking = blocking
        self.kernel = Kernel() if kernel is None else kernel
        #: Transfers under way.
        self.active = 0
        self._buffers: list[memoryview] = []
        self._pipe: tuple[int, int] | None = None

    def download(
        self,
        file: IReadFile,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None = None,
        stall: float = 0,
    ) -> Pump:
        """Send ``file``; see ITransfers. A small file is gone when this returns."""
        pump: Pump
        call = self.kernel.sendfile
        plain = not channel.secure and IHasFileno.providedBy(file)
        if call is not None and kernel_may_move(plain, channel.secure, mode, call):
            pump = SendfilePump(self, file, IHasFileno(file).fileno(), channel, limiter, stall, call)
        else:
            pump = ChunkPump(self, file, channel, mode, limiter, stall)
        pump.start()
        return pump

    def upload(
        self,
        upload: IUpload,
        channel: IChannel,
        mode: TransferMode,
        limiter: ILimiter | None = None,
        stall: float = 0,
        expected: Expected | None = None,
        confirm: Callable[[], Eventually[None]] | None = None,
    ) -> Pump:
        """Receive into ``upload``; see ITransfers. What has come already is stored when this returns."""
        pump: ReceivePump
        call = self.kernel.splice
        plain = not channel.secure and IHasFileno.providedBy(upload)
        if call is not None and kernel_may_move(plain, channel.secure, mode, call):
            pump = SplicePump(self, upload, channel, limiter, stall, expected, call)
        else:
            pump = ReceivePump(self, upload, channel, mode, limiter, stall, expected)
        pump.confirm = confirm
        pump.start()
        return pump

    def close(self) -> None:
        """Let go of what is kept for reuse. May be called twice."""
        self._buffers.clear()
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self.put_pipe(pipe, empty=False)

    # --- for the pumps -----------------------------------------------------------------------

    def unit(self) -> int:
        """Bytes that one transfer may move in one turn: its share of TURN, at least LEAST_UNIT."""
        return TURN if self.active <= 1 else max(TURN // self.active, LEAST_UNIT)

    def sendfile_unit(self) -> int:
        """The same for sendfile, which may do more when it is alone."""
        return ALONE if self.active <= 1 else self.unit()

    def begun(self) -> None:
        """One more transfer is under way."""
        self.active += 1

    def done(self) -> None:
        """One less."""
        self.active -= 1

    def take_buffer(self) -> memoryview:
        """A buffer of BUFFER bytes, with anything in it."""
        return self._buffers.pop() if self._buffers else memoryview(bytearray(BUFFER))

    def put_buffer(self, buffer: memoryview) -> None:
        """Give it back."""
        if len(self._buffers) < SPARE_BUFFERS:
            self._buffers.append(buffer)

    def take_pipe(self) -> tuple[int, int]:
        """An empty pipe. Raises OSError."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            return pipe
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError, AttributeError):
            # Refused beyond the user's soft bound: a smaller pipe only means more turns.
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        return pipe

    def put_pipe(self, pipe: tuple[int, int], empty: bool) -> None:
        """Keep one for the next; what is left in another belongs to nobody and goes with it."""
        if empty and self._pipe is None:
            self._pipe = pipe
            return
        os.close(pipe[0])
        os.close(pipe[1])
