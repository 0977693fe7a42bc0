"""What a memory storage consists of and opens: nodes, read files, uploads, listings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs
from zope.interface import implementer

from twisted_xfer.errors import (
    AlreadyExists,
    DigestMismatch,
    IsADirectory,
    NoSpace,
    NotFound,
    StorageFailure,
    Truncated,
)
from twisted_xfer.interfaces import Expected, FileInfo, IListing, IReadFile, IUpload, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.digests import make_hasher
from twisted_xfer.storage.local_upload import MAX_RENAMES, numbered


@attrs.define(eq=False)
class Space:
    """The bytes that one memory storage may hold, and does; parts count."""

    capacity: int
    used: int = 0
    numbers: int = 0

    def take(self, size: int) -> None:
        """Account for ``size`` more bytes, or fewer. Raises NoSpace."""
        if size > 0 and self.used + size > self.capacity:
            raise NoSpace(None, "memory storage is full", capacity=self.capacity)
        self.used += size

    def number(self) -> int:
        """An identity for a new node."""
        self.numbers += 1
        return self.numbers


@attrs.define(eq=False)
class File:
    """A file; its data is replaced, never changed, while anybody may read it."""

    data: bytes | bytearray
    mtime_ns: int
    number: int
    mode: int = 0o644


@attrs.define(eq=False)
class Part:
    """The kept or growing part of one owner's upload."""

    data: bytearray
    number: int
    mtime_ns: int
    key: str = ""
    busy: bool = False


@attrs.define(eq=False)
class Directory:
    """A directory: entries by name, parts by owner and target."""

    number: int
    mtime_ns: int
    mode: int = 0o755
    entries: dict[bytes, File | Directory] = attrs.Factory(dict)
    parts: dict[tuple[str, bytes], Part] = attrs.Factory(dict)

    def visible_part(self, owner: str, name: bytes) -> Part | None:
        """The owner's part, unless it is empty and says nothing."""
        part = self.parts.get((owner, name))
        return part if part is not None and part.data else None


def make_info(name: bytes, node: File | Directory | Part) -> FileInfo:
    """FileInfo of a node; a part shows as the file that it will be."""
    if isinstance(node, Directory):
        return FileInfo(name, "dir", 0, node.mtime_ns, node.mode, 1, unique=f"m{node.number:x}")
    kept = isinstance(node, Part)
    mode = 0o644 if isinstance(node, Part) else node.mode
    return FileInfo(name, "file", len(node.data), node.mtime_ns, mode, unique=f"m{node.number:x}", kept=kept)


@implementer(IReadFile)
class MemoryReadFile:
    """A snapshot of a file, opened."""

    __slots__ = ("_data", "info", "mode", "offset")

    def __init__(self, data: bytes | bytearray, info: FileInfo, offset: int) -> None:
        self._data = data
        self.info = info
        self.offset = offset
        self.mode = "image"

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        data = bytes(self._data[self.offset : self.offset + size])
        self.offset += len(data)
        return data

    def advance(self, size: int) -> None:
        """Bytes are moved by read() only; this keeps the position all the same."""
        self.offset += size

    def close(self, reason: Exception | None = None) -> None:
        """Forget the bytes."""
        self._data = b""


@attrs.define(eq=False)
class Growth:
    """Where an upload is going: its directory, part, names and the storage's clock and space."""

    directory: Directory
    owner: str
    asked: bytes
    name: bytes
    part: Part
    intent: WriteIntent
    space: Space
    now_ns: Callable[[], int]


