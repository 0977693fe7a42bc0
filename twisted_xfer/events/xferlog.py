"""Transfers in the format of wu-ftpd, xferlog(5), which log analysers read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from zope.interface import implementer

from twisted_xfer.events.line_file import LineFile
from twisted_xfer.interfaces import Event, IEventListener, IHoldsFile


class _Row(NamedTuple):
    direction: bytes
    completion: bytes


_ROWS: Final = {
    "download.complete": _Row(b"o", b"c"),
    "download.aborted": _Row(b"o", b"i"),
    "upload.complete": _Row(b"i", b"c"),
    "upload.truncated": _Row(b"i", b"i"),
    "upload.aborted": _Row(b"i", b"i"),
    "file.delete": _Row(b"d", b"c"),
}
#: Fields are split at blanks and lines at newlines, so a name may hold neither; wu-ftpd and ProFTPD
#: write an underscore too.
_PLAIN: Final = bytes(0x5F if byte <= 0x20 or byte == 0x7F else byte for byte in range(256))
_ANONYMOUS: Final = frozenset({"anonymous", "ftp"})


@implementer(IEventListener, IHoldsFile)
class XferLog:
    """Writes a line for each upload, download and deleted file.

    ``local_time`` breaks Unix seconds down as the log shows them, ``time.localtime`` by custom.
    """

    def __init__(
        self, file: LineFile, local_time: Callable[[float], time.struct_time] = time.localtime
    ) -> None:
        self._file = file
        self._local_time = local_time

    def on_event(self, event: Event) -> None:
        """Write one line, if it is a transfer. Raises OSError when the file cannot take it."""
        if event.id in _ROWS:
            self._file.write(xferlog_line(event, self._local_time(event.time)))

    def reopen(self) -> None:
        """See IHoldsFile."""
        self._file.reopen()

    def close(self) -> None:
        """See IHoldsFile."""
        self._file.close()


def xferlog_line(event: Event, when: time.struct_time) -> bytes:
    """One line of 18 blank-separated words (the date is five of them), as in xferlog(5).

    The size is of the bytes that were transferred. A transfer takes at least one second there, as
    analysers divide by it.
    """
    fields = event.fields
    row = _ROWS[event.id]
    return b" ".join(
        (
            time.asctime(when).encode("ascii"),
            b"%d" % max(1, round(fields.get("seconds", 0))),
            _word(event.peer),
            b"%d" % fields.get("bytes", 0),
            _word(fields["path"]),
            b"a" if fields.get("mode") == "ascii" else b"b",
            b"_",
            row.direction,
            b"a" if event.username in _ANONYMOUS else b"r",
            _word(event.username),
            _word(event.protocol),
            b"0",
            b"*",
            row.completion + b"\n",
        )
    )


def _word(value: str | bytes) -> bytes:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return raw.translate(_PLAIN) or b"*"
