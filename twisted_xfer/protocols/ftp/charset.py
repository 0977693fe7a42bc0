"""Names between the wire and the storage.

The storage's names are bytes, UTF-8 by custom. A session that speaks another charset has its
names converted; what cannot be converted passes as the bytes it is, so nothing is ever lost.
"""

from __future__ import annotations

import codecs

from twisted_xfer.errors import ConfigError


def is_utf8(charset: str) -> bool:
    """Whether ``charset`` names UTF-8, which needs no conversion.

    Raises:
        ConfigError: Python knows no such text encoding.
    """
    try:
        info = codecs.lookup(charset)
        "".encode(charset)
    except (LookupError, UnicodeError) as error:
        raise ConfigError(
            "charset", value=charset, remedy="name a Python text codec such as utf-8, gbk or cp1251"
        ) from error
    return info.name == "utf-8"


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

    def shown_raw(self, wire: bytes) -> bytes:
        """The storage's bytes for a path whose last name was shown as it is, since it could not be converted.

        It may well be that a client's bytes can be converted back all the same, to another name.
        """
        head, slash, last = wire.rstrip(b"/").rpartition(b"/")
        return self.to_storage(head) + slash + last

    def to_wire(self, stored: bytes) -> bytes:
        """The client's bytes for a stored name."""
        if self._identity:
            return stored
        try:
            return stored.decode("utf-8").encode(self.charset)
        except UnicodeError:
            return b"/".join(map(self.to_wire, stored.split(b"/"))) if b"/" in stored else stored


UTF8 = NameCodec()
