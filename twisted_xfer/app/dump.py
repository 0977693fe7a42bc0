"""A Config as a plain table: for ``--check`` as TOML without secrets, for worker processes as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from twisted_xfer.app import rules
from twisted_xfer.app.config import Auth, Config

#: What is printed in place of a secret.
MASK: Final = "***"
#: Plugin options whose name holds one of these are not printed.
_SECRET_WORDS: Final = (
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "private",
    "api_key",
    "hash",
)
#: Checkers whose argument is a place, not a password.
_OPEN_TYPES: Final = frozenset({"users", "file", "unix", "anonymous"})


def to_table(value: Any) -> dict[str, Any]:
    """The table that ``load.parse`` reads back into an equal Config; secrets included."""
    table: dict[str, Any] = {}
    for field in attrs.fields(type(value)):
        inner = getattr(value, field.name)
        if "section" in field.metadata:
            table[field.name] = to_table(inner)
        else:
            table[field.name] = field.metadata["rule"].render(inner)
    return table


def to_toml(config: Config) -> str:
    """``config`` as TOML text that may be shown to anybody."""
    table = to_table(config)
    table["auth"] = [_masked_auth(auth) for auth in config.auth]
    for name in ("protocols", "storage", "listeners", "events", "accounts", "listen"):
        table[name] = masked(table[name])
    lines: list[str] = []
    _write(lines, table, "")
    return "\n".join(lines) + "\n"


def _masked_auth(auth: Auth) -> str:
    if not auth.argument or auth.type in _OPEN_TYPES:
        return auth.description
    return f"{auth.type}:{MASK}"


def masked(value: object, name: str = "") -> object:
    """``value`` as it may be shown, it or what is in it being the value of a key ``name``."""
    if isinstance(value, Mapping):
        return {key: masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, name) for inner in value]
    # Where a secret is kept is none.
    secret = any(word in name.lower() for word in _SECRET_WORDS) and not name.endswith("_file")
    return MASK if secret and value not in ("", None) else value


def _write(lines: list[str], table: Mapping[str, Any], prefix: str) -> None:
    """Append ``table`` as TOML: plain keys first, then the tables below it."""
    for key, value in table.items():
        if not _is_table(value) and not _is_array_of_tables(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        name = f"{prefix}{_key(key)}"
        if _is_table(value) and value:
            lines.extend(("", f"[{name}]"))
            _write(lines, value, f"{name}.")
        elif _is_array_of_tables(value):
            for inner in value:
                lines.extend(("", f"[[{name}]]"))
                _write(lines, inner, f"{name}.")


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(inner, Mapping) for inner in value)


def _key(key: str) -> str:
    bare = bool(key) and all(char.isascii() and (char.isalnum() or char in "-_") for char in key)
    return key if bare else _text(key)


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's, DEL apart."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def thaw(config: Config) -> dict[str, Any]:
    """``to_table`` with everything plain, fit for JSON."""
    plain: dict[str, Any] = rules.thaw(to_table(config))
    return plain
