"""``xfer user token``: secrets that stand for an account, with less rights and for a while."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say
from twisted_xfer.cli.users_options import JSON, USERS, edit, entries


@click.group("token")
def command() -> None:
    """Make, list and remove tokens: for scripts and devices that should not have the password.

    A token is shown once, when it is made; the file keeps a hash of it. It logs in over `xfer://` with
    --token-file or XFER_TOKEN, in TLS only, and never may more than its account.
    """


@command.command("add")
@click.argument("name")
@click.argument("token")
@USERS
@click.option("--path", "place", metavar="DIR", help="The directory, from the home, that it is good for.")
@click.option("--rights", help="The most that it gives: add, drop, read-only, or names of rights.")
@click.option("--bytes", "size", metavar="SIZE", help="Bytes that may be below its directory, such as 5G.")
@click.option("--expires", metavar="DATE", help="Its last day, or a date and time.")
@click.option("--once", is_flag=True, help="For one login.")
@JSON
def add(
    name: str,
    token: str,
    path: str,
    place: str | None,
    rights: str | None,
    size: str | None,
    expires: str | None,
    once: bool,
    as_json: bool,
) -> None:
    """Make the token TOKEN (a name for it) of the account NAME, and print it."""
    from twisted_xfer.accounts.users_secrets import add_token

    given = {"path": place, "rights": rights, "bytes": size, "expires": expires, "once": once or None}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    made: list[str] = []

    def change(text: str) -> str:
        text, secret = add_token(text, path, name, token, values, os.urandom)
        made[:] = [secret]
        return text

    edit(path, change)
    if as_json:
        result(
            json.dumps({"result": "added", "name": name, "token": token, "secret": made[0], "users": path})
        )
        return
    say(f"token {token} of {name} added to {path}; it is shown this once:")
    result(made[0])


@command.command("list")
@click.argument("name", required=False)
@USERS
@JSON
def list_tokens(name: str | None, path: str, as_json: bool) -> None:
    """Print the tokens of NAME, or of everybody, one a line: never the secrets."""
    users = entries(path)
    if name is not None and name not in users:
        fail(f"{path}: there is no {name}", Exit.REFUSED)
    for user in sorted(users if name is None else [name]):
        for token in users[user].tokens:
            if as_json:
                result(json.dumps({"name": user, "token": token.name, **_row(token)}))
            else:
                result(f"{user} {token.name}")


@command.command("remove")
@click.argument("name")
@click.argument("token")
@USERS
@JSON
def remove(name: str, token: str, path: str, as_json: bool) -> None:
    """Remove the token TOKEN of NAME: nobody logs in with it any more."""
    from twisted_xfer.accounts.users_secrets import remove_token

    edit(path, lambda text: remove_token(text, path, name, token))
    if as_json:
        result(json.dumps({"result": "removed", "name": name, "token": token, "users": path}))
    else:
        say(f"token {token} of {name} removed from {path}")


def _row(token: Any) -> dict[str, Any]:
    """What is not as by default."""
    row: dict[str, Any] = {"path": token.path}
    if token.rights is not None:
        row["rights"] = sorted(token.rights)
    if token.size is not None:
        row["bytes"] = token.size
    if token.expires is not None:
        row["expires"] = token.expires
    return {**row, "once": True} if token.once else row
