"""Small new files on a local disk, whole in memory already: each staged and published in one go.

The same steps and the same part as an upload takes, without what an upload needs between them: nobody
else has seen the part yet, and nothing waits. What is not so simple is left to ``open_write``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import NewFile
from twisted_xfer.storage.jail import release, walk
from twisted_xfer.storage.local_tree import LocalTree, lstat
from twisted_xfer.storage.parts import SUFFIX, is_part_name, lock, part_name
from twisted_xfer.storage.take_name import take_name

#: Whoever has it open for reading holds the lock until the end. What is written goes through another
#: descriptor, closed before the final name is there: see parts.read_only.
_HOLD: Final = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class LocalNew(LocalTree):
    """The part of a local storage that stores small new files."""

    __slots__ = ()

    def store_new(self, files: Sequence[NewFile]) -> int:
        """Publish ``files`` one after the other; how many of them, see IStoresNew."""
        settings = self._settings
        if not settings.staged or settings.fsync:
            return 0
        count, above = 0, None
        root = directory = -1
        # Held until the end: a logout must not take the root away.
        anchor = None
        try:
            anchor = self._anchor()
            root = directory = anchor.fd
            for new in files:
                parts, name = new.path.parts, new.path.name
                if not name or (name[-6:] == SUFFIX and is_part_name(name)):
                    break
                if above != parts[:-1]:
                    # For those of one directory in one call: nobody's turn comes between them.
                    release(root, directory)
                    directory = root
                    directory, _ = walk(root, parts, self._policy, follow=False)
                    above = parts[:-1]
                if self._look_first and os.access(name, os.F_OK, dir_fd=directory, follow_symlinks=False):
                    break
                part = part_name(self._owner, name)
                mode = new.mode
                if mode is None and settings.exact_mode:
                    mode = settings.file_mode
                stored = _store(directory, name, part, new, settings.file_mode, mode)
                # Names that are taken come in rows, such as when a tree is sent again; publishing finds them too.
                self._look_first = not stored
                if not stored:
                    break
                count += 1
        except (OSError, OverflowError, XferError):
            # open_write() comes to the same, and says what it is.
            return count
        finally:
            release(root, directory)
        return count


def _store(
    directory: int, name: bytes, part: bytes, new: NewFile, created_mode: int, mode: int | None
) -> bool:
    """Stage and publish one file; False, and nothing left of it, where that is not to be. Raises OSError, OverflowError."""
    # Fails where a part is kept already, or under way.
    held = os.open(part, _HOLD, created_mode, dir_fd=directory)
    try:
        if not lock(held):
            # An upload has found it before we had the lock: it is its part now.
            return False
        try:
            if _fill(held, directory, part, new, mode) and take_name(directory, part, name):
                return True
        except BaseException:
            _drop(held, directory, part)
            raise
        _drop(held, directory, part)
        return False
    finally:
        os.close(held)


def _fill(held: int, directory: int, part: bytes, new: NewFile, mode: int | None) -> bool:
    """Write content, mode and time; False if the part is not what ``held`` is any more. Raises OSError, OverflowError."""
    fd = os.open(part, _WRITE, dir_fd=directory)
    try:
        ours = os.fstat(held)
        if os.fstat(fd).st_ino != ours.st_ino:
            # Published or dropped by an upload that had found it, between our open and our lock.
            return False
        if os.write(fd, new.data) != len(new.data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if mode is not None and mode & 0o777 != ours.st_mode & 0o7777:
            os.fchmod(fd, mode & 0o777)
        if new.mtime_ns is not None:
            os.utime(fd, ns=(new.mtime_ns, new.mtime_ns))
    finally:
        os.close(fd)
    return True


def _drop(held: int, directory: int, part: bytes) -> None:
    """Unlink the part while its lock is held, if it is ours. Raises OSError."""
    linked = lstat(directory, part)
    if linked is not None and os.path.samestat(linked, os.fstat(held)):
        os.unlink(part, dir_fd=directory)
