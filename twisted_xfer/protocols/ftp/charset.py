"""Names between the wire and the storage.

The storage's names are bytes, UTF-8 by custom. A session that speaks another charset has its
names converted; what cannot be converted passes as the bytes it is, so nothing is ever lost.
"""

from __future__ import annotations

import codecs
from functools import lru_cache
from typing import Final

from twisted_xfer.errors import ConfigError

REMEDY: Final = "name a Python text codec in which ASCII is itself, such as utf-8, gbk or cp1251"
_ASCII: Final = "".join(map(chr, range(32, 127)))


@lru_cache(64)
def is_utf8(charset: str) -> bool:
    """Whether ``charset`` names UTF-8, which needs no conversion.

    Raises:
        ConfigError: Python knows no such text encoding, or verbs and slashes are other bytes in it.
    """
    try:
        fits = _ASCII.encode(charset) == _ASCII.encode() and _ASCII.encode().decode(charset) == _ASCII
    except (LookupError, ValueError):
        fits = False
    if not fits:
        raise ConfigError("charset", value=charset, remedy=REMEDY)
    return codecs.lookup(charset).name == "utf-8"


class NameCodec:
    """Converts whole paths both ways for one charset, and name by name where one cannot be converted."""

    __slots__ = ("_identity", "charset")

    def __init__(self, charset: str = "utf-8") -> None:
        self.charset = charset
        self._identity = is_utf8(charset)

    def to_storage(self, wire: bytes) -> bytes:
        """The storage's bytes for a name that a client sent."""
        if self._identity:
            return wire
        try:
            return wire.decode(self.charset).encode("utf-8")
        except UnicodeError:
            return b"/".join(map(self.to_storage, wire.split(b"/"))) if b"/" in wire else wire

    def to_wire(self, stored: bytes) -> bytes:
        """The client's bytes for a stored name."""
        if self._identity:
            return stored
        try:
            return stored.decode("utf-8").encode(self.charset)
        except UnicodeError:
            return b"/".join(map(self.to_wire, stored.split(b"/"))) if b"/" in stored else stored


UTF8 = NameCodec()
