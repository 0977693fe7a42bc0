"""How much is published in a tree on a local disk: for quota, which is else kept by adding up."""

from __future__ import annotations

import os
import stat
from typing import Final

from twisted_xfer.errors import StorageFailure
from twisted_xfer.paths import MAX_DEPTH
from twisted_xfer.storage.parts import is_part_name

#: Entries of one count: some minutes of a slow disk. Larger trees need a file system's own quota.
MAX_ENTRIES: Final = 20_000_000
#: To read a directory.
LIST_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def count_tree(directory: int, limit: int = MAX_ENTRIES) -> tuple[int, int]:
    """Bytes and files below ``directory``, parts aside; a link is a file of 0 bytes.

    What vanishes meanwhile is not counted, and neither is what lies deeper than clients can go.

    Raises:
        StorageFailure: more than ``limit`` entries.
        OSError: a directory cannot be read, for then the sum would be wrong.
    """
    size = files = seen = 0
    top = os.open(b".", LIST_FLAGS, dir_fd=directory)
    trail = [(top, os.scandir(top))]
    try:
        while trail:
            fd, found = trail[-1]
            entry = next(found, None)
            if entry is None:
                found.close()
                os.close(fd)
                trail.pop()
                continue
            seen += 1
            if seen > limit:
                raise StorageFailure(None, "too many entries to count", limit=limit)
            name = os.fsencode(entry.name)
            try:
                if entry.is_dir(follow_symlinks=False):
                    if len(trail) <= MAX_DEPTH:
                        inner = os.open(name, LIST_FLAGS, dir_fd=fd)
                        trail.append((inner, os.scandir(inner)))
                    continue
                if is_part_name(name):
                    continue
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            files += 1
            if stat.S_ISREG(status.st_mode):
                size += status.st_size
        return size, files
    finally:
        for fd, found in trail:
            found.close()
            os.close(fd)
