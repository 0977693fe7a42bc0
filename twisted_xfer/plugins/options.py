"""A table of the configuration file becomes the frozen options class of a plugin."""

from __future__ import annotations

import difflib
import enum
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar, Union

import attrs

from twisted_xfer.errors import ConfigError, PluginError

T = TypeVar("T")

#: Deeper than any table that people write; the configuration is the operator's own, so this only
#: keeps a mistake from becoming a RecursionError.
MAX_NESTING: Final = 16


class _WrongValueError(Exception):
    """A value that does not fit; carries what would."""


def options_from_table(cls: type[T], table: Mapping[str, Any], *, where: str, file: str = "") -> T:
    """Make an instance of the frozen attrs class ``cls`` from a TOML table.

    ``where`` is the dotted name of the table and ``file`` the file it stands in, for errors. Field
    types understood: bool, int, float, str, pathlib.Path, Literal, Enum (by value), list, tuple,
    frozenset, dict and Mapping with str keys, attrs classes, ``X | Y``, ``X | None`` and Any.

    Raises:
        ConfigError: an unknown key, a missing one, or a wrong value.
        PluginError: ``cls`` has a field of a type that no TOML value can become.
    """
    return _Reader(file).table(cls, table, where)  # type: ignore[no-any-return]


class _Reader:
    """Reads tables of one file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def table(self, cls: type[Any], table: object, where: str) -> Any:
        """One attrs class."""
        if not isinstance(table, Mapping):
            raise self._error(where, table, "this must be a table")
        if where.count(".") > MAX_NESTING:
            raise self._error(where, "...", "nested too deeply")
        fields = {field.alias: field for field in attrs.fields(cls) if field.init}
        hints = typing.get_type_hints(cls)
        arguments = {}
        for key, value in table.items():
            if key not in fields:
                raise self._error(f"{where}.{key}", value, unknown_key(key, list(fields)))
            field = fields[key]
            # attrs knows the types of a class that it made itself; what has none takes anything.
            hint = hints.get(field.name, Any if field.type is None else field.type)
            arguments[key] = self.value(hint, value, f"{where}.{key}")
        for key, field in fields.items():
            if field.default is attrs.NOTHING and key not in arguments:
                raise self._error(f"{where}.{key}", None, "this key is needed")
        try:
            return cls(**arguments)
        except (ValueError, TypeError) as error:  # the validators of the class
            remedy = str(error.args[0] if error.args else error)
            key = _refused(fields, arguments, remedy)
            if key:
                raise self._error(f"{where}.{key}", table[key], remedy) from error
            raise self._error(where, dict(table), remedy) from error

    def value(self, hint: Any, value: object, where: str) -> Any:
        """One value, of type ``hint``."""
        try:
            return self._convert(hint, value, where)
        except _WrongValueError as wrong:
            raise self._error(where, value, f"must be {wrong}") from None

    def _convert(self, hint: Any, value: object, where: str) -> Any:
        if hint is Any or hint is object:
            return value
        origin = typing.get_origin(hint)
        if origin is Literal:
            return _one_of(value, dict.fromkeys(typing.get_args(hint)))
        if origin in {Union, types.UnionType}:
            return self._first_that_fits(typing.get_args(hint), value, where)
        kind = hint if origin is None else origin
        if kind in _SCALARS:
            return _SCALARS[kind](value)
        if not isinstance(kind, type):
            raise PluginError(where, f"no value of a configuration file can be {hint!r}")
        if issubclass(kind, enum.Enum):
            return kind(_one_of(value, {member.value: None for member in kind}))
        if attrs.has(kind):
            return self.table(kind, value, where)
        if issubclass(kind, list | tuple | frozenset):
            return self._sequence(kind, typing.get_args(hint), value, where)
        if kind is dict or kind is Mapping:
            return self._mapping(typing.get_args(hint), value, where)
        raise PluginError(where, f"no value of a configuration file can be {hint!r}")

    def _first_that_fits(self, hints: tuple[Any, ...], value: object, where: str) -> Any:
        wanted = []
        for hint in hints:
            if hint is type(None):
                continue  # TOML has no null: leaving the key out says it
            try:
                return self._convert(hint, value, where)
            except _WrongValueError as wrong:
                wanted.append(str(wrong))
        raise _WrongValueError(" or ".join(wanted))

    def _sequence(self, kind: type[Any], hints: tuple[Any, ...], value: object, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise _WrongValueError("a list")
        if kind is tuple and hints and hints[-1] is not Ellipsis:
            if len(value) != len(hints):
                raise _WrongValueError(f"a list of {len(hints)} values")
        else:
            hints = ((hints or (Any,))[0],) * len(value)
        items = [
            self.value(hint, item, f"{where}[{index}]")
            for index, (hint, item) in enumerate(zip(hints, value, strict=True))
        ]
        return kind(items)

    def _mapping(self, hints: tuple[Any, ...], value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _WrongValueError("a table")
        hint = hints[1] if hints else Any
        return {str(key): self.value(hint, item, f"{where}.{key}") for key, item in value.items()}

    def _error(self, key: str, value: object, remedy: str) -> ConfigError:
        return ConfigError(key.removeprefix("."), remedy=remedy, value=value, file=self._file)


def _refused(fields: Mapping[str, Any], arguments: Mapping[str, Any], remedy: str) -> str:
    """The key whose own validator says ``remedy``; empty when it is about several together."""
    for key, value in arguments.items():
        if fields[key].validator is None:
            continue
        try:
            fields[key].validator(None, fields[key], value)
        except (ValueError, TypeError) as error:
            if error.args and str(error.args[0]) == remedy:
                return key
        except Exception:  # noqa: BLE001, S112 - one that looks at the whole instance, which there is not
            continue
    return ""


def unknown_key(key: str, known: list[str]) -> str:
    """The remedy for an unknown key: the nearest known one, or all of them."""
    near = difflib.get_close_matches(key.replace("-", "_"), known, 1)
    if near:
        return f"there is no such key; did you mean {near[0]!r}?"
    return f"there is no such key; known are: {', '.join(sorted(known)) or 'none'}"


def _one_of(value: object, choices: Mapping[Any, None]) -> Any:
    # By type too: True == 1 must not pass for 1.
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise _WrongValueError("one of " + ", ".join(repr(choice) for choice in choices))


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _WrongValueError("true or false")


def _int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _WrongValueError("a whole number")


def _float(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _WrongValueError("a number")


def _str(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _WrongValueError("a text in quotes")


def _path(value: object) -> pathlib.Path:
    if isinstance(value, str) and value and "\0" not in value:
        return pathlib.Path(value)
    raise _WrongValueError("a path in quotes")


_SCALARS: Final[dict[Any, Callable[[object], Any]]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    pathlib.Path: _path,
}
