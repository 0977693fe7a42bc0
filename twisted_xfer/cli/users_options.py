"""What the commands over a users file have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail
from twisted_xfer.errors import AlreadyExists, ConfigError, NotFound, Unsupported, XferError

USERS: Final = click.option(
    "--users",
    "path",
    required=True,
    type=click.Path(dir_okay=False),
    help="The users file, as in --auth users:FILE.",
)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


def entries(path: str) -> dict[str, Any]:
    """The users in the file at ``path``; ends the process when it cannot be read."""
    from twisted_xfer.accounts.users_edit import read_users
    from twisted_xfer.accounts.users_text import parse_users

    try:
        return parse_users(read_users(path), path)
    except XferError as error:
        fail(error, _code(error))


def edit(path: str, change: Callable[[str], str], *, create: bool = False) -> None:
    """Change the file at ``path``; ends the process when that cannot be."""
    from twisted_xfer.accounts.users_edit import edit_users

    try:
        edit_users(path, change, create=create)
    except XferError as error:
        fail(error, _code(error))


def _code(error: XferError) -> Exit | None:
    from twisted_xfer.accounts.users_edit import NO_DIRECTORY, NO_FILE

    if isinstance(error, NotFound):
        return Exit.STORAGE if error.detail in {NO_FILE, NO_DIRECTORY} else Exit.REFUSED
    if isinstance(error, AlreadyExists):
        return Exit.REFUSED
    if isinstance(error, Unsupported | ConfigError):
        return Exit.USAGE
    return None
