"""Files in memory, with the semantics of a local disk: for tests, demonstrations and drop boxes.

The contract is the same as LocalStorage's, parts included; there are no links and no descriptors.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

from zope.interface import implementer

from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    DirectoryNotEmpty,
    ForbiddenPath,
    IsADirectory,
    NameInvalid,
    NotADirectory,
    NotFound,
    OffsetInvalid,
    PermissionDenied,
)
from twisted_xfer.interfaces import FileInfo, IHasParts, IStorage, RandomBytes, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.local_upload import MAX_RENAMES, numbered
from twisted_xfer.storage.memory_files import (
    DEFAULT_CAPACITY,
    Directory,
    File,
    Growth,
    MemoryListing,
    MemoryReadFile,
    MemoryUpload,
    Part,
    Space,
    make_info,
)
from twisted_xfer.storage.parts import is_part_name


@implementer(IStorage, IHasParts)
class MemoryStorage:
    """A tree in memory.

    Args:
        wall_time: Unix time in seconds, for modification times.
        owner: whose kept parts these are.
        capacity: bytes in all, parts included; NoSpace beyond.
        random: names for ``WriteIntent.unique``.
    """

    capabilities = frozenset({"append", "resume", "chmod", "utime", "unique"})

    def __init__(
        self,
        wall_time: Callable[[], float],
        *,
        owner: str = "",
        capacity: int = DEFAULT_CAPACITY,
        random: RandomBytes = os.urandom,
    ) -> None:
        self._wall_time = wall_time
        self._owner = owner
        self._random = random
        self._space = Space(capacity)
        self._root = Directory(self._space.number(), self._now_ns())

    def _now_ns(self) -> int:
        return int(self._wall_time() * 1_000_000_000)

    def view(self, home: str, *, owner: str, create: bool = False) -> MemoryStorage:
        """The subtree ``home``, a path in this tree."""
        path = VirtualPath.parse(os.fsencode(home))
        node = self._root
        for name in path.parts:
            child = node.entries.get(name)
            if child is None:
                if not create:
                    raise NotFound(bytes(path))
                child = node.entries[name] = Directory(self._space.number(), self._now_ns())
            if not isinstance(child, Directory):
                raise NotADirectory(bytes(path))
            node = child
        twin = copy.copy(self)
        twin._owner = owner  # noqa: SLF001 - our own class
        twin._root = node  # noqa: SLF001 - the same
        return twin

    def close(self) -> None:
        """Nothing is held."""

    # --- finding ---------------------------------------------------------------------------

    def _directory(self, path: VirtualPath) -> Directory:
        """The directory that holds the last component."""
        node = self._root
        for name in path.parts[:-1]:
            child = node.entries.get(name)
            if child is None:
                raise NotFound(bytes(path))
            if not isinstance(child, Directory):
                raise NotADirectory(bytes(path))
            node = child
        return node

    def _find(self, path: VirtualPath) -> File | Directory | None:
        if not path.parts:
            return self._root
        return self._directory(path).entries.get(path.name)

    def _need(self, path: VirtualPath) -> File | Directory:
        node = self._find(path)
        if node is None:
            raise NotFound(bytes(path))
        return node

    def stat(self, path: VirtualPath) -> FileInfo:
        """What ``path`` is; the owner's part counts as the file where none is published."""
        node: File | Directory | Part | None = self._find(path)
        if node is None:
            node = self._directory(path).visible_part(self._owner, path.name)
        if node is None:
            raise NotFound(bytes(path))
        return make_info(path.name, node)

    def published(self, path: VirtualPath, follow: bool = True) -> int | None:
        """The size of the file at ``path``, parts aside; there are no links to follow."""
        try:
            node = self._find(path)
        except NotFound:
            return None
        return len(node.data) if isinstance(node, File) else None

    def count(self, path: VirtualPath) -> tuple[int, int]:
        """Bytes and files at and below ``path``, parts aside."""
        try:
            node = self._find(path)
        except (NotFound, NotADirectory):
            return 0, 0
        size = files = 0
        pending = [] if node is None else [node]
        while pending:
            one = pending.pop()
            if isinstance(one, Directory):
                pending += one.entries.values()
            else:
                size, files = size + len(one.data), files + 1
        return size, files

    def list(self, path: VirtualPath) -> MemoryListing:
        """Open a directory."""
        node = self._need(path)
        if not isinstance(node, Directory):
            raise NotADirectory(bytes(path))
        return MemoryListing(node, self._owner)

    # --- reading and writing ---------------------------------------------------------------

    def open_read(self, path: VirtualPath, offset: int = 0) -> MemoryReadFile:
        """Open a file; the owner's part where there is no file."""
        node: File | Directory | Part | None = self._find(path)
        if isinstance(node, Directory):
            raise IsADirectory(bytes(path))
        node = node or self._directory(path).visible_part(self._owner, path.name)
        if node is None:
            raise NotFound(bytes(path))
        if offset > len(node.data):
            raise OffsetInvalid(bytes(path), size=len(node.data))
        return MemoryReadFile(node.data, make_info(path.name, node), offset)

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> MemoryUpload:
        """Begin an upload; the rules are those of ``local_stage.open_staged``."""
        _refuse_part_name(path)
        old = self._find(path)
        if isinstance(old, Directory) and not (intent.unique and path.parts):
            raise IsADirectory(bytes(path))
        directory = self._directory(path)
        name = self._choose_name(directory, path, intent)
        asked = name if intent.unique else path.name
        if name != path.name:
            old = None
        slot = (self._owner, asked)
        part = directory.parts.get(slot)
        if part is not None and part.busy:
            raise Busy(bytes(path), "another upload of this name is under way")
        kept = len(part.data) if part is not None and intent.key in {"", part.key} else 0
        base = b""
        if isinstance(old, File) and not intent.key and (intent.append or intent.offset):
            kept = 0
            base = bytes(old.data)
        there = kept or len(base)
        offset = there if intent.append else intent.offset
        if offset > there:
            if part is not None and not kept:
                del directory.parts[slot]
                self._space.take(-len(part.data))
            raise OffsetInvalid(bytes(path), size=there)
        if part is None:
            part = Part(bytearray(), self._space.number(), self._now_ns())
        begin = part.data[:offset] if kept else bytearray(base[:offset])
        self._space.take(len(begin) - len(part.data))
        part.data = begin
        part.key = intent.key
        directory.parts[slot] = part
        growth = Growth(directory, self._owner, asked, name, part, intent, self._space, self._now_ns)
        return MemoryUpload(growth, path.parent.child(name))

    def _choose_name(self, directory: Directory, path: VirtualPath, intent: WriteIntent) -> bytes:
        name = path.name
        if intent.unique:
            suffix = b"." + self._random(8).hex().encode()
            name = name[: 255 - len(suffix)] + suffix
            if name in directory.entries:
                raise AlreadyExists(bytes(path))
            return name
        if name not in directory.entries or intent.if_exists == "overwrite":
            return name
        if intent.if_exists == "rename":
            for number in range(1, MAX_RENAMES):
                candidate = numbered(name, number)
                if candidate not in directory.entries:
                    return candidate
        raise AlreadyExists(bytes(path))

    # --- changing --------------------------------------------------------------------------

    def make_directory(self, path: VirtualPath) -> None:
        """Create a directory."""
        _refuse_part_name(path)
        if self._find(path) is not None:
            raise AlreadyExists(bytes(path))
        node = Directory(self._space.number(), self._now_ns())
        self._directory(path).entries[path.name] = node

    def remove(self, path: VirtualPath) -> None:
        """Remove a file, and the owner's part unless an upload is writing it."""
        node = self._find(path)
        if isinstance(node, Directory):
            raise IsADirectory(bytes(path))
        directory = self._directory(path)
        part = directory.parts.get((self._owner, path.name))
        if node is not None:
            del directory.entries[path.name]
            self._space.take(-len(node.data))
        if part is None:
            if node is None:
                raise NotFound(bytes(path))
        elif not part.busy:
            del directory.parts[self._owner, path.name]
            self._space.take(-len(part.data))
        elif node is None:
            raise Busy(bytes(path), "another upload of this name is under way")

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove an empty directory."""
        if not path.parts:
            raise ForbiddenPath(b"/", "the root")
        node = self._need(path)
        if not isinstance(node, Directory):
            raise NotADirectory(bytes(path))
        if node.entries or node.parts:
            raise DirectoryNotEmpty(bytes(path))
        del self._directory(path).entries[path.name]

    def rename(self, source: VirtualPath, target: VirtualPath) -> None:
        """Rename in one step."""
        if not source.parts or not target.parts:
            raise ForbiddenPath(b"/", "the root")
        _refuse_part_name(target)
        node = self._need(source)
        if target == source:
            return
        if target.is_within(source):
            raise ForbiddenPath(bytes(target), "a directory cannot move into itself")
        there = self._directory(target)
        old = there.entries.get(target.name)
        if isinstance(old, Directory):
            if not isinstance(node, Directory):
                raise IsADirectory(bytes(target))
            if old.entries or old.parts:
                raise DirectoryNotEmpty(bytes(target))
        elif old is not None:
            if isinstance(node, Directory):
                raise NotADirectory(bytes(target))
            self._space.take(-len(old.data))
        del self._directory(source).entries[source.name]
        there.entries[target.name] = node

    def set_times(self, path: VirtualPath, mtime_ns: int) -> None:
        """Set the modification time."""
        self._need(path).mtime_ns = mtime_ns

    def set_mode(self, path: VirtualPath, mode: int) -> None:
        """Set permission bits; they are kept, not enforced."""
        if mode & ~0o777:
            raise PermissionDenied(bytes(path), "set-uid, set-gid and sticky are refused")
        self._need(path).mode = mode


def _refuse_part_name(path: VirtualPath) -> None:
    """Names that LocalStorage reserves are refused here as well, so that tests tell the truth."""
    if is_part_name(path.name):
        raise NameInvalid(bytes(path), "reserved for parts")
