"""What a value in a control frame may be: each kind reads JSON strictly and writes it back."""

from __future__ import annotations

import base64
import json
from binascii import unhexlify
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.paths import MAX_PATH, split_names, split_path

MAX_I64: Final = 2**63 - 1
MIN_I64: Final = -(2**63)


#: The JSON text of a string.
quoted: Final = json.encoder.encode_basestring


class Kind(NamedTuple):
    """How one field travels: out of a JSON value, and as JSON text.

    ``binary``: as ``name``, or ``name_b64`` when it is no UTF-8; see put_binary. ``of``: what it is
    unless it is null.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], str]
    binary: bool = False
    of: Kind | None = None


def _wrong(what: str) -> NoReturn:
    raise RemoteProtocolError(detail=f"not {what}")


def integer(low: int = 0, high: int = MAX_I64) -> Kind:
    """A whole number from ``low`` to ``high``; JSON's true and 1.0 are none."""

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            _wrong(f"an integer from {low} to {high}")
        return value

    return Kind(read, str)


def integers(low: int, high: int, most: int, *, null: bool = False) -> Kind:
    """An array of 1 to ``most`` whole numbers from ``low`` to ``high``, or of nulls too, which is looked at as one."""
    types = frozenset({int, type(None)} if null else {int})

    def read(value: Any) -> tuple[int | None, ...]:
        if (
            not isinstance(value, list)
            or not 1 <= len(value) <= most
            or not types.issuperset(map(type, value))
        ):
            _wrong(f"an array of 1 to {most} integers")
        known = [one for one in value if one is not None] if null else value
        if known and not (low <= min(known) and max(known) <= high):
            _wrong(f"integers from {low} to {high}")
        return tuple(value)

    def write(value: Any) -> str:
        return f"[{','.join(['null' if one is None else str(one) for one in value])}]"

    return Kind(read, write)


def nearest_time(value: int) -> int:
    """What travels for a time, in nanoseconds from 1970 on: file systems know others than 64 bits hold."""
    return min(max(value, MIN_I64), MAX_I64)


def nanoseconds() -> Kind:
    """A time, in nanoseconds from 1970 on. File systems know others: those travel as the nearest that fits."""

    def write(value: int) -> str:
        return str(nearest_time(value))

    return integer(MIN_I64)._replace(write=write)


def text(most: int, least: int = 0) -> Kind:
    """A string of ``least`` to ``most`` characters that UTF-8 can carry."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            _wrong(f"a text of {least} to {most} characters")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            _wrong("UTF-8")
        return value

    return Kind(read, quoted)


def word(*allowed: str) -> Kind:
    """One of a few strings."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            _wrong("one of " + ", ".join(allowed))
        return value

    return Kind(read, quoted)


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        _wrong("true or false")
    return value


FLAG: Final = Kind(_read_flag, lambda value: "true" if value else "false")


def hexed(most: int, least: int = 0) -> Kind:
    """Bytes as lower-case hexadecimal."""

    def read(value: Any) -> bytes:
        if not isinstance(value, str) or not shortest <= len(value) <= longest or value != value.lower():
            _wrong(f"{least} to {most} bytes in hexadecimal")
        try:
            return unhexlify(value)
        except ValueError:
            _wrong("hexadecimal")

    shortest, longest = least * 2, most * 2
    return Kind(read, lambda value: f'"{value.hex()}"')


def several(of: Kind, most: int, least: int = 0) -> Kind:
    """An array of ``least`` to ``most`` values."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            _wrong(f"an array of {least} to {most} values")
        return tuple(of.read(one) for one in value)

    return Kind(read, lambda value: f"[{','.join(map(of.write, value))}]")


def maybe(of: Kind) -> Kind:
    """A value or null."""
    read, write = of.read, of.write
    return Kind(
        lambda value: None if value is None else read(value),
        lambda value: "null" if value is None else write(value),
        of.binary,
        of,
    )


def path(*, root: bool = False) -> Kind:
    """A relative path as bytes; ``root`` allows the empty one."""

    def read(value: Any) -> bytes:
        split_path(value, root=root)
        return bytes(value)

    return Kind(read, quoted, binary=True)


def names(most: int) -> Kind:
    """An array of 1 to ``most`` names of one directory, as bytes that are UTF-8."""

    def read(value: Any) -> tuple[bytes, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            _wrong(f"an array of 1 to {most} names")
        try:
            joined = "/".join(value).encode("utf-8")
        except (TypeError, UnicodeEncodeError):
            _wrong("names in UTF-8")
        return split_names(joined, len(value))

    return Kind(read, lambda value: f"[{','.join([quoted(one.decode('utf-8')) for one in value])}]")


def _bounded(value: Any) -> bytes:
    if len(value) > MAX_PATH:
        raise RemoteProtocolError(detail="path too long", limit=MAX_PATH)
    return bytes(value)


#: Bytes that are only shown or compared, such as where a link leads.
BYTES: Final = Kind(_bounded, quoted, binary=True)


def put_binary(name: str, value: bytes) -> str:
    """A member of a JSON object: bytes as text where they are UTF-8, else as base64 under ``name_b64``."""
    try:
        return f'"{name}":{quoted(value.decode("utf-8"))}'
    except UnicodeDecodeError:
        return f'"{name}_b64":"{base64.b64encode(value).decode("ascii")}"'


def get_binary(source: dict[str, Any], name: str) -> bytes | None:
    """The bytes of ``name`` or ``name_b64``; None when neither is there.

    Raises:
        RemoteProtocolError: both, of another type, or not what they claim to be.
    """
    plain, coded = source.get(name), source.get(name + "_b64")
    if plain is not None and coded is not None:
        raise RemoteProtocolError(detail="a name in two forms")
    if coded is not None:
        if not isinstance(coded, str):
            _wrong("base64")
        try:
            return base64.b64decode(coded.encode("ascii"), validate=True)
        except ValueError:
            _wrong("base64")
    if plain is None:
        return None
    if not isinstance(plain, str):
        _wrong("a text")
    try:
        return plain.encode("utf-8")
    except UnicodeEncodeError:
        _wrong("UTF-8")
