"""``xfer user``: the accounts of a users file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import IO, Any, Final, TypeVar

import click

from twisted_xfer.cli import cmd_recount, cmd_user_token
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say
from twisted_xfer.cli.users_options import JSON, USERS, edit, entries
from twisted_xfer.errors import NotFound, XferError

F = TypeVar("F", bound=Callable[..., Any])
#: Longest password that is read from a file, as the daemon looks at no more.
MAX_PASSWORD: Final = 1024

_PASSWORD_FILE = click.option(
    "--password-file", type=click.File("rb"), help="Its first line is the password; - is standard input."
)
_SCRAM = click.option(
    "--scram/--no-scram",
    default=None,
    help="Keep a SCRAM verifier beside the hash, so that xfer:// needs not send the password; default: in TOML.",
)
_SETTINGS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("--home", {"help": "Directory of its files; default: the daemon's template."}),
    ("--rights", {"help": "read-only, read-write, drop, add, or names of rights."}),
    ("--path-rights", {"multiple": True, "metavar": "PATTERN=RIGHTS", "help": "Other rights below a path."}),
    ("--quota", {"metavar": "SIZE", "help": "Bytes in all, such as 10G."}),
    ("--quota-files", {"type": click.IntRange(0), "help": "Files in all."}),
    ("--rate-up", {"metavar": "SIZE", "help": "Bytes a second for uploads, such as 500K."}),
    ("--rate-down", {"metavar": "SIZE", "help": "Bytes a second for downloads."}),
    ("--max-sessions", {"type": click.IntRange(0), "help": "Sessions at once."}),
    ("--network", {"multiple": True, "help": "Where it may log in from, such as 10.0.0.0/8; repeatable."}),
    ("--expires", {"metavar": "DATE", "help": "Its last day, or a date and time: 2027-01-31T18:00."}),
    ("--hours", {"multiple": True, "help": 'When it may log in, such as "mon-fri 08:00-18:00"; repeatable.'}),
    ("--charset", {"help": "Codec of its file names on the wire, such as gbk."}),
    (
        "--if-exists",
        {"type": click.Choice(["overwrite", "refuse", "rename"]), "help": "Uploads to taken names."},
    ),
    (
        "--certificate",
        {
            "multiple": True,
            "metavar": "RULE",
            "help": "cn:NAME, san:NAME or sha256:HEX of its own; repeatable.",
        },
    ),
    (
        "--require",
        {
            "type": click.Choice(["password", "certificate", "certificate+password"]),
            "help": "What it takes to log in; default: either.",
        },
    ),
    ("--group", {"multiple": True, "help": "A group of the file that gives it defaults; repeatable."}),
    ("--comment", {"help": "For people."}),
    ("--require-tls/--no-require-tls", {"default": None, "help": "Neither logins nor content in clear."}),
    ("--enable/--disable", {"default": None, "help": "Whether it may log in at all."}),
)
#: Options that are called differently in the file.
_KEYS: Final = {
    "quota": "quota_bytes",
    "network": "networks",
    "group": "groups",
    "certificate": "certificates",
    "enable": "enabled",
}
#: Options that the file holds as lists.
_LISTS: Final = frozenset({"networks", "hours", "groups", "certificates"})


def _settings(function: F) -> F:
    """All options that set something."""
    for name, how in reversed(_SETTINGS):
        function = click.option(name, **how)(function)
    return function


@click.group("user")
def command() -> None:
    """Add, change, list and remove the accounts of a users file.

    Passwords are asked for, or come from XFER_PASSWORD or --password-file; never from arguments,
    which everybody on the machine can read. A daemon that uses the file takes changes at the next
    login; sessions go on as they began. The rest of the file stays as it is, comments included.
    A file with one line for each user holds homes and rights only; the other settings need TOML.
    """


command.add_command(cmd_recount.command)
command.add_command(cmd_user_token.command)


@command.command("add")
@click.argument("name")
@USERS
@_settings
@_PASSWORD_FILE
@_SCRAM
@JSON
def add(
    name: str,
    path: str,
    password_file: IO[bytes] | None,
    scram: bool | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Add the account NAME; the file is made when it is missing."""
    from twisted_xfer.accounts.users_change import add_user

    values = _values(options)
    if os.path.exists(path) and name in entries(path):
        fail(f"{path}: {name} is there already: use xfer user passwd or set", Exit.REFUSED)
    # Whoever comes by certificate alone has no password to be guessed.
    alone = values.get("require") == "certificate" and password_file is None
    secrets = {} if alone else _secrets(_ask(password_file), path, scram)
    values = {**secrets, **values}
    edit(path, lambda text: _keyed(add_user(text, path, name, values), path, secrets), create=True)
    _done("added", name, path, as_json, f"{name} added to {path}")


@command.command("passwd")
@click.argument("name")
@USERS
@_PASSWORD_FILE
@_SCRAM
@JSON
def passwd(name: str, path: str, password_file: IO[bytes] | None, scram: bool | None, as_json: bool) -> None:
    """Change the password of NAME."""
    from twisted_xfer.accounts.users_change import change_user, is_toml

    if name not in entries(path):
        fail(NotFound(name, "there is no such user"), Exit.REFUSED)
    secrets = _secrets(_ask(password_file), path, scram)

    def change(text: str) -> str:
        # A verifier of the password before would go on letting it in; lines hold none.
        gone = ("scram",) if "scram" not in secrets and is_toml(text, path) else ()
        return _keyed(change_user(text, path, name, secrets, gone), path, secrets)

    edit(path, change)
    _done("changed", name, path, as_json, f"password of {name} changed in {path}")


