"""Changes to the text of a users file that leave the rest of it as it is, comments included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from twisted_xfer.accounts.users_text import check_setting, parse_users
from twisted_xfer.errors import AlreadyExists, ConfigError, NotFound, Unsupported

#: What a file with one line each can say, in its order behind the name.
LINE_FIELDS: Final = ("password", "home", "rights")

NO_USER: Final = "there is no such user"


def is_toml(text: str, file: str) -> bool:
    """Whether it is, or an empty one is to be, TOML: as the daemon decides."""
    if file.endswith(".toml"):
        return True
    plain = (line.strip() for line in text.splitlines())
    return next((line for line in plain if line and not line.startswith("#")), "").startswith("[")


def add_user(text: str, file: str, name: str, values: Mapping[str, Any]) -> str:
    """``text`` with the new user ``name``.

    Raises:
        AlreadyExists: the name is taken.
        ConfigError: a value that cannot be one.
        Unsupported: lines cannot hold one of ``values``.
    """
    if name in parse_users(text, file):
        raise AlreadyExists(name)
    _check(values)
    # A file without anything in it becomes whichever form holds what is asked for.
    if is_toml(text, file) or (not parse_users(text, file) and set(values) - set(LINE_FIELDS)):
        document = _document(text, file)
        users = document.setdefault("users", tomlkit.table(is_super_table=True))
        users[name] = _filled(tomlkit.table(), values)
        return tomlkit.dumps(document)
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{end}{_line(name, {}, values)}\n"


def change_user(
    text: str, file: str, name: str, values: Mapping[str, Any], unset: tuple[str, ...] = ()
) -> str:
    """``text`` with settings of ``name`` replaced, and those in ``unset`` taken out.

    Raises:
        NotFound: there is no such user.
        ConfigError, Unsupported: as ``add_user``.
    """
    if name not in parse_users(text, file):
        raise NotFound(name, NO_USER)
    _check(values)
    for key in unset:
        if key not in values:
            _check_name(key)
    if is_toml(text, file):
        document = _document(text, file)
        _filled(document["users"][name], values)
        if "password" in unset and "scram" not in values:
            # A verifier of the password would go on letting it in.
            unset = (*unset, "scram")
        for key in unset:
            document["users"][name].pop(key, None)
        return tomlkit.dumps(document)
    lines = text.splitlines(keepends=True)
    at, fields = _find_line(lines, name)
    old = dict(zip(LINE_FIELDS, fields[1:], strict=False))
    lines[at] = _line(name, old, {**values, **dict.fromkeys(unset, "")}) + "\n"
    return "".join(lines)


def remove_user(text: str, file: str, name: str) -> str:
    """``text`` without ``name``.

    Raises:
        NotFound: there is no such user.
    """
    if name not in parse_users(text, file):
        raise NotFound(name, NO_USER)
    if is_toml(text, file):
        document = _document(text, file)
        del document["users"][name]
        return tomlkit.dumps(document)
    lines = text.splitlines(keepends=True)
    at, _ = _find_line(lines, name)
    del lines[at]
    return "".join(lines)


def _document(text: str, file: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError("syntax", value=str(error), file=file, remedy="correct the TOML") from None


def _filled(table: Any, values: Mapping[str, Any]) -> Table:
    for key, value in values.items():
        table[key] = value
    filled: Table = table
    return filled


def _check(values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        check_setting(key, value)


def _check_name(key: str) -> None:
    try:
        check_setting(key, None)
    except ConfigError as error:
        if error.remedy.startswith("use one of: password"):
            raise


def _find_line(lines: list[str], name: str) -> tuple[int, list[str]]:
    for at, line in enumerate(lines):
        fields = line.strip().split(":", 3)
        if fields[0] == name and len(fields) > 1:
            return at, fields
    raise NotFound(name, NO_USER)


def _line(name: str, old: Mapping[str, str], values: Mapping[str, Any]) -> str:
    unknown = set(values) - set(LINE_FIELDS)
    if unknown:
        raise Unsupported(min(unknown), "a file with one line each holds home and rights only: use TOML")
    merged = {**old, **values}
    rights = merged.get("rights", "")
    if not isinstance(rights, str):
        merged["rights"] = ",".join(rights)
    fields = [name, *(str(merged.get(key, "")) for key in LINE_FIELDS)]
    if any(":" in field for field in fields[:3]) or any("\n" in field for field in fields):
        raise Unsupported(name, "lines have no colon in names and homes: use TOML")
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    return ":".join(fields)
