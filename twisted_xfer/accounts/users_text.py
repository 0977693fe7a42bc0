"""The text of a users file: TOML tables, or one line per user, into accounts."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from twisted_xfer.accounts.admission import parse_networks
from twisted_xfer.accounts.certificates import read_require, read_rules
from twisted_xfer.accounts.hours import parse_hours
from twisted_xfer.accounts.passwords import is_hash
from twisted_xfer.accounts.realm import plain_username
from twisted_xfer.accounts.rights import PathRights, parse_rights
from twisted_xfer.accounts.secrets_text import Reader, read_key, read_scram, token_reader
from twisted_xfer.accounts.tokens import Token
from twisted_xfer.errors import ConfigError, LoginRefused
from twisted_xfer.interfaces import Account, QuotaScope
from twisted_xfer.sansio.scram import Verifier

#: Users in one file: beyond it a database is the right place.
MAX_USERS: Final = 100_000
#: Groups of one user.
MAX_GROUPS: Final = 100
#: Hours or networks of one account.
MAX_TEXTS: Final = 100
#: What a home may hold, see ``realm.home_of``.
_PLACEHOLDER: Final = re.compile(r"\{(?:root|username)\}")
#: Digits of a size: more bytes than any disk has, and an integer that is quickly read.
MAX_SIZE_DIGITS: Final = 18
_SIZES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_ASCII: Final = "".join(map(chr, range(32, 127)))


class Entry(NamedTuple):
    """One user: the settings, the stored hash (empty: no login by password), its SCRAM verifier and tokens."""

    account: Account
    stored: str
    scram: Verifier | None = None
    tokens: tuple[Token, ...] = ()

    def __repr__(self) -> str:
        return f"<Entry {self.account.username!r}>"


class Users(dict[str, Entry]):
    """Users by name, and the key that the file's tokens are hashed with (empty without one)."""

    key: bytes = b""


def parse_users(text: str, file: str = "") -> Users:
    """The users in ``text`` by name. TOML when its first significant line opens a table, else lines.

    Raises:
        ConfigError: with file, key, value (never a password) and remedy.
    """
    if file.endswith(".toml") or _first_line(text).startswith("["):
        return _parse_toml(text, file)
    return _parse_lines(text, file)


def _first_line(text: str) -> str:
    for line in text.splitlines():
        plain = line.strip()
        if plain and not plain.startswith("#"):
            return plain
    return ""


# --- one line per user -------------------------------------------------------------------


def _parse_lines(text: str, file: str) -> Users:
    """``name:argon2hash[:home[:rights]]``; empty lines and ``#`` comments are skipped."""
    users = Users()
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        key = f"line {number}"
        name, *rest = plain.split(":", 3)
        if not rest:
            raise ConfigError(key, file=file, remedy="write NAME:HASH[:HOME[:RIGHTS]]")
        settings: dict[str, Any] = {}
        if len(rest) > 1 and rest[1]:
            settings["home"] = _home(rest[1], f"{key}: home", file)
        if len(rest) > 2 and rest[2]:
            settings["rights"] = parse_rights(rest[2], key=f"{key}: rights", file=file)
        _add(users, name, _stored(rest[0], key, file), settings, key, file)
    return users


# --- TOML --------------------------------------------------------------------------------


def _parse_toml(text: str, file: str) -> Users:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its text tells the place and no value of a string.
        raise ConfigError("syntax", value=str(error), file=file, remedy="correct the TOML") from None
    for key in document:
        if key not in {"users", "groups", "secret"}:
            raise ConfigError(key, file=file, remedy="use [users.NAME] and [groups.NAME] tables only")
    groups = {
        name: _settings(table, f"groups.{name}", file, _GROUP_FIELDS)
        for name, table in _tables(document, "groups", file).items()
    }
    users = Users()
    users.key = read_key(document, file)
    for name, table in _tables(document, "users", file).items():
        key = f"users.{name}"
        own = _settings(table, key, file, _USER_FIELDS)
        settings: dict[str, Any] = {}
        scopes: list[QuotaScope] = []
        for group in own.get("groups", ()):
            if group not in groups:
                known = ", ".join(groups) or "none is defined"
                raise ConfigError(f"{key}.groups", value=group, file=file, remedy=f"name a group: {known}")
            shared = groups[group]
            settings.update((key, value) for key, value in shared.items() if key not in _SHARED)
            if _SHARED & shared.keys():
                scopes.append(
                    QuotaScope(f"/group/{group}", shared.get("shared_bytes"), shared.get("shared_files"))
                )
        stored, scram, tokens = own.pop("password", ""), own.pop("scram", None), own.pop("tokens", ())
        settings.update(own)
        for place, limit in settings.pop("directory_quotas", {}).items():
            scopes.append(QuotaScope(f"/user/{name}{place}", limit, None, below=place))
        if scopes:
            settings["quota_scopes"] = tuple(scopes)
        _add(users, name, stored, settings, key, file)
        if scram is not None or tokens:
            users[name] = users[name]._replace(scram=scram, tokens=tokens)
    return users


