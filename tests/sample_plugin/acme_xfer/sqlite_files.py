"""What the ``sqlite`` storage opens: files, uploads and listings."""

import hashlib
from collections.abc import Callable

from zope.interface import implementer

from twisted_xfer.errors import DigestMismatch, StorageFailure, TooLarge, Truncated
from twisted_xfer.interfaces import Expected, FileInfo, IListing, IReadFile, IUpload
from twisted_xfer.paths import VirtualPath


@implementer(IReadFile)
class SqliteReadFile:
    """A file as it was when it was opened."""

    mode = "image"

    def __init__(self, info: FileInfo, data: bytes, offset: int) -> None:
        self.info = info
        self.offset = offset
        self._data = data

    def read(self, size: int) -> bytes:
        data = self._data[self.offset : self.offset + size]
        self.offset += len(data)
        return data

    def advance(self, size: int) -> None:
        self.offset += size

    def close(self, reason: Exception | None = None) -> None:
        self._data = b""


@implementer(IUpload)
class SqliteUpload:
    """Bytes that nobody sees until ``publish`` has them all."""

    mode = "image"

    def __init__(
        self,
        path: VirtualPath,
        begin: bytes,
        *,
        largest: int,
        publish: Callable[[bytes, Expected | None], FileInfo],
        ended: Callable[[], None],
    ) -> None:
        self.path = path
        self._data = bytearray(begin)
        self._largest = largest
        self._publish = publish
        self._ended = ended
        self._size = 0
        self._open = True

    @property
    def offset(self) -> int:
        """Asked after the end too: events tell how much it was."""
        return len(self._data) if self._open else self._size

    def reserve(self, size: int) -> int:
        """How much of it may come: this is where files are kept small."""
        room = self._largest - len(self._data)
        if room <= 0:
            raise TooLarge(bytes(self.path), limit=self._largest)
        return min(size, room)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.reserve(1)
        self._data += data

    def advance(self, size: int) -> None:
        raise StorageFailure(bytes(self.path), "there is no descriptor to write to")

    def commit(self, expected: Expected | None = None) -> FileInfo:
        """Check what was announced, then publish in one transaction."""
        if not self._open:
            raise StorageFailure(bytes(self.path), "the upload has ended")
        try:
            if expected is not None and expected.size not in (None, len(self._data)):
                raise Truncated(bytes(self.path), expected=expected.size, received=len(self._data))
            if expected is not None and expected.digest is not None:
                algorithm, digest = expected.digest
                if hashlib.new(algorithm, self._data).digest() != digest:
                    raise DigestMismatch(bytes(self.path))
            return self._publish(bytes(self._data), expected)
        finally:
            self.abort()

    def suspend(self, reason: Exception | None = None) -> None:
        """Without the capability ``resume`` nothing is kept."""
        self.abort()

    def abort(self, reason: Exception | None = None) -> None:
        if self._open:
            self._size = len(self._data)
            self._open = False
            self._data = bytearray()
            self._ended()


@implementer(IListing)
class SqliteListing:
    """Entries, in batches."""

    def __init__(self, entries: list[FileInfo]) -> None:
        self._entries = entries

    def next_batch(self, limit: int = 100) -> list[FileInfo]:
        batch, self._entries = self._entries[:limit], self._entries[limit:]
        return batch

    def close(self) -> None:
        self._entries = []
