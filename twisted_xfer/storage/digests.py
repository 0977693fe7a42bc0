"""Digests of what was stored, and copies within the disk: both read whole files."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import Any, Final

from blake3 import blake3

from twisted_xfer.errors import SourceChanged, Unsupported

#: One read: large enough that the call costs nothing, small enough to stay in the cache.
CHUNK: Final = 1024 * 1024
#: One copy_file_range call, so that a signal is never far away.
_COPY_STEP: Final = 64 * 1024 * 1024
#: What copy_file_range answers where two files, or a file system, cannot do it.
_NO_RANGE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def make_hasher(algorithm: str) -> Any:
    """A fresh hash object: ``blake3`` or any name that hashlib knows with a fixed length.

    Raises:
        Unsupported: no such algorithm.
    """
    if algorithm == "blake3":
        return blake3()
    try:
        hasher = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError as error:
        raise Unsupported(algorithm, "digest") from error
    if not hasher.digest_size:
        raise Unsupported(algorithm, "digest of variable length")
    return hasher


def file_digest(fd: int, algorithm: str, size: int) -> bytes:
    """The digest of the first ``size`` bytes of the file. Raises OSError, Unsupported."""
    hasher = make_hasher(algorithm)
    position = 0
    while position < size:
        data = os.pread(fd, min(CHUNK, size - position), position)
        if not data:
            break
        hasher.update(data)
        position += len(data)
    digest: bytes = hasher.digest()
    return digest


def copy_prefix(source: int, target: int, size: int) -> None:
    """Copy the first ``size`` bytes, by reference where the file system can.

    Raises:
        SourceChanged: the source became shorter.
        OSError: as the kernel says.
    """
    position = 0
    in_kernel = True
    while position < size:
        moved = 0
        if in_kernel:
            try:
                step = min(_COPY_STEP, size - position)
                moved = os.copy_file_range(source, target, step, position, position)
            except OSError as error:
                if error.errno not in _NO_RANGE:
                    raise
                in_kernel = False
                continue
        else:
            data = os.pread(source, min(CHUNK, size - position), position)
            moved = os.pwrite(target, data, position) if data else 0
        if not moved:
            raise SourceChanged(None, "the old file became shorter", transferred=position)
        position += moved


def prepend(fd: int, prefix: bytes, size: int) -> None:
    """Move the file's ``size`` bytes up, last ones first, and write ``prefix`` before them. Raises OSError."""
    end = size
    while end > 0:
        start = max(0, end - CHUNK)
        _write_at(fd, os.pread(fd, end - start, start), start + len(prefix))
        end = start
    _write_at(fd, prefix, 0)


def _write_at(fd: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, position)
        view = view[written:]
        position += written
