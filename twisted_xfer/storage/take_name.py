"""Publishing under a name only if it is free: one rename where the system can, which Python's os cannot."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any, Final

#: renameat2(2), linux/fs.h.
_NOREPLACE: Final = 1
#: What it answers where kernel or file system do not know the flag; EPERM is a sandbox's way to say so.
_UNKNOWN: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
#: What link(2) answers where a file system has no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


def _renameat2() -> Callable[..., int] | None:
    """The C library's; None where there is none."""
    try:
        function: Any = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    call: Callable[..., int] = function
    return call


_call: Final = _renameat2()


def rename_to_free(directory: int, old: bytes, new: bytes) -> bool:
    """Rename ``old`` to ``new`` within ``directory``; False where that cannot be done in one step.

    Raises:
        FileExistsError: ``new`` is taken.
        OSError: as os.rename.
    """
    if _call is None:
        return False
    if _call(directory, old, directory, new, _NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNKNOWN:
        return False
    raise OSError(code, os.strerror(code), new)


def take_name(directory: int, part: bytes, name: bytes) -> bool:
    """Publish ``part`` as ``name`` within ``directory`` if that is free; False when it is taken.

    Where it takes a link, a kill before the part's own name is gone leaves two names of one file,
    which open_part() knows of.
    """
    try:
        if rename_to_free(directory, part, name):
            return True
        os.link(part, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _by_placeholder(directory, part, name)
    os.unlink(part, dir_fd=directory)
    return True


def _by_placeholder(directory: int, part: bytes, name: bytes) -> bool:
    """Without hard links the name is taken by an empty file, then replaced: nobody else publishes under it meanwhile."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        os.close(os.open(name, flags, 0o600, dir_fd=directory))
    except FileExistsError:
        return False
    try:
        os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise
    return True
