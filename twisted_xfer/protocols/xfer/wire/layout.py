"""How the fields of one kind of message travel, found out once for each kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import compress
from operator import attrgetter, ne
from typing import Any

import attrs

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.checks import get_binary, put_binary

#: What its member begins with, and how the rest is written.
Field = tuple[str, Callable[[Any], str]]


def _no_values(_message: object) -> tuple[()]:
    """Of a kind without fields."""
    return ()


class Layout:
    """The fields of ``kind``, an attrs class, that have a ``checks.Kind`` in their metadata."""

    __slots__ = ("_binary", "_defaults", "_fields", "_name", "_null", "_plain", "_required", "_take")

    def __init__(self, kind: type, name: str) -> None:
        rules = [
            (field.name, rule, field.default)
            for field in attrs.fields(kind)
            if (rule := field.metadata.get("kind")) is not None
        ]
        self._name = name
        # Of what is left out when it is null, no null is written.
        writers = {
            name: rule.of.write if rule.of is not None and default is None else rule.write
            for name, rule, default in rules
        }
        self._fields: tuple[Field, ...] = tuple(
            ("", partial(put_binary, name)) if rule.binary else (f'"{name}":', writers[name])
            for name, rule, _ in rules
        )
        self._defaults = tuple(default for _, _, default in rules)
        names = [name for name, _, _ in rules]
        # One name alone would give no tuple: there is one twice then.
        self._take = attrgetter(*names, *names[: len(names) == 1]) if names else _no_values
        readers = {name: rule.read if rule.of is None else rule.of.read for name, rule, _ in rules}
        binary = {name for name, rule, _ in rules if rule.binary}
        self._plain = {name: read for name, read in readers.items() if name not in binary}
        self._null = frozenset(name for name, rule, _ in rules if rule.of is not None)
        self._binary = tuple((name, f"{name}_b64", readers[name]) for name in readers if name in binary)
        self._required = tuple(name for name, _, default in rules if default is attrs.NOTHING)

    def write(self, message: object) -> bytes:
        """The JSON of ``message``; what has its default value is left out."""
        values = self._take(message)
        told = compress(zip(self._fields, values, strict=False), map(ne, values, self._defaults))
        members = [begins + write(value) for (begins, write), value in told]
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