@command.command("set")
@click.argument("name")
@USERS
@_settings
@click.option("--unset", multiple=True, metavar="KEY", help="Take a setting out; repeatable.")
@JSON
def set_(name: str, path: str, unset: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Change settings of NAME; those not named stay."""
    from twisted_xfer.accounts.users_change import change_user

    values = _values(options)
    keys = tuple(_KEYS.get(key.replace("-", "_"), key.replace("-", "_")) for key in unset)
    if not values and not keys:
        fail("nothing to change: give an option, or --unset KEY", Exit.USAGE)
    edit(path, lambda text: change_user(text, path, name, values, keys))
    _done("changed", name, path, as_json, f"{name} changed in {path}")


@command.command("remove")
@click.argument("name")
@USERS
@JSON
def remove(name: str, path: str, as_json: bool) -> None:
    """Remove NAME from the file; its home stays."""
    from twisted_xfer.accounts.users_change import remove_user

    edit(path, lambda text: remove_user(text, path, name))
    _done("removed", name, path, as_json, f"{name} removed from {path}; its files stay")


@command.command("list")
@USERS
@JSON
def list_users(path: str, as_json: bool) -> None:
    """Print the names of the accounts, one a line; with --json their settings, groups applied."""
    users = entries(path)
    for name in sorted(users):
        result(json.dumps(_row(users[name])) if as_json else name)


@command.command("hash")
@_PASSWORD_FILE
def hash_(password_file: IO[bytes] | None) -> None:
    """Print the hash of a password, to be put into a users file by hand."""
    result(_hash(_ask(password_file)))


def _values(options: dict[str, Any]) -> dict[str, Any]:
    """What was given, by the file's own keys."""
    values: dict[str, Any] = {}
    for option, value in options.items():
        key = _KEYS.get(option, option)
        if value is None or value == ():
            continue
        if key == "path_rights":
            pairs = [text.rpartition("=") for text in value]
            if not all(pattern and rights for pattern, _, rights in pairs):
                fail("write --path-rights PATTERN=RIGHTS, such as '/pub/**=read'", Exit.USAGE)
            values[key] = {pattern: rights for pattern, _, rights in pairs}
        else:
            values[key] = list(value) if key in _LISTS else value
    return values


def _row(entry: Any) -> dict[str, Any]:
    """An account without its secret, and without what is as by default."""
    import attrs

    from twisted_xfer.interfaces import Account

    account = entry.account
    plain = Account(account.username)
    row: dict[str, Any] = {"name": account.username, "password": bool(entry.stored)}
    if entry.scram is not None:
        row["scram"] = True
    if entry.tokens:
        row["tokens"] = [token.name for token in entry.tokens]
    for field in attrs.fields(Account)[1:]:
        value = getattr(account, field.name)
        if value == getattr(plain, field.name):
            continue
        if field.name == "rights":
            value = sorted(value)
        elif field.name == "path_rights":
            value = {pattern: sorted(rights) for pattern, rights in value}
        elif field.name == "quota_scopes":
            value = [attrs.asdict(scope) for scope in value]
        row[field.name] = value
    return row


def _hash(password: bytes) -> str:
    from twisted_xfer.accounts.passwords import hash_password

    return hash_password(password)


def _secrets(password: bytes, path: str, scram: bool | None) -> dict[str, str]:
    """What is stored of a password: a hash, and a verifier unless it is unwanted or cannot be."""
    from twisted_xfer.accounts.users_change import is_toml
    from twisted_xfer.accounts.users_secrets import make_verifier

    values = {"password": _hash(password)}
    if scram is None:
        scram = path.endswith(".toml") or (os.path.exists(path) and is_toml(_text(path), path))
    if scram:
        verifier = make_verifier(password, os.urandom)
        if verifier is None:
            say("the password is not UTF-8, so that there can be no SCRAM verifier of it")
        else:
            values["scram"] = verifier
    return values


def _text(path: str) -> str:
    from twisted_xfer.accounts.users_edit import read_users

    try:
        return read_users(path)
    except XferError as error:
        fail(error)


def _keyed(text: str, path: str, secrets: dict[str, str]) -> str:
    """With the file's own key, if there is a verifier: salts of users who do not exist are made with it."""
    from twisted_xfer.accounts.users_secrets import with_key

    return with_key(text, path, os.urandom) if "scram" in secrets else text


def _ask(file: IO[bytes] | None) -> bytes:
    """The new password, from where it is safe."""
    if file is not None:
        password = file.readline(MAX_PASSWORD + 3).rstrip(b"\r\n")
    else:
        text = os.environ.get("XFER_PASSWORD", "") or click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
        password = str(text).encode("utf-8", "surrogateescape")
    if not password:
        fail("an empty password is none", Exit.USAGE)
    if len(password) > MAX_PASSWORD:
        fail(f"a password has at most {MAX_PASSWORD} bytes", Exit.USAGE)
    return password


def _done(what: str, name: str, path: str, as_json: bool, text: str) -> None:
    if as_json:
        result(json.dumps({"result": what, "name": name, "users": path}))
    else:
        say(text)