def _tables(document: Mapping[str, Any], name: str, file: str) -> Mapping[str, Any]:
    tables = document.get(name, {})
    if not isinstance(tables, dict):
        raise ConfigError(name, value=tables, file=file, remedy=f"make it tables: [{name}.NAME]")
    return tables


def _settings(table: Any, key: str, file: str, fields: Mapping[str, Reader]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(key, file=file, remedy=f"make it a table: [{key}]")
    settings: dict[str, Any] = {}
    for name, value in table.items():
        read = fields.get(name)
        if read is None:
            raise ConfigError(f"{key}.{name}", file=file, remedy=f"use one of: {', '.join(fields)}")
        settings[name] = read(value, f"{key}.{name}", file)
    return settings


def _add(
    users: dict[str, Entry], name: str, stored: str, settings: Mapping[str, Any], key: str, file: str
) -> None:
    try:
        plain_username(name)
    except LoginRefused as error:
        raise ConfigError(
            key, value=name[:80], file=file, remedy=f"choose another name: {error.detail}"
        ) from None
    if name in users:
        raise ConfigError(key, value=name, file=file, remedy="name each user once")
    if len(users) >= MAX_USERS:
        raise ConfigError(key, file=file, remedy=f"keep at most {MAX_USERS} users in a file")
    users[name] = Entry(Account(name, **settings), stored)


# --- values ------------------------------------------------------------------------------


def _stored(value: Any, key: str, file: str) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not is_hash(value):
        # It may be a password in the clear: it is not repeated here.
        remedy = "give an argon2 hash, as `xfer user passwd` writes it"
        raise ConfigError(key, value="(not shown)", file=file, remedy=remedy)
    return value


def _text(value: Any, key: str, file: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ConfigError(key, value=value, file=file, remedy="give a string")
    return value


def _home(value: Any, key: str, file: str) -> str:
    """A path in which ``{root}`` and ``{username}`` stand for themselves, and nothing else does."""
    text = _text(value, key, file)
    if set("{}") & set(_PLACEHOLDER.sub("", text)):
        remedy = "must be a path that may hold {root} and {username} and no other braces"
        raise ConfigError(key, value=value, file=file, remedy=remedy)
    return text


def _flag(value: Any, key: str, file: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(key, value=value, file=file, remedy="give true or false")
    return value


def _require_tls(value: Any, key: str, file: str) -> Any:
    if not isinstance(value, bool) and value not in ("none", "control", "data", "both"):
        remedy = 'give true or false, or "control", "data", "both" or "none"'
        raise ConfigError(key, value=value, file=file, remedy=remedy)
    return value


def _count(value: Any, key: str, file: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(key, value=value, file=file, remedy="give a whole number, 0 or more")
    return value


def _size(value: Any, key: str, file: str) -> int:
    """Bytes: a number, or text such as ``"500M"`` or ``"2 GiB"`` in powers of 1024."""
    if not isinstance(value, str):
        return _count(value, key, file)
    plain = value.strip().upper().removesuffix("B").removesuffix("I")
    unit = plain[-1:] if plain[-1:] in _SIZES else ""
    digits = plain.removesuffix(unit).strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_SIZE_DIGITS):
        raise ConfigError(key, value=value, file=file, remedy='give bytes, or a size such as "500M" or "2G"')
    return int(digits) * _SIZES[unit]


def _charset(value: Any, key: str, file: str) -> str:
    name = _text(value, key, file)
    if not name:
        return ""
    try:
        # ASCII must be itself in it, both ways: no UTF-16 or UTF-7, no escapes, no codec that is not of text.
        if _ASCII.encode(name) == _ASCII.encode() and _ASCII.encode().decode(name) == _ASCII:
            return codecs.lookup(name).name
    except (LookupError, ValueError):
        pass
    raise ConfigError(key, value=value, file=file, remedy="name a charset such as utf-8 or gbk")


def _groups(value: Any, key: str, file: str) -> tuple[str, ...]:
    good = (
        isinstance(value, list) and len(value) <= MAX_GROUPS and all(isinstance(name, str) for name in value)
    )
    if not good:
        raise ConfigError(key, value=value, file=file, remedy="give a list of group names")
    return tuple(value)


def _texts(value: Any, key: str, file: str) -> tuple[str, ...]:
    """A string, or a list of them."""
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or len(texts) > MAX_TEXTS
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ConfigError(key, value=value, file=file, remedy="give a string or a list of strings")
    return tuple(texts)


def _texts_for(parse: Callable[[tuple[str, ...]], object], remedy: str) -> Reader:
    """What reads strings that ``parse`` understands: it raises ValueError for others."""

    def read(value: Any, key: str, file: str) -> tuple[str, ...]:
        texts = _texts(value, key, file)
        try:
            parse(texts)
        except ValueError:
            raise ConfigError(key, value=value, file=file, remedy=remedy) from None
        return texts

    return read


def _if_exists(value: Any, key: str, file: str) -> str:
    if value not in {"", "overwrite", "refuse", "rename"}:
        raise ConfigError(key, value=value, file=file, remedy='use "overwrite", "refuse" or "rename"')
    return str(value)


def _expires(value: Any, key: str, file: str) -> float:
    """The moment: a date counts to its end, and what names no zone is in the daemon's."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, date):
            return datetime.combine(value + timedelta(days=1), time.min).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    remedy = "write a date such as 2027-01-31, or a date and time such as 2027-01-31T18:00:00"
    raise ConfigError(key, value=value, file=file, remedy=remedy)


def _rights(value: Any, key: str, file: str) -> Any:
    return parse_rights(value, key=key, file=file)


def _path_rights(value: Any, key: str, file: str) -> Any:
    """A table of pattern and rights; the last pattern that matches decides, in the file's order."""
    if not isinstance(value, dict):
        raise ConfigError(key, value=value, file=file, remedy='give a table: {"/pub/**" = "read"}')
    rules = tuple((pattern, _rights(rights, f"{key}.{pattern}", file)) for pattern, rights in value.items())
    try:
        PathRights(frozenset(), rules)
    except ConfigError as error:
        raise ConfigError(key, value=error.value, file=file, remedy=error.remedy) from None
    return rules


def _directory_quotas(value: Any, key: str, file: str) -> dict[str, int]:
    """A table of directory and bytes."""
    if not isinstance(value, dict) or len(value) > MAX_TEXTS:
        raise ConfigError(key, value=value, file=file, remedy='give a table: {"/in" = "5G"}')
    limits = {}
    for place, limit in value.items():
        if not place.startswith("/") or place != str(PurePosixPath(place)) or ".." in place.split("/"):
            raise ConfigError(key, value=place, file=file, remedy="name directories from the home: /in")
        limits[place] = _size(limit, f"{key}.{place}", file)
    return limits


_SHARED: Final = frozenset({"shared_bytes", "shared_files"})
_ACCOUNT_FIELDS: Final[Mapping[str, Reader]] = {
    "home": _home,
    "rights": _rights,
    "path_rights": _path_rights,
    "charset": _charset,
    "max_sessions": _count,
    "require_tls": _require_tls,
    "quota_bytes": _size,
    "quota_files": _count,
    "directory_quotas": _directory_quotas,
    "rate_up": _size,
    "rate_down": _size,
    "comment": _text,
    "if_exists": _if_exists,
    "enabled": _flag,
    "expires": _expires,
    "hours": _texts_for(parse_hours, 'write hours such as "mon-fri 08:00-18:00" or "22:00-06:00"'),
    "networks": _texts_for(
        parse_networks, 'write networks or addresses such as "10.0.0.0/8" or "2001:db8::1"'
    ),
    "require": read_require,
}
_GROUP_FIELDS: Final[Mapping[str, Reader]] = {
    **_ACCOUNT_FIELDS,
    # Of all members together; the same names without it are defaults for each.
    "shared_bytes": _size,
    "shared_files": _count,
}
_USER_FIELDS: Final[Mapping[str, Reader]] = {
    "password": _stored,
    "scram": read_scram,
    "tokens": token_reader(_ACCOUNT_FIELDS),
    "groups": _groups,
    "certificates": read_rules,
    **_ACCOUNT_FIELDS,
}


def check_setting(name: str, value: Any, key: str = "", file: str = "") -> Any:
    """``value`` as the setting ``name`` of an account takes it.

    Raises:
        ConfigError: there is no such setting, or not with such a value.
    """
    read = _USER_FIELDS.get(name)
    if read is None:
        raise ConfigError(key or name, file=file, remedy=f"use one of: {', '.join(_USER_FIELDS)}")
    return read(value, key or name, file)
