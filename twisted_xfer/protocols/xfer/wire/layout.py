"""How the fields of one kind of message travel, found out once for each kind."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import attrs

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.checks import get_binary, put_binary

#: Name, whether it is binary, how it is written, default, and what takes the value out of a message.
Field = tuple[str, bool, Callable[[Any], str], Any, Callable[[Any], Any]]


class Layout:
    """The fields of ``kind``, an attrs class, that have a ``checks.Kind`` in their metadata."""

    __slots__ = ("_binary", "_fields", "_name", "_null", "_plain", "_required")

    def __init__(self, kind: type, name: str) -> None:
        rules = [
            (field.name, rule, field.default)
            for field in attrs.fields(kind)
            if (rule := field.metadata.get("kind")) is not None
        ]
        self._name = name
        self._fields: tuple[Field, ...] = tuple(
            (name, rule.binary, rule.write, default, attrgetter(name)) for name, rule, default in rules
        )
        readers = {name: rule.read if rule.of is None else rule.of.read for name, rule, _ in rules}
        binary = {name for name, rule, _ in rules if rule.binary}
        self._plain = {name: read for name, read in readers.items() if name not in binary}
        self._null = frozenset(name for name, rule, _ in rules if rule.of is not None)
        self._binary = tuple((name, f"{name}_b64", readers[name]) for name in readers if name in binary)
        self._required = tuple(name for name, _, default in rules if default is attrs.NOTHING)

    def write(self, message: object) -> bytes:
        """The JSON of ``message``; what has its default value is left out."""
        members = []
        for name, binary, write, default, take in self._fields:
            value = take(message)
            if value != default:
                members.append(put_binary(name, value) if binary else f'"{name}":{write(value)}')
        return f"{{{','.join(members)}}}".encode()

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """The values in a JSON object, by name; what is not known is passed over.

        Raises:
            RemoteProtocolError: one is missing or wrong.
        """
        values: dict[str, Any] = {}
        # Most objects name fewer fields than there are.
        for name, value in given.items():
            read = self._plain.get(name)
            if read is not None:
                values[name] = None if value is None and name in self._null else read(value)
        for name, coded, read in self._binary:
            if name in given or coded in given:
                raw = get_binary(given, name)
                if raw is not None:
                    values[name] = read(raw)
        for name in self._required:
            if name not in values:
                raise RemoteProtocolError(detail=f"{self._name} without {name}")
        return values
