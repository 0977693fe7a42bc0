"""How one value of the configuration is read: each rule takes a TOML value and answers ours.

A rule raises ValueError without a text: what is right is said once, in ``expects``, and
becomes the remedy of the ConfigError.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
import string
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

#: What a TOML table becomes: read-only all the way down.
Table = Mapping[str, Any]
EMPTY: Final[Table] = MappingProxyType({})

#: No value of ours is sensibly longer; keeps a wrong file from being echoed whole.
MAX_TEXT: Final = 4096
#: One day: longer deadlines are switched off with 0 instead.
MAX_SECONDS: Final = 86_400.0
#: More processes than any machine we know has cores.
MAX_WORKERS: Final = 1024
#: Of a host name, RFC 1123 section 2.1; a label of it has at most 63.
MAX_HOST: Final = 253
_ASCII: Final = "".join(map(chr, range(32, 127)))
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


@attrs.frozen
class Rule:
    """Reads one value.

    Attributes:
        parse: from the TOML value to ours; ValueError or TypeError when it is wrong.
        expects: the remedy, as the end of a sentence that starts with "must be".
        render: from ours back to TOML, for ``--check`` and for worker processes.
        secret: the value is never printed.
    """

    parse: Callable[[object], Any]
    expects: str
    render: Callable[[Any], object] = attrs.field(default=lambda value: value)
    secret: bool = False


def setting(rule: Rule, default: Any) -> Any:
    """An attrs field read by ``rule``. Tables of plugins may hold secrets too, so reprs leave them out."""
    hidden = rule.secret or rule.render is thaw
    return attrs.field(default=default, metadata={"rule": rule}, repr=not hidden)


def section(cls: type[Any]) -> Any:
    """An attrs field that is a table of its own, read into ``cls``."""
    return attrs.field(factory=cls, metadata={"section": cls})


def split_endpoint(text: str) -> list[str]:
    r"""The parts of an endpoint string between its colons; ``\:`` is a colon that stays.

    >>> split_endpoint(r"tcp6:2121:interface=\:\:1")
    ['tcp6', '2121', 'interface=::1']
    """
    parts = [""]
    chars = iter(text)
    for char in chars:
        if char == "\\":
            parts[-1] += next(chars, "")
        elif char == ":":
            parts.append("")
        else:
            parts[-1] += char
    return parts


def freeze(value: object) -> Any:
    """``value`` with read-only mappings and tuples in place of dicts and lists."""
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): freeze(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(inner) for inner in value)
    return value


def thaw(value: object) -> Any:
    """The reverse of freeze: plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(inner) for inner in value]
    return value


def as_text(value: object) -> str:
    """A string without control characters."""
    if not isinstance(value, str) or len(value) > MAX_TEXT or any(ord(char) < 32 for char in value):
        raise ValueError
    return value


def _non_empty(value: object) -> str:
    text = as_text(value)
    if not text.strip():
        raise ValueError
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _table(value: object) -> Table:
    if not isinstance(value, Mapping):
        raise TypeError
    frozen: Table = freeze(value)
    return frozen


def _table_of_tables(value: object) -> Table:
    table = _table(value)
    if not all(isinstance(inner, Mapping) for inner in table.values()):
        raise TypeError
    return table


