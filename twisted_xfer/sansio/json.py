"""JSON objects out of a stream that has no framing, and strict decoding of framed ones."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from twisted_xfer.errors import RemoteProtocolError

#: Deeper nesting is never meant, and keeps the decoder far from the interpreter's own limit.
MAX_DEPTH: Final = 32
_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')
_SPACE: Final = b" \t\r\n"
_BLANKS: Final = _SPACE.decode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decoder: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def decode_json(raw: bytes) -> Any:
    """One JSON value in UTF-8 with nothing around it but blanks. The caller bounds its length.

    Raises:
        RemoteProtocolError: not JSON, not UTF-8, NaN or Infinity, or nested beyond any sense.
    """
    try:
        # decode() looks for blanks with two regular expressions, for half as much again.
        text = raw.decode("utf-8").strip(_BLANKS)
        value, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError(detail="not JSON") from None
    if end != len(text):
        raise RemoteProtocolError(detail="not JSON")
    return value


class JSONReader:
    """The reader: feed with receive_data, pull with next_value until None.

    A value is an object, or an array where ``arrays`` allows it. Each byte is looked at once,
    however the stream is cut. Over ``most`` bytes, MAX_DEPTH levels, or anything else between
    values is an error, after which the stream has no meaning any more. ``characters`` is a limit of its
    own, for protocols that count those: ``most`` is then four times as much or more.
    """

    __slots__ = ("_buffer", "_characters", "_depth", "_most", "_openers", "_scanned", "_string")

    def __init__(self, most: int, *, arrays: bool = False, characters: int | None = None) -> None:
        self._most = most
        self._characters = characters
        self._openers = b"{[" if arrays else b"{"
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._string = False

    @property
    def pending(self) -> int:
        """Bytes that no value was made of yet."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the network. What is not pulled is bounded by whoever reads the network."""
        self._buffer += data

    def take(self, size: int) -> bytes:
        """At most ``size`` bytes as they are, between two values: some protocols mix raw bytes in."""
        if self._depth:
            return b""
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._scanned = 0
        return taken

    def next_value(self) -> Any:
        """The next value; None when it is not whole yet (``null`` is no value of a stream).

        Raises:
            RemoteProtocolError: see the class.
        """
        buffer = self._buffer
        if not self._depth:
            blanks = len(buffer) - len(buffer.lstrip(_SPACE))
            if blanks:
                del buffer[:blanks]
            if not buffer:
                return None
            if buffer[0] not in self._openers:
                raise RemoteProtocolError(detail="not a JSON object")
        end = self._scan()
        if (end or len(buffer)) > self._most:
            raise RemoteProtocolError(detail="JSON object too long", limit=self._most)
        most = self._characters
        # A value whose end is still to come is held to it too, so that its sender does not wait for an answer.
        if most is not None and len(buffer[: end or None].decode("utf-8", "replace")) > most:
            raise RemoteProtocolError(detail="JSON object too long", limit=most)
        if not end:
            return None
        raw = bytes(buffer[:end])
        del buffer[:end]
        self._scanned = 0
        return decode_json(raw)

    def _scan(self) -> int:
        """Follow strings and brackets; the end of the value, or 0."""
        at = self._scanned
        buffer = self._buffer
        while (found := (_INSIDE if self._string else _OUTSIDE).search(buffer, at)) is not None:
            at = found.end()
            char = buffer[at - 1]
            if char == 0x5C:
                at += 1
            elif char == 0x22:
                self._string = not self._string
            elif char in b"{[":
                self._depth += 1
                if self._depth > MAX_DEPTH:
                    raise RemoteProtocolError(detail="JSON nested too deep", limit=MAX_DEPTH)
            else:
                self._depth -= 1
                if not self._depth:
                    return at
        # An escape whose second byte is still to come leaves ``at`` one beyond the end.
        self._scanned = max(at, len(buffer))
        return 0
