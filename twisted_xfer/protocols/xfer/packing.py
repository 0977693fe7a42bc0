"""zstd, one piece of content at a time: each stands for itself, so nothing is kept between them.

A piece is at most MAX_PACKED bytes, and unpacking allocates no more than that was announced to be: a
bomb is an error after one byte too many.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any, Final

from twisted_xfer.protocols.xfer.content import from_system
from twisted_xfer.protocols.xfer.wire.frames import MAX_PACKED

#: Measured for source code: level 3 is five times as fast as 6, for an eighth more.
LEVEL: Final = 3
#: What packing has to save to be worth unpacking: a tenth.
WORTH: Final = 0.9
#: Less is sent as it is.
LEAST: Final = 4096
#: Pieces of a stream that are sent as they are after one that did not shrink.
REST: Final = 15


@cache
def library() -> Any:
    """zstd, loaded for the first piece: within a machine, and with what is packed already, there is none."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


@cache
def _bounded() -> dict[int, int]:
    return {library().DecompressionParameter.window_log_max: MAX_PACKED.bit_length() - 1}


def pack(data: bytes) -> bytes | None:
    """``data`` compressed, or None if that does not pay."""
    if len(data) < LEAST:
        return None
    packed: bytes = library().compress(data, level=LEVEL)
    return packed if len(packed) <= len(data) * WORTH else None


def unpack(packed: bytes, size: int) -> bytes | None:
    """The ``size`` bytes that were packed; None when it is anything else."""
    zstd = library()
    unpacker = zstd.ZstdDecompressor(options=_bounded())
    try:
        data: bytes = unpacker.decompress(packed, size + 1)
    except zstd.ZstdError:
        return None
    whole = len(data) == size and unpacker.eof and not unpacker.unused_data
    return data if whole else None


def pays(fd: int, position: int) -> bool:
    """Whether a sample of a file from ``position`` shrinks by enough. Raises StorageFailure."""
    try:
        sample = os.pread(fd, MAX_PACKED, position)
    except OSError as error:
        raise from_system(error) from error
    return len(sample) > 0 and pack(sample) is not None
