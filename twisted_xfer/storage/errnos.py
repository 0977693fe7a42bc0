"""What the operating system's errors are called in this package: the one table."""

from __future__ import annotations

import errno
from typing import Final

from twisted_xfer import errors
from twisted_xfer.paths import VirtualPath

_TABLE: Final[dict[int, type[errors.XferError]]] = {
    errno.ENOENT: errors.NotFound,
    errno.ENOTDIR: errors.NotADirectory,
    errno.EISDIR: errors.IsADirectory,
    errno.EEXIST: errors.AlreadyExists,
    errno.ENOTEMPTY: errors.DirectoryNotEmpty,
    errno.EACCES: errors.PermissionDenied,
    errno.EPERM: errors.PermissionDenied,
    # Only an open with O_NOFOLLOW, or too many links, gives ELOOP here.
    errno.ELOOP: errors.ForbiddenPath,
    errno.ENAMETOOLONG: errors.NameInvalid,
    errno.EILSEQ: errors.NameInvalid,
    errno.EXDEV: errors.CrossDevice,
    errno.ENOSPC: errors.NoSpace,
    errno.EDQUOT: errors.NoSpace,
    errno.EROFS: errors.ReadOnly,
    errno.EFBIG: errors.TooLarge,
    # open() of a socket, or of a FIFO for writing with O_NONBLOCK.
    errno.ENXIO: errors.NotAFile,
    errno.ENODEV: errors.NotAFile,
    errno.EBUSY: errors.Busy,
    errno.EAGAIN: errors.Busy,
    errno.ETXTBSY: errors.Busy,
    errno.EMFILE: errors.Busy,
    errno.ENFILE: errors.Busy,
}


def translate(error: OSError, subject: VirtualPath | bytes | str) -> errors.XferError:
    """The XferError for ``error`` about ``subject``; StorageFailure with field ``errno`` for the rest."""
    about = bytes(subject) if isinstance(subject, VirtualPath) else subject
    number = error.errno or 0
    kind = _TABLE.get(number, errors.StorageFailure)
    return kind(about, error.strerror or "", errno=number)
