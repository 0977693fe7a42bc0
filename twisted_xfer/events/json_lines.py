"""Every event as one line of JSON."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from zope.interface import implementer

from twisted_xfer.events.line_file import LineFile
from twisted_xfer.interfaces import Event, IEventListener, IHoldsFile

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode
#: Common keys in the order of the line; empty ones are left out.
_COMMON: Final = ("protocol", "session", "username", "peer", "transfer")


@implementer(IEventListener, IHoldsFile)
class JsonLines:
    """Writes events to a file, one JSON object a line, in UTF-8.

    ``only`` names the event ids to write; empty means all.
    """

    def __init__(self, file: LineFile, only: frozenset[str] = frozenset()) -> None:
        self._file = file
        self._only = only

    def on_event(self, event: Event) -> None:
        """Write one line. Raises OSError when the file cannot take it."""
        if not self._only or event.id in self._only:
            self._file.write(json_line(event))

    def reopen(self) -> None:
        """See IHoldsFile."""
        self._file.reopen()

    def close(self) -> None:
        """See IHoldsFile."""
        self._file.close()


def json_line(event: Event) -> bytes:
    r"""``event`` as one line: ``time``, ``id``, the common keys that are set, then its own fields.

    Paths are text. One whose bytes are not UTF-8 is written with ``\xNN`` for the odd bytes, and
    again, exactly, as base64 under its key with ``_b64`` behind. No byte a peer chose can start
    another line: JSON escapes all control characters.
    """
    row: dict[str, Any] = {"time": round(event.time, 6), "id": event.id}
    for name in _COMMON:
        value = getattr(event, name)
        if value:
            row[name] = value
    for name, value in event.fields.items():
        if isinstance(value, bytes):
            _put_bytes(row, name, value)
        else:
            row[name] = value
    # A lone surrogate, from a name decoded with surrogateescape, becomes \udcNN, which JSON allows.
    return (_ENCODE(row) + "\n").encode("utf-8", "backslashreplace")


def _put_bytes(row: dict[str, Any], name: str, value: bytes) -> None:
    try:
        row[name] = value.decode("utf-8")
    except UnicodeDecodeError:
        row[name] = value.decode("utf-8", "backslashreplace")
        row[name + "_b64"] = base64.b64encode(value).decode("ascii")
