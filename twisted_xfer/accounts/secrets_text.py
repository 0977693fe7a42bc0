"""What else a users file keeps secrets in: SCRAM verifiers, tokens, and the key of the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted_xfer.accounts.tokens import KEY_BYTES, MAX_TOKENS, Token
from twisted_xfer.errors import ConfigError, NameInvalid
from twisted_xfer.paths import VirtualPath
from twisted_xfer.sansio.scram import Verifier

Reader = Callable[[Any, str, str], Any]
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def read_scram(value: Any, key: str, file: str) -> Verifier | None:
    """A verifier; None for an empty string."""
    if value == "":
        return None
    try:
        if isinstance(value, str):
            return Verifier.parse(value)
    except ValueError:
        pass
    remedy = "give a SCRAM-SHA-256 verifier, as `xfer user passwd` writes it"
    raise ConfigError(key, value="(not shown)", file=file, remedy=remedy)


def read_key(document: Mapping[str, Any], file: str) -> bytes:
    """The key in ``[secret]``; empty without one.

    Raises:
        ConfigError: it is none, and its value is not repeated.
    """
    table = document.get("secret", {})
    value = table.get("key", "") if isinstance(table, dict) and set(table) <= {"key"} else None
    if value == "":
        return b""
    if not isinstance(value, str) or not _DIGEST.match(value):
        remedy = f"give {KEY_BYTES} bytes in hexadecimal as key, or take the table out: `xfer user` makes one"
        raise ConfigError("secret.key", value="(not shown)", file=file, remedy=remedy)
    return bytes.fromhex(value)


def _digest(value: Any, key: str, file: str) -> str:
    if isinstance(value, str) and _DIGEST.match(value):
        return value
    raise ConfigError(
        key, value="(not shown)", file=file, remedy="give a hash as `xfer user token add` writes it"
    )


def check_token_name(name: str, key: str = "name", file: str = "") -> str:
    """``name``, if a token may be called so. Raises ConfigError."""
    if not _NAME.match(name):
        raise ConfigError(
            key, value=name[:80], file=file, remedy="use letters, digits, dots and dashes, at most 64"
        )
    return name


def read_path(value: Any, key: str, file: str) -> str:
    """A directory of an account, from its home. Raises ConfigError."""
    try:
        if isinstance(value, str) and value.startswith("/"):
            path = bytes(VirtualPath.parse(value.encode("utf-8", "surrogateescape")))
            return path.decode("utf-8", "surrogateescape")
    except NameInvalid:
        pass
    raise ConfigError(key, value=value, file=file, remedy="name a directory from the home: /in/camera")


def token_reader(readers: Mapping[str, Reader]) -> Reader:
    """What reads ``[users.NAME.tokens]``; ``readers`` are those of accounts' values of the same kinds."""
    fields: Mapping[str, tuple[str, Reader]] = {
        "hash": ("digest", _digest),
        "path": ("path", read_path),
        "rights": ("rights", readers["rights"]),
        "bytes": ("size", readers["quota_bytes"]),
        "expires": ("expires", readers["expires"]),
        "once": ("once", readers["enabled"]),
    }

    def read_one(name: str, table: Any, key: str, file: str) -> Token:
        check_token_name(name, key, file)
        if not isinstance(table, dict):
            raise ConfigError(key, file=file, remedy=f"make it a table: [{key}]")
        values: dict[str, Any] = {}
        for field, value in table.items():
            if field not in fields:
                raise ConfigError(f"{key}.{field}", file=file, remedy=f"use one of: {', '.join(fields)}")
            target, read = fields[field]
            values[target] = read(value, f"{key}.{field}", file)
        if "digest" not in values:
            raise ConfigError(key, file=file, remedy="give its hash, as `xfer user token add` writes it")
        return Token(name, **values)

    def read(value: Any, key: str, file: str) -> tuple[Token, ...]:
        if not isinstance(value, dict) or len(value) > MAX_TOKENS:
            remedy = f"make it at most {MAX_TOKENS} tables: [{key}.NAME]"
            raise ConfigError(key, value="(not shown)", file=file, remedy=remedy)
        return tuple(read_one(name, table, f"{key}.{name}", file) for name, table in value.items())

    return read
