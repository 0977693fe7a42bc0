"""``xfer user``: accounts of a users file with one line each."""

from __future__ import annotations

import os
import tempfile
from typing import IO

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say

_USERS = click.option(
    "--users",
    "path",
    required=True,
    type=click.Path(dir_okay=False),
    help="The users file, as in --auth users:FILE.",
)
_PASSWORD_FILE = click.option(
    "--password-file", type=click.File("rb"), help="Its first line is the password; - is standard input."
)


@click.group("user")
def command() -> None:
    """Add accounts to a users file, and change their passwords.

    Passwords are asked for, or come from XFER_PASSWORD or --password-file; never from arguments,
    which everybody on the machine can read.
    """


@command.command("add")
@click.argument("name")
@_USERS
@click.option("--home", default="", help="Directory of its files; default: the daemon's template.")
@click.option("--rights", default="", help="read-only, read-write, drop, add, or names of rights.")
@_PASSWORD_FILE
def add(name: str, path: str, home: str, rights: str, password_file: IO[bytes] | None) -> None:
    """Add the account NAME; the file is made when it is missing."""
    text = _read(path, missing="")
    if name in _users(text, path):
        fail(f"{path}: {name} is there already: use xfer user passwd", Exit.REFUSED)
    fields = [name, _hash(_ask(password_file)), home, rights]
    while not fields[-1]:
        fields.pop()
    if any(":" in field for field in fields[:3] if field != fields[1]) or any(
        "\n" in field for field in fields
    ):
        fail("names and homes hold no colon and no line end", Exit.USAGE)
    line = ":".join(fields)
    _write(path, text + ("" if text.endswith("\n") or not text else "\n") + line + "\n")
    say(f"{name} added to {path}")


@command.command("passwd")
@click.argument("name")
@_USERS
@_PASSWORD_FILE
def passwd(name: str, path: str, password_file: IO[bytes] | None) -> None:
    """Change the password of NAME."""
    text = _read(path)
    if name not in _users(text, path):
        fail(f"{path}: there is no {name}: use xfer user add", Exit.REFUSED)
    stored = _hash(_ask(password_file))
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        fields = line.split(":", 2)
        if fields[0].strip() == name and len(fields) > 1:
            end = "\n" if len(fields) == 2 else ""
            lines[index] = ":".join([fields[0], stored, *fields[2:]]) + end
    _write(path, "".join(lines))
    say(f"password of {name} changed in {path}")


@command.command("list")
@_USERS
def list_users(path: str) -> None:
    """Print the names of the accounts, one a line."""
    for name in sorted(_users(_read(path), path)):
        result(name)


@command.command("hash")
@_PASSWORD_FILE
def hash_(password_file: IO[bytes] | None) -> None:
    """Print the hash of a password, to be put into a users file by hand."""
    result(_hash(_ask(password_file)))


def _hash(password: str) -> str:
    from twisted_xfer.accounts.passwords import hash_password

    return hash_password(password)


def _ask(file: IO[bytes] | None) -> str:
    """The new password, from where it is safe."""
    if file is not None:
        password = file.readline().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    else:
        password = os.environ.get("XFER_PASSWORD", "") or click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    if not password:
        fail("an empty password is none", Exit.USAGE)
    return str(password)


def _users(text: str, path: str) -> list[str]:
    """The names in ``text``."""
    from twisted_xfer.accounts.users_text import parse_users
    from twisted_xfer.errors import ConfigError

    try:
        return list(parse_users(text, path))
    except ConfigError as error:
        fail(error)


def _read(path: str, missing: str | None = None) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        if missing is None:
            fail(error)
        return missing
    except OSError as error:
        fail(error)
    first = next(
        (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")), ""
    )
    if path.endswith(".toml") or first.startswith("["):
        fail(f"{path}: TOML is edited by hand: put the line of `xfer user hash` into password", Exit.USAGE)
    return text


def _write(path: str, text: str) -> None:
    """Replace the file in one step, so that a daemon that rereads it never sees half of it."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(prefix=".users-", dir=directory)
        try:
            with open(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            if os.path.exists(path):
                os.chmod(temporary, os.stat(path).st_mode & 0o777)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        fail(error)
