"""Reading a file that says who may log in: regular, bounded, and writable by nobody else; and again when it changed."""

from __future__ import annotations

import os
import stat
from typing import Final, NamedTuple

from twisted.logger import Logger

from twisted_xfer.errors import ConfigError

#: Largest file that is read, in bytes: MAX_USERS long lines.
MAX_FILE: Final = 64 << 20


class Stamp(NamedTuple):
    """By what a changed file is known. ``changed`` is the inode's own time, which no tool sets back."""

    modified: int
    changed: int
    size: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


class Complaints:
    """Says why a file that was changed is not taken, once for each reason; ``stays`` is what counts instead."""

    def __init__(self, path: str, log: Logger, stays: str) -> None:
        self._path = path
        self._log = log
        self._stays = stays
        self._said = ""

    def say(self, error: OSError | ConfigError) -> None:
        """It is not taken."""
        if isinstance(error, ConfigError):
            reason = f"{error.key}: {error.remedy} (now {error.value!r})"
        else:
            reason = error.strerror or type(error).__name__
        if reason != self._said:
            self._said = reason
            self._log.error(
                "{path} not taken, {stays}: {reason}", path=self._path, stays=self._stays, reason=reason
            )

    def over(self) -> None:
        """It is taken: the same reason would be news again."""
        self._said = ""


def read_account_file(path: str, key: str = "users") -> tuple[Stamp, str]:
    """Stamp and text of the same open file.

    Raises:
        ConfigError: it cannot be read, others may write to it, it is too large or not UTF-8.
    """
    try:
        # Not blocked by a FIFO in its place.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            key, value=path, file=path, remedy=f"name a readable file ({error.strerror})"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(key, value=path, file=path, remedy="name a regular file")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            raise ConfigError("mode", value=mode, file=path, remedy="chmod go-w: whoever writes it logs in")
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(MAX_FILE + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_FILE:
        raise ConfigError("size", value=status.st_size, file=path, remedy=f"keep it under {MAX_FILE} bytes")
    try:
        return stamp_of(status), raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            "encoding", value=f"byte {error.start}", file=path, remedy="write it in UTF-8"
        ) from None