def whole(low: int, high: int, what: str) -> Rule:
    """A whole number from ``low`` to ``high``, both included."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return Rule(parse, f"a whole number from {low} to {high}{what}")


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise ValueError
    return float(value)


def choice(*words: str) -> Rule:
    """One word of a few."""

    def parse(value: object) -> str:
        if value not in words or not isinstance(value, str):
            raise ValueError
        return value

    return Rule(parse, "one of " + ", ".join(f'"{word}"' for word in words))


def _home(value: object) -> str:
    text = _non_empty(value)
    for _, field, spec, conversion in string.Formatter().parse(text):
        if field is not None and (field not in {"root", "username"} or spec or conversion):
            raise ValueError
    return text


def _charset(value: object) -> str:
    name = _non_empty(value)
    try:
        # ASCII must be itself in it, both ways: no UTF-16 or UTF-7, no escapes, no codec that is not of text.
        if _ASCII.encode(name) == _ASCII.encode() and _ASCII.encode().decode(name) == _ASCII:
            return codecs.lookup(name).name
    except LookupError:
        pass
    raise ValueError


def _ports(value: object) -> tuple[int, int] | None:
    if value == "":
        return None
    low, dash, high = as_text(value).partition("-")
    if not (low.isascii() and low.isdigit() and high.isascii() and high.isdigit()) or dash != "-":
        raise ValueError
    pair = (int(low), int(high))
    if not 1 <= pair[0] <= pair[1] <= 65535:
        raise ValueError
    return pair


def _render_ports(value: tuple[int, int] | None) -> str:
    return "" if value is None else f"{value[0]}-{value[1]}"


def _host(value: object) -> str:
    """An IPv4 address, or a name to be resolved at the start (RFC 1123 section 2.1)."""
    text = _non_empty(value)
    labels = text.removesuffix(".").split(".")
    if labels[-1].isdigit():
        return str(ipaddress.IPv4Address(text))
    if len(text) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError
    return text.lower()


def _public_address(value: object) -> tuple[tuple[str, str], ...]:
    """Pairs of client network and address; ``0.0.0.0/0`` stands for everybody else."""
    if value == "":
        return ()
    if isinstance(value, str):
        return (("0.0.0.0/0", _host(value)),)
    if not isinstance(value, Mapping):
        raise TypeError
    return tuple(
        (str(ipaddress.IPv4Network("0.0.0.0/0" if network == "default" else network)), _host(address))
        for network, address in value.items()
    )


def _render_public_address(value: Sequence[tuple[str, str]]) -> object:
    if not value:
        return ""
    if len(value) == 1 and value[0][0] == "0.0.0.0/0":
        return value[0][1]
    return {"default" if network == "0.0.0.0/0" else network: address for network, address in value}


def _tables(value: object) -> tuple[Table, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    tables = tuple(_table(inner) for inner in value)
    if not all(isinstance(table.get("plugin"), str) for table in tables):
        raise ValueError
    return tables


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(as_text(inner) for inner in value)


TEXTS: Final = Rule(_texts, "an array of strings", list)
TEXT: Final = Rule(as_text, "a string without control characters")
NAME: Final = Rule(_non_empty, "a string that is not empty")
DIRECTORY: Final = Rule(_non_empty, "the path of a directory")
FILE: Final = Rule(as_text, 'the path of a file, or "" for none')
FLAG: Final = Rule(_flag, "true or false")
SECONDS: Final = Rule(_seconds, f"a number of seconds from 0 to {MAX_SECONDS:.0f}")
DEADLINE: Final = Rule(_seconds, f"a number of seconds from 0 (switched off) to {MAX_SECONDS:.0f}")
HOME: Final = Rule(_home, "a path that may hold {root} and {username} and no other braces")
CHARSET: Final = Rule(_charset, 'the name of a Python codec, such as "utf-8", "cp1251" or "gbk"')
PORTS: Final = Rule(_ports, 'LOW-HIGH with 1 <= LOW <= HIGH <= 65535, such as "50000-50100"', _render_ports)
PUBLIC_ADDRESS: Final = Rule(
    _public_address,
    'an IPv4 address or a host name, or a table from client network to one of them with "default" for the others',
    _render_public_address,
)
TABLE: Final = Rule(_table, "a table", thaw)
TABLE_OF_TABLES: Final = Rule(_table_of_tables, "a table of tables", thaw)
TABLES: Final = Rule(_tables, 'an array of tables, each with plugin = "NAME"', thaw)
WORKERS: Final = whole(1, MAX_WORKERS, "")
