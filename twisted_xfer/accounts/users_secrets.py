"""Changes to what a users file keeps secrets in: verifiers, tokens and its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit

from twisted_xfer.accounts.secrets_text import check_token_name
from twisted_xfer.accounts.tokens import KEY_BYTES, MAX_TOKENS, make_token, token_digest
from twisted_xfer.accounts.users_change import NO_USER, is_toml
from twisted_xfer.accounts.users_text import check_setting, parse_users
from twisted_xfer.errors import AlreadyExists, ConfigError, NotFound, Unsupported
from twisted_xfer.interfaces import RandomBytes
from twisted_xfer.sansio.scram import SALT_BYTES, Verifier


def make_verifier(password: bytes, random: RandomBytes) -> str | None:
    """The SCRAM verifier to store for ``password``; None for bytes that are no text. Takes a fifth of a second."""
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return Verifier.of(text, random(SALT_BYTES)).text()


def with_key(text: str, file: str, random: RandomBytes) -> str:
    """``text`` with a key of its own, if it is TOML and has none.

    Raises:
        ConfigError: the text is wrong.
    """
    if not is_toml(text, file) or parse_users(text, file).key:
        return text
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    return f'{before}[secret]\nkey = "{random(KEY_BYTES).hex()}"\n'


def add_token(
    text: str, file: str, user: str, name: str, values: Mapping[str, Any], random: RandomBytes
) -> tuple[str, str]:
    """``text`` with the new token ``name`` of ``user``, and the token itself, which is nowhere else.

    Raises:
        NotFound: there is no such user. AlreadyExists: the user has a token of that name.
        ConfigError: a value that cannot be one. Unsupported: lines cannot hold tokens.
    """
    check_token_name(name)
    text = with_key(text, file, random)
    users = parse_users(text, file)
    if user not in users:
        raise NotFound(user, NO_USER)
    if not is_toml(text, file):
        raise Unsupported(user, "a file with one line each holds no tokens: use TOML")
    if any(token.name == name for token in users[user].tokens):
        raise AlreadyExists(name)
    if len(users[user].tokens) >= MAX_TOKENS:
        raise ConfigError("tokens", value=MAX_TOKENS, file=file, remedy="remove one first")
    token = make_token(random)
    settings = {"hash": token_digest(users.key, token.encode()), **values}
    check_setting("tokens", {name: settings})
    document: Any = tomlkit.parse(text)
    table = tomlkit.table()
    for key, value in settings.items():
        table[key] = value
    owner = document["users"][user]
    if "tokens" not in owner:
        owner["tokens"] = tomlkit.table(is_super_table=True)
    owner["tokens"][name] = table
    return tomlkit.dumps(document), token


def remove_token(text: str, file: str, user: str, name: str) -> str:
    """``text`` without that token.

    Raises:
        NotFound: there is no such user or token.
    """
    users = parse_users(text, file)
    if user not in users or all(token.name != name for token in users[user].tokens):
        raise NotFound(name, "there is no such user or token")
    document: Any = tomlkit.parse(text)
    tokens = document["users"][user]["tokens"]
    del tokens[name]
    if not tokens:
        del document["users"][user]["tokens"]
    return tomlkit.dumps(document)
