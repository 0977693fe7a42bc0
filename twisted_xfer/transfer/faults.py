"""System errors of files and sockets as errors of the family."""

from __future__ import annotations

import errno
from typing import Final

from twisted_xfer.errors import ConnectionLost, NoSpace, PermissionDenied, ReadOnly, StorageFailure, XferError

#: What only a socket can say; everything else comes from the file.
OF_SOCKETS: Final = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
    }
)

OF_FILES: Final[dict[int, type[XferError]]] = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EROFS: ReadOnly,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
}


def from_system(error: OSError) -> XferError:
    """The error to end a transfer with."""
    code = error.errno or 0
    name = errno.errorcode.get(code, type(error).__name__)
    if code in OF_SOCKETS:
        return ConnectionLost(detail=name)
    return OF_FILES.get(code, StorageFailure)(detail=name, errno=code)
