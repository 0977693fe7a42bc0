"""Changing a users file: one writer at a time, in one step, and never into something wrong."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Final

from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import Busy, ConfigError, NotFound, StorageFailure

#: How long one edit waits for another: each takes milliseconds.
LOCK_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
#: A new file holds hashes: for its owner.
NEW_MODE: Final = 0o600
#: The largest that is edited, in bytes; the daemon's own bound is this too.
MAX_FILE: Final = 64 << 20

NO_FILE: Final = "there is no such file"
NO_DIRECTORY: Final = "there is no directory for it"


def edit_users(
    path: str,
    change: Callable[[str], str],
    *,
    create: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Replace the users file at ``path`` by what ``change`` makes of its text.

    The file is locked meanwhile, so edits at the same time follow each other. What comes out is
    parsed before it is written: a daemon never gets to see a wrong file. Mode and owner stay, and
    a symlink stays one.

    Raises:
        ConfigError: the text, old or new, is wrong; nothing was written.
        NotFound: there is no such file, or with ``create`` no directory for it.
        Busy: somebody else kept it locked for LOCK_SECONDS.
        StorageFailure: it cannot be read or replaced.
    """
    real = os.path.realpath(path)
    try:
        with _locked(real, create, sleep) as descriptor:
            before = _read(descriptor, path)
            after = change(before)
            parse_users(after, real)
            if after != before:
                _replace(real, after, os.fstat(descriptor))
    except FileNotFoundError as error:
        raise NotFound(path, NO_DIRECTORY if create else NO_FILE) from error
    except OSError as error:
        raise StorageFailure(path, error.strerror or "", errno=error.errno) from error


def read_users(path: str) -> str:
    """The text of the users file at ``path``.

    Raises:
        ConfigError, NotFound, StorageFailure: as ``edit_users``.
    """
    try:
        with open(path, "rb") as file:
            return _read(file.fileno(), path)
    except FileNotFoundError as error:
        raise NotFound(path, NO_FILE) from error
    except OSError as error:
        raise StorageFailure(path, error.strerror or "", errno=error.errno) from error


@contextlib.contextmanager
def _locked(path: str, create: bool, sleep: Callable[[float], object]) -> Iterator[int]:
    """The file at ``path``, open and locked; the one that is there once the lock is had."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    for _ in range(int(LOCK_SECONDS / _POLL_SECONDS)):
        descriptor = os.open(path, flags, NEW_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sleep(_POLL_SECONDS)
                continue
            if _is_there(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)
    raise Busy(path, "somebody else is changing it")


def _is_there(descriptor: int, path: str) -> bool:
    """Whether the locked file is still the one of that name: another edit may have replaced it."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _read(descriptor: int, path: str) -> str:
    with open(descriptor, "rb", closefd=False) as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise ConfigError("size", value=len(raw), file=path, remedy=f"keep it under {MAX_FILE} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start}"
        raise ConfigError("encoding", value=place, file=path, remedy="write it in UTF-8") from None


def _replace(path: str, text: str, old: os.stat_result) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".users-", dir=os.path.dirname(path))
    try:
        with open(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.fchown(handle, old.st_uid, old.st_gid)
            os.fchmod(handle, old.st_mode & 0o777)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
