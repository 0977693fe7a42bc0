"""Names on the wire: which ones are legal, and how bytes that are no UTF-8 travel."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import RemoteProtocolError

MAX_COMPONENT: Final = 255
MAX_PATH: Final = 4096
MAX_DEPTH: Final = 64
#: C0 controls and DEL: a name with one of them is a trap for whoever prints it.
_CONTROL: Final = bytes([*range(32), 127])
_NOT_PLAIN: Final = frozenset({b"", b".", b".."})


def split_path(path: bytes, *, root: bool = False) -> tuple[bytes, ...]:
    """The components of a relative path; ``root`` allows the empty one.

    Raises:
        RemoteProtocolError: absolute, empty, ``.``, ``..``, a control character, too long or deep.
    """
    if not path and root:
        return ()
    if len(path) > MAX_PATH:
        raise RemoteProtocolError(detail="path too long", limit=MAX_PATH)
    parts = tuple(path.split(b"/"))
    if len(parts) > MAX_DEPTH:
        raise RemoteProtocolError(detail="path too deep", limit=MAX_DEPTH)
    if not _NOT_PLAIN.isdisjoint(parts):
        raise RemoteProtocolError(detail="path not plain and relative")
    if len(path) > MAX_COMPONENT and max(map(len, parts)) > MAX_COMPONENT:
        raise RemoteProtocolError(detail="name too long", limit=MAX_COMPONENT)
    if path.translate(None, _CONTROL) != path:
        raise RemoteProtocolError(detail="control character in path")
    return parts


def split_names(names: bytes, count: int) -> tuple[bytes, ...]:
    """``count`` names of one directory, with a slash between each two.

    Raises:
        RemoteProtocolError: one of them is no plain component, as in ``split_path``.
    """
    found = tuple(names.split(b"/"))
    if len(found) != count or not _NOT_PLAIN.isdisjoint(found):
        raise RemoteProtocolError(detail="name not plain")
    if max(map(len, found)) > MAX_COMPONENT:
        raise RemoteProtocolError(detail="name too long", limit=MAX_COMPONENT)
    if names.translate(None, _CONTROL) != names:
        raise RemoteProtocolError(detail="control character in name")
    return found


def is_sendable(path: bytes) -> bool:
    """Whether a local relative path may be offered at all."""
    try:
        split_path(path)
    except RemoteProtocolError:
        return False
    return True


def printable(path: bytes) -> str:
    """A name for people: what a terminal would obey is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
