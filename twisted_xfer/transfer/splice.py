"""Receiving a plain socket into a plain file by splice(2), through a pipe and past our memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from twisted_xfer.interfaces import Expected, IChannel, IHasFileno, ILimiter, IUpload, TransferMode
from twisted_xfer.transfer.choose import BULK, UNSUPPORTED
from twisted_xfer.transfer.pump import Bench
from twisted_xfer.transfer.receive import ReceivePump

_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class SplicePump(ReceivePump):
    """Socket to file in the kernel once there is enough of it; else, and before, a ReceivePump."""

    __slots__ = ("_by_kernel", "_descriptor", "_splice")

    def __init__(
        self,
        bench: Bench,
        upload: IUpload,
        channel: IChannel,
        limiter: ILimiter | None,
        stall: float,
        expected: Expected | None,
        splice: Callable[..., int],
    ) -> None:
        super().__init__(bench, upload, channel, TransferMode.IMAGE, limiter, stall, expected)
        self._descriptor = -1
        self._splice = splice
        self._by_kernel = True

    def _step(self) -> None:
        if not self._by_kernel:
            super()._step()
            return
        if self.transferred < BULK:
            # A small file is there in one recv(), for less than two splices cost.
            self._by_hand(BULK)
            return
        if self._descriptor < 0:
            # Asked for again after our own writes: it comes positioned behind them.
            self._descriptor = IHasFileno(self._upload).fileno()
        room = self._room(self._bench.unit())
        if not room:
            if self._next_byte():
                self._watch(reading=True, writing=False)
            return
        self._move(self._allow(room))

    def _move(self, granted: int) -> None:
        """Move ``granted`` bytes, or what of them is there.

        The kernel moves some buffers of the socket at a time. A turn that a limiter granted is used up,
        or whoever gets smaller buffers would have a smaller share; without one the rest is the next step's.
        """
        more = granted > 0
        while more:
            more = stored = False
            try:
                filled = self._fill(granted)
                if filled is None:
                    return
                pipe, count = filled
                granted -= count
                if count:
                    stored = self._empty(pipe, count)
                    more = stored and granted > 0 and self._limiter is not None and self._by_kernel
            finally:
                if not more:
                    self._return(granted)
            if not count:
                self._received_all()
            elif stored and not more:
                self._watch(reading=True, writing=False)

    def _fill(self, granted: int) -> tuple[tuple[int, int], int] | None:
        """At most ``granted`` bytes from the socket into a pipe, 0 at its end; None when it has none now."""
        # The pipe is empty again before this step ends, so all transfers share it.
        pipe = self._bench.take_pipe()
        count = 0
        try:
            count = self._splice(self._fd, pipe[1], granted, flags=_FLAGS)
        except BlockingIOError:
            self._watch(reading=True, writing=False)
            return None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            self._by_kernel = False
            self._watch(reading=True, writing=False)
            return None
        finally:
            if not count:
                self._bench.put_pipe(pipe, empty=True)
        return pipe, count

    def _empty(self, pipe: tuple[int, int], left: int) -> bool:
        """Move what is in the pipe to the file; False when the storage has still to answer.

        What a failing write leaves in the pipe is lost with it, and counted nowhere.
        """
        try:
            while left:
                try:
                    count = self._splice(pipe[0], self._descriptor, left, flags=_FLAGS)
                except OSError as error:
                    if error.errno not in UNSUPPORTED:
                        raise
                    # This file system does not take it: by hand, from here on and to the last byte.
                    self._by_kernel = False
                    data = _read_all(pipe[0], left)
                    left = 0
                    self._moved(len(data))
                    return self._store(memoryview(data))
                left -= count
                self._stored += count
                self._upload.advance(count)
                self._moved(count)
        finally:
            self._bench.put_pipe(pipe, empty=not left)
        return True


def _read_all(descriptor: int, size: int) -> bytes:
    """The ``size`` bytes that are known to be in the pipe."""
    data = os.read(descriptor, size)
    while len(data) < size:
        data += os.read(descriptor, size - len(data))
    return data
