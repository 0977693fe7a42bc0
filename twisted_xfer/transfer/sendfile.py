"""Sending a plain file over a plain socket by sendfile(2): no byte passes through our memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from twisted_xfer.errors import SourceChanged
from twisted_xfer.interfaces import IChannel, ILimiter, IReadFile, TransferMode
from twisted_xfer.transfer.choose import BULK, UNSUPPORTED
from twisted_xfer.transfer.chunks import CHUNK, ChunkPump
from twisted_xfer.transfer.pump import Bench

#: What a disk thread reads ahead of sendfile at once: enough that the hop to the thread is cheap.
PREFETCH: Final = 4 * 1024 * 1024

#: preadv() wants somewhere to put the one byte that it probes with; nobody looks at it.
_PROBE: Final = [bytearray(1)]
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)


def prefetch(descriptor: int, offset: int, size: int) -> None:
    """Bring a range of a file into memory; runs in a disk thread. Raises OSError."""
    end = offset + size
    buffer = [bytearray(CHUNK)]
    while offset < end:
        count = os.preadv(descriptor, buffer, offset)
        if not count:
            return
        offset += count


class SendfilePump(ChunkPump):
    """File to socket in the kernel; turns into a ChunkPump when this file cannot be sent so."""

    __slots__ = ("_by_kernel", "_position", "_sendfile", "_size", "_source", "_warm")

    def __init__(
        self,
        bench: Bench,
        file: IReadFile,
        descriptor: int,
        channel: IChannel,
        limiter: ILimiter | None,
        stall: float,
        sendfile: Callable[..., int],
    ) -> None:
        super().__init__(bench, file, channel, TransferMode.IMAGE, limiter, stall)
        self._sendfile = sendfile
        self._source = descriptor
        self._position = self._read
        #: The size when it was opened: what grows meanwhile is for the next download.
        self._size = file.info.size
        self._by_kernel = True
        #: Up to here the pages are known to be in memory. Small files are not worth the question.
        self._warm = 0 if self._size - self._position > BULK and bench.kernel.preadv else self._size

    def _step(self) -> None:
        if not self._by_kernel:
            super()._step()
            return
        position = self._position
        left = self._size - position
        if left <= 0:
            self._finish()
            return
        wanted = min(self._bench.sendfile_unit(), left)
        if position + wanted > self._warm and not self._is_warm(position, wanted):
            return
        granted = self._allow(wanted)
        if granted <= 0:
            return
        sent = 0
        try:
            sent = self._sendfile(self._fd, self._source, position, granted)
            if sent == 0:
                raise SourceChanged(detail="the file became shorter", missing=left)
        except BlockingIOError:
            self._watch(reading=False, writing=True)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            # Nothing was moved by this call, and the file knows how far it was moved before.
            self._by_kernel = False
            self._watch(reading=False, writing=True)
            return
        finally:
            if sent < granted:
                self._return(granted - sent)
        self._position = self._read = position + sent
        self._file.advance(sent)
        self._moved(sent)
        if sent == left:
            self._finish()
        else:
            self._watch(reading=False, writing=True)

    def _is_warm(self, position: int, wanted: int) -> bool:
        """Whether the next unit is in memory; if not, a disk thread fetches it first."""
        preadv = self._bench.kernel.preadv
        if preadv is None:
            return True
        try:
            # The last byte stands for the unit: the kernel reads ahead in order.
            preadv(self._source, _PROBE, position + wanted - 1, _NOWAIT)
        except BlockingIOError:
            size = min(max(PREFETCH, wanted), self._size - position)
            self._warm = position + size
            self._wait_for(self._bench.blocking.run(prefetch, self._source, position, size), self._fetched)
            return False
        except OSError:
            # This file system does not tell: ask no more.
            self._warm = self._size
        return True

    def _fetched(self, answer: object) -> None:
        self._run()
