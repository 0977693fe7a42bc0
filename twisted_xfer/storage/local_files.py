"""What a local storage opens for reading: files and directories."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Final

from zope.interface import implementer

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import FileInfo, IHasFileno, IListing, IReadFile, Kind
from twisted_xfer.storage.errnos import translate
from twisted_xfer.storage.parts import is_part_name, stat_part, target_of

_KINDS: Final[dict[int, Kind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}
_CODEC: Final = sys.getfilesystemencoding()
_CODEC_ERRORS: Final = sys.getfilesystemencodeerrors()
_TYPE_BITS: Final = 0o170000


def make_info(
    name: bytes, status: os.stat_result, target: bytes | None = None, *, kept: bool = False
) -> FileInfo:
    """FileInfo from what the kernel says. ``unique`` is device and inode, as RFC 3659 7.5.2 wants."""
    mode = status.st_mode
    # tuple.__new__ halves the cost of a named tuple; a listing makes tens of thousands.
    return tuple.__new__(
        FileInfo,
        (
            name,
            _KINDS.get(mode & _TYPE_BITS, "other"),
            status.st_size,
            status.st_mtime_ns,
            mode & 0o7777,
            status.st_nlink,
            status.st_uid,
            status.st_gid,
            f"{status.st_dev:x}g{status.st_ino:x}",
            target,
            kept,
        ),
    )


@implementer(IReadFile, IHasFileno)
class LocalReadFile:
    """A plain file, opened."""

    __slots__ = ("_fd", "info", "mode", "offset")

    info: FileInfo
    offset: int
    mode: str

    def __init__(self, fd: int, info: FileInfo, offset: int) -> None:
        self._fd = fd
        self.info = info
        self.offset = offset
        self.mode = "image"

    def fileno(self) -> int:
        """The descriptor, positioned at ``offset``; -1 once closed."""
        if self._fd >= 0:
            os.lseek(self._fd, self.offset, os.SEEK_SET)
        return self._fd

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes from ``offset``."""
        try:
            data = os.pread(self._fd, size, self.offset)
        except OSError as error:
            raise translate(error, self.info.name) from error
        self.offset += len(data)
        return data

    def advance(self, size: int) -> None:
        """The kernel moved ``size`` bytes."""
        self.offset += size

    def close(self, reason: Exception | None = None) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


#: Answers what a link in the directory leads to; fails where policy or disk refuse.
Resolve = Callable[[bytes], os.stat_result]


@implementer(IListing)
class LocalListing:
    """An open directory, read as it is asked for.

    Links are resolved by ``resolve``; one that leads nowhere or is not to be followed shows as
    itself. The owner's part stands for a file that does not exist yet, under its final name;
    a file that does exist shows as it is.
    """

    __slots__ = ("_entries", "_fd", "_iterator", "_owner", "_resolve", "_subject")

    def __init__(self, fd: int, subject: bytes, owner: bytes | None, resolve: Resolve | None) -> None:
        self._fd = fd
        self._subject = subject
        self._owner = owner
        self._resolve = resolve
        try:
            self._entries = os.scandir(fd)
        except BaseException:
            self._fd = -1
            os.close(fd)
            raise
        self._iterator: Iterator[os.DirEntry[str]] = self._entries

    def next_batch(self, limit: int = 100) -> list[FileInfo]:
        """At most ``limit`` more; entries that vanish meanwhile are left out."""
        batch: list[FileInfo] = []
        if self._fd < 0:
            return batch
        append = batch.append
        try:
            for entry in self._iterator:
                text = entry.name
                name = text.encode(_CODEC, _CODEC_ERRORS)
                if text[-6:] == ".xpart" and is_part_name(name):
                    info = self._part(name)
                    if info is None:
                        continue
                else:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if status.st_mode & _TYPE_BITS == stat.S_IFLNK:
                        info = self._link(name, status)
                    else:
                        info = make_info(name, status)
                append(info)
                if len(batch) >= limit:
                    return batch
        except OSError as error:
            self.close()
            raise translate(error, self._subject) from error
        if not batch:
            self.close()
        return batch

    def _part(self, part: bytes) -> FileInfo | None:
        """The owner's own part, as the file that it will be."""
        name = None if self._owner is None else target_of(part, self._owner)
        if name is None:
            return None
        try:
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            status = stat_part(self._fd, part)
            return None if status is None else make_info(name, status, kept=True)
        return None

    def _link(self, name: bytes, status: os.stat_result) -> FileInfo:
        if self._resolve is not None:
            try:
                return make_info(name, self._resolve(name))
            except (XferError, OSError):
                pass
        try:
            target = os.readlink(name, dir_fd=self._fd)
        except OSError:
            target = b""
        return make_info(name, status, target)

    def close(self) -> None:
        """Close the directory."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._entries.close()
            os.close(fd)

    def __del__(self) -> None:
        self.close()
