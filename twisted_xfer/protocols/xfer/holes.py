"""Holes in files: found where they are read, not sent, and made again where they are stored.

Zeros are hashed all the same, from one small buffer that stays in the cache; the digest is that of the
whole content.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from twisted_xfer.errors import SourceChanged
from twisted_xfer.protocols.xfer.content import CHUNK, Hasher, from_system, load

#: Shorter ones are cheaper to send: a frame, a segment's digest and a wait for a thread each.
LEAST_HOLE: Final = 256 * 1024
_ZEROS: Final = bytes(CHUNK // 4)


def is_sparse(fd: int) -> bool:
    """Whether a plain file has fewer blocks than bytes, by enough for a hole."""
    status = os.fstat(fd)
    return status.st_size - status.st_blocks * 512 >= LEAST_HOLE


def find_hole(fd: int, position: int, size: int) -> tuple[int, int]:
    """Where the next hole of LEAST_HOLE or more begins and ends, of the first ``size`` bytes.

    (size, size) where there is none, or the file system does not tell. Where reading goes on is not
    changed. Raises StorageFailure.
    """
    try:
        before = os.lseek(fd, 0, os.SEEK_CUR)
        try:
            while position < size:
                start = min(os.lseek(fd, position, os.SEEK_HOLE), size)
                end = _next_data(fd, start, size)
                if end - start >= LEAST_HOLE:
                    return start, end
                position = max(end, position + 1)
        finally:
            os.lseek(fd, before, os.SEEK_SET)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENXIO, errno.ESPIPE, errno.EOPNOTSUPP}:
            raise from_system(error) from error
    return size, size


def _next_data(fd: int, position: int, size: int) -> int:
    if position >= size:
        return size
    try:
        return min(os.lseek(fd, position, os.SEEK_DATA), size)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # A hole to the end of the file.
        return size


def hash_zeros(hasher: Hasher, size: int) -> None:
    """So many zeros."""
    for _ in range(size // len(_ZEROS)):
        hasher.update(_ZEROS)
    hasher.update(_ZEROS[: size % len(_ZEROS)])


def store_hole(fd: int, offset: int, size: int, hasher: Hasher) -> None:
    """Zeros from ``offset`` on, as a hole unless something stands there already; hashed.

    Raises NoSpace, ReadOnly, StorageFailure.
    """
    end = offset + size
    try:
        there = min(os.fstat(fd).st_size, end)
        at = offset
        while at < there:
            count = min(len(_ZEROS), there - at)
            at += os.pwrite(fd, _ZEROS[:count], at)
        if there < end:
            os.ftruncate(fd, end)
    except OSError as error:
        raise from_system(error) from error
    hash_zeros(hasher, size)


def hash_range(fd: int, position: int, until: int, hasher: Hasher) -> None:
    """Hash the bytes from ``position`` to ``until``; holes among them are not read.

    Raises:
        SourceChanged: there are fewer. StorageFailure: they cannot be read.
    """
    known = min(until, os.fstat(fd).st_size)
    sparse = is_sparse(fd)
    while position < until:
        start, end = find_hole(fd, position, known) if sparse and position < known else (until, until)
        while position < start:
            data = load(fd, position, min(CHUNK, start - position), hasher)
            if not data:
                raise SourceChanged(None, "shorter than what was sent of it", transferred=position)
            position += len(data)
        if position < end:
            hash_zeros(hasher, end - position)
            position = end


def zeros(size: int) -> memoryview:
    """At most ``size`` zeros, and at most a piece of them."""
    return memoryview(_ZEROS)[:size]
