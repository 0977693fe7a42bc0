"""A log file that grows by whole lines and may be rotated away."""

from __future__ import annotations

import os
from typing import Final

#: Logs name accounts, files and addresses: for the owner, and for the group that reads logs.
FILE_MODE: Final = 0o640
STANDARD_OUTPUT: Final = "-"


class LineFile:
    """Appends lines to ``path``, or to standard output for ``-``.

    Each line is one ``write`` to a descriptor opened with O_APPEND, so the lines of several worker
    processes do not mix, and a line is in the file when ``write`` returns. It costs some
    microseconds on a local disk: put logs there.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._torn = False
        self._descriptor = self._open()

    def _open(self) -> int:
        if self.path == STANDARD_OUTPUT:
            return os.dup(1)
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)

    def write(self, line: bytes) -> None:
        """Append ``line``, which ends with a newline and has no other.

        Raises:
            OSError: the disk is full, or failed. What was written of the line stays; the next line
                starts on one of its own.
            ValueError: closed already.
        """
        if self._descriptor < 0:
            raise ValueError("closed")
        if self._torn:
            line = b"\n" + line
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._torn = self._torn or len(rest) < len(line)
            raise
        self._torn = False

    def reopen(self) -> None:
        """Write to ``path`` anew, wherever the old file has gone.

        Raises:
            OSError: it cannot be opened; the old file is then kept in use.
        """
        if self._descriptor < 0:
            return
        old, self._descriptor = self._descriptor, self._open()
        self._torn = False
        os.close(old)

    def close(self) -> None:
        """Close the file. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
