"""Which way the bytes go: one pure rule, so that no plain byte can slip past TLS."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, Final

import attrs

from twisted_xfer.interfaces import TransferMode

#: A file below this is sent by whoever is quicker to set up; measured: probing for cold pages and
#: enlarging a pipe pay from here on.
BULK: Final = 256 * 1024

#: The system call is there but not for this pair of descriptors: go on without it.
UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EBADF})


_SENDFILE: Final = getattr(os, "sendfile", None)
_SPLICE: Final = getattr(os, "splice", None)
_PREADV: Final = os.preadv if hasattr(os, "RWF_NOWAIT") else None


@attrs.frozen
class Kernel:
    """The system calls that move bytes without us, each None where there is none."""

    sendfile: Callable[..., int] | None = _SENDFILE
    splice: Callable[..., int] | None = _SPLICE
    #: preadv with RWF_NOWAIT tells whether a page is in memory; without it nobody asks.
    preadv: Callable[..., int] | None = _PREADV


def kernel_may_move(
    has_fileno: bool, secure: bool, mode: TransferMode, call: Callable[..., Any] | None
) -> bool:
    """Whether a system call may move the bytes of a file from or to a channel.

    Only between a plain file and a channel in clear, only unchanged, only where there is such a
    call. ``secure`` decides by itself: on a TLS channel the descriptor is there and works, and
    would carry plain text.
    """
    return has_fileno and not secure and mode is TransferMode.IMAGE and call is not None
