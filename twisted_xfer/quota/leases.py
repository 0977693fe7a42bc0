"""Whether a process that wrote to the ledger is still there: a locked file tells, and cannot lie.

A process id may be another's by now, and means nothing in another container; a lock on an open
file ends with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """Which start of the machine this is; empty where the system does not tell."""
    try:
        with open(_BOOT_ID, encoding="ascii") as stream:
            return stream.read(64).strip()
    except OSError:
        return ""


class Lease:
    """A file ``directory/identity`` that is locked as long as this object and its process live.

    Raises:
        OSError: it cannot be made.
    """

    __slots__ = ("_fd", "_path", "id")

    def __init__(self, directory: str, identity: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.id = identity
        self._path = os.path.join(directory, identity)
        self._fd = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def end(self) -> None:
        """Unlock and remove it. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
            finally:
                os.close(fd)

    @staticmethod
    def is_held(directory: str, identity: str) -> bool:
        """Whether some process holds it; the file of one that nobody holds is removed. Raises OSError."""
        path = os.path.join(directory, identity)
        try:
            fd = os.open(path, _FLAGS)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False
