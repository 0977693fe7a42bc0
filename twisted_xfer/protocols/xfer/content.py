"""Content in threads: reading, writing and hashing of plain files, and what fails there."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from blake3 import blake3

from twisted_xfer.errors import NoSpace, ReadOnly, StorageFailure, Unsupported, XferError

#: Both sides compare what they have every so many bytes: what a flipped bit costs at most.
SEGMENT: Final = 16 * 1024 * 1024
#: One read, one write and one piece of work for a thread.
CHUNK: Final = 1024 * 1024
#: Content up to this is hashed and stored where it is: a thread would cost more.
AT_ONCE: Final = 256 * 1024
#: Buffers of one call: IOV_MAX of every Linux.
MAX_VECTOR: Final = 1024
#: Digests that can be negotiated, in our order of preference.
HASHES: Final = ("blake3", "sha256", "md5")


class Hasher(Protocol):
    """A running digest."""

    def update(self, data: Any, /) -> object:
        """Go on."""
        ...

    def digest(self) -> bytes:
        """Of everything until now."""
        ...


_MAKERS: Final[dict[str, Callable[[bytes], Hasher]]] = {
    "blake3": blake3,
    "sha256": hashlib.sha256,
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False),
}


def hasher_maker(name: str) -> Callable[[bytes], Hasher]:
    """What makes fresh hashers, of some bytes already. Raises Unsupported."""
    maker = _MAKERS.get(name)
    if maker is None:
        raise Unsupported(name, "digest")
    return maker


def make_hasher(name: str) -> Hasher:
    """A fresh hasher. Raises Unsupported."""
    return hasher_maker(name)(b"")


def from_system(error: OSError) -> XferError:
    """What a failed call on a descriptor means."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace()
    if error.errno == errno.EROFS:
        return ReadOnly()
    return StorageFailure(None, os.strerror(error.errno or 0), errno=error.errno)


def store(fd: int, offset: int, pieces: Sequence[bytes | memoryview], hasher: Hasher) -> None:
    """Write ``pieces`` from ``offset`` on and hash them. Raises NoSpace, ReadOnly, StorageFailure."""
    for piece in pieces:
        hasher.update(piece)
    left = list(pieces)
    try:
        while left:
            written = os.pwritev(fd, left[:MAX_VECTOR], offset)
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = memoryview(left[0])[written:]
    except OSError as error:
        raise from_system(error) from error


def load(fd: int, offset: int, size: int, hasher: Hasher) -> bytes:
    """At most ``size`` bytes from ``offset``, hashed. Raises StorageFailure."""
    try:
        data = os.pread(fd, size, offset)
    except OSError as error:
        raise from_system(error) from error
    hasher.update(data)
    return data
