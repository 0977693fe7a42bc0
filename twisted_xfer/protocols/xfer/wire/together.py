"""Small files that travel together in one FILES: what holds for all of it, and each one as an entry."""

from __future__ import annotations

from itertools import accumulate, pairwise

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, MAX_STREAM
from twisted_xfer.protocols.xfer.wire.messages import Entry, Files
from twisted_xfer.protocols.xfer.wire.paths import MAX_DEPTH, MAX_PATH


def check_files(files: Files) -> None:
    """What the fields must be together.

    Raises:
        RemoteProtocolError: not as many of each, more content than INLINE carries, a path too long or too deep...
    """
    count, above = len(files.names), files.path
    if not files.stream or files.stream + count - 1 > MAX_STREAM:
        raise RemoteProtocolError(detail="files without numbers")
    if (
        not len(files.sizes) == len(files.modes) == len(files.mtimes_ns) == count
        or len(files.digests) % count
    ):
        raise RemoteProtocolError(detail="not as many of each", limit=count)
    if sum(files.sizes) > MAX_INLINE:
        raise RemoteProtocolError(detail="more than INLINE carries", limit=MAX_INLINE)
    if above:
        if above.count(b"/") + 2 > MAX_DEPTH:
            raise RemoteProtocolError(detail="path too deep", limit=MAX_DEPTH)
        if len(above) + 1 + max(map(len, files.names)) > MAX_PATH:
            raise RemoteProtocolError(detail="path too long", limit=MAX_PATH)


def prefix_of(files: Files) -> bytes:
    """What stands before the names in the paths of ``files``."""
    return files.path + b"/" if files.path else b""


def digest_of(files: Files, index: int) -> bytes:
    """The digest of one of them."""
    size = len(files.digests) // len(files.names)
    return files.digests[index * size : (index + 1) * size]


def entry_of(files: Files, index: int) -> Entry:
    """One of them, as it would have been offered by itself."""
    return Entry(
        prefix_of(files) + files.names[index],
        "file",
        files.sizes[index],
        files.modes[index],
        files.mtimes_ns[index],
        if_exists=files.if_exists,
        inline=True,
        digest=digest_of(files, index),
        stream=files.stream + index,
    )


def pieces_of(files: Files, content: bytes) -> list[bytes]:
    """What is in each of them; ``content`` is of the length that they announce."""
    return [content[begin:end] for begin, end in pairwise(accumulate(files.sizes, initial=0))]