@implementer(IUpload)
class MemoryUpload:
    """An upload into a part."""

    __slots__ = ("_growth", "_open", "mode", "offset", "path", "replaced")

    def __init__(self, growth: Growth, path: VirtualPath) -> None:
        self._growth = growth
        self._open = True
        growth.part.busy = True
        self.path = path
        self.offset = len(growth.part.data)
        self.mode = "image"
        #: Once committed: the size of the published file that this replaced; None when there was none.
        self.replaced: int | None = None

    def reserve(self, size: int) -> int:
        """All of it."""
        return size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append a copy of ``data``."""
        if not self._open:
            raise StorageFailure(bytes(self.path), "the upload is closed")
        growth = self._growth
        growth.space.take(len(data))
        growth.part.data += data
        growth.part.mtime_ns = growth.now_ns()
        self.offset += len(data)

    def advance(self, size: int) -> None:
        """There is no descriptor that a kernel could write to.

        Raises:
            StorageFailure: always.
        """
        raise StorageFailure(bytes(self.path), "no descriptor")

    def commit(self, expected: Expected | None = None) -> FileInfo:
        """Check and publish."""
        if not self._open:
            raise StorageFailure(bytes(self.path), "the upload is closed")
        growth = self._growth
        data = growth.part.data
        if expected is not None and expected.prefix:
            growth.space.take(len(expected.prefix))
            data[:0] = expected.prefix
        self._close()
        if expected is not None:
            self._check(data, expected)
        name = self._free_name()
        old = growth.directory.entries.get(name)
        if isinstance(old, Directory):
            raise IsADirectory(bytes(self.path))
        if growth.directory.parts.get((growth.owner, growth.asked)) is not growth.part:
            raise NotFound(bytes(self.path), "the part is gone")
        node = File(data, growth.part.mtime_ns, growth.part.number)
        if old is not None:
            node.mode = old.mode
            self.replaced = len(old.data)
            growth.space.take(-len(old.data))
        if expected is not None and expected.mtime_ns is not None:
            node.mtime_ns = expected.mtime_ns
        if expected is not None and expected.mode is not None:
            node.mode = expected.mode & 0o777
        growth.directory.entries[name] = node
        del growth.directory.parts[growth.owner, growth.asked]
        return make_info(name, node)

    def _check(self, data: bytearray, expected: Expected) -> None:
        if expected.size is not None and expected.size != len(data):
            raise Truncated(
                bytes(self.path), "not the size announced", transferred=len(data), size=expected.size
            )
        if expected.digest is not None:
            algorithm, wanted = expected.digest
            hasher = make_hasher(algorithm)
            hasher.update(data)
            if hasher.digest() != wanted:
                raise DigestMismatch(bytes(self.path), algorithm, transferred=len(data))

    def _free_name(self) -> bytes:
        growth = self._growth
        intent, entries = growth.intent, growth.directory.entries
        if (intent.if_exists == "overwrite" and not intent.unique) or growth.name not in entries:
            return growth.name
        if intent.if_exists == "rename" and not intent.unique:
            for number in range(1, MAX_RENAMES):
                name = numbered(growth.asked, number)
                if name not in entries:
                    self.path = self.path.parent.child(name)
                    return name
        self._drop()
        raise AlreadyExists(bytes(self.path))

    def suspend(self, reason: Exception | None = None) -> None:
        """Keep the part, unless it is empty."""
        if self._open:
            self._close()
            if not self._growth.part.data:
                self._drop()

    def abort(self, reason: Exception | None = None) -> None:
        """Drop the part."""
        if self._open:
            self._close()
            self._drop()

    def _close(self) -> None:
        self._open = False
        self._growth.part.busy = False

    def _drop(self) -> None:
        growth = self._growth
        if growth.directory.parts.get((growth.owner, growth.asked)) is growth.part:
            del growth.directory.parts[growth.owner, growth.asked]
            growth.space.take(-len(growth.part.data))

    def __del__(self) -> None:
        # As with a local file: whoever forgets an upload leaves the part, unlocked.
        self._close()


@implementer(IListing)
class MemoryListing:
    """The names at the time of opening; what vanished since is left out."""

    __slots__ = ("_directory", "_names", "_owner")

    def __init__(self, directory: Directory, owner: str) -> None:
        self._directory = directory
        self._owner = owner
        own = {name for whose, name in directory.parts if whose == owner}
        self._names: Iterator[bytes] = iter(sorted(own.union(directory.entries)))

    def next_batch(self, limit: int = 100) -> list[FileInfo]:
        """At most ``limit`` more."""
        batch: list[FileInfo] = []
        directory = self._directory
        for name in self._names:
            node = directory.entries.get(name) or directory.visible_part(self._owner, name)
            if node is not None:
                batch.append(make_info(name, node))
                if len(batch) >= limit:
                    break
        return batch

    def close(self) -> None:
        """No more."""
        self._names = iter(())


DEFAULT_CAPACITY: Final = 256 * 1024 * 1024
