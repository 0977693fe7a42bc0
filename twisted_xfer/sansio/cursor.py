"""Reads big-endian fields out of one message, and notices what is missing or left over."""

from __future__ import annotations

from twisted_xfer.errors import RemoteProtocolError


class Cursor:
    """A position in ``data``. Every read moves it; none goes beyond the end.

    All methods raise RemoteProtocolError when fewer bytes are left than they need.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise RemoteProtocolError(detail="message too short", wanted=size, left=self.left)
        taken = bytes(self._data[self._at : end])
        self._at = end
        return taken

    def unsigned(self, width: int) -> int:
        """An unsigned integer of ``width`` bytes."""
        return int.from_bytes(self.take(width), "big")

    def u8(self) -> int:
        """One byte."""
        return self.unsigned(1)

    def u16(self) -> int:
        """Two bytes."""
        return self.unsigned(2)

    def u32(self) -> int:
        """Four bytes."""
        return self.unsigned(4)

    def u64(self) -> int:
        """Eight bytes."""
        return self.unsigned(8)

    def counted(self, width: int, most: int) -> bytes:
        """Bytes behind their own length of ``width`` bytes, which may be ``most`` at most."""
        size = self.unsigned(width)
        if size > most:
            raise RemoteProtocolError(detail="field too long", limit=most)
        return self.take(size)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def finish(self) -> None:
        """The message must be over.

        Raises:
            RemoteProtocolError: bytes are left.
        """
        if self.left:
            raise RemoteProtocolError(detail="message too long", left=self.left)
