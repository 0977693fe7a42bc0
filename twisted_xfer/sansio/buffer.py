"""A byte buffer with a limit, and O(n) work for n bytes however they are cut."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import RemoteProtocolError

#: Taken bytes stay in front until they are this many and half of the buffer: each byte is then
#: moved at most twice.
_COMPACT_AT: Final = 4096


class ByteBuffer:
    """Append at the end, take from the front.

    Holds at most ``limit`` bytes. A search for a line end never looks at a byte twice.
    """

    __slots__ = ("_data", "_limit", "_scanned", "_start")

    def __init__(self, limit: int) -> None:
        self._data = bytearray()
        self._limit = limit
        self._start = 0
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._data) - self._start

    @property
    def room(self) -> int:
        """How many bytes append() still takes."""
        return self._limit - len(self)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add ``data``.

        Raises:
            RemoteProtocolError: more than the limit; nothing was added.
        """
        if len(data) > self.room:
            raise RemoteProtocolError(detail="buffer limit", limit=self._limit)
        self._data += data

    def take(self, size: int) -> bytes | None:
        """Exactly ``size`` bytes, or None and nothing taken when there are fewer."""
        return None if size > len(self) else self._cut(self._start + size)

    def take_some(self, most: int | None = None) -> bytes:
        """All there is, or at most ``most`` bytes; may be empty."""
        size = len(self) if most is None else min(most, len(self))
        return self._cut(self._start + size)

    def take_line(self, most: int, end: bytes = b"\n") -> bytes | None:
        """Up to and including ``end``, of one byte; None when it is not there yet.

        Raises:
            RemoteProtocolError: over ``most`` bytes without ``end`` within them; ``end`` counts.
        """
        at = self._data.find(end, max(self._start, self._scanned))
        size = (at + 1 if at >= 0 else len(self._data)) - self._start
        if size > most or (at < 0 and size == most):
            raise RemoteProtocolError(detail="line too long", limit=most)
        if at < 0:
            self._scanned = len(self._data)
            return None
        return self._cut(at + 1)

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes or fewer, not taken."""
        return bytes(self._data[self._start : self._start + size])

    def clear(self) -> int:
        """Drop everything; how many bytes it was."""
        dropped = len(self)
        self._data.clear()
        self._start = self._scanned = 0
        return dropped

    def _cut(self, end: int) -> bytes:
        taken = bytes(self._data[self._start : end])
        self._start = end
        if end == len(self._data):
            self.clear()
        elif end >= _COMPACT_AT and end * 2 >= len(self._data):
            del self._data[:end]
            self._start = 0
            self._scanned = 0
        return taken
