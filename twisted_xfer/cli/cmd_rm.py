"""``xfer rm``: remove one thing."""

from __future__ import annotations

import json
from typing import IO

import click

from twisted_xfer.cli import lean
from twisted_xfer.cli.asked import Asked, login_options
from twisted_xfer.cli.output import result
from twisted_xfer.cli.url import parse_target


@click.command("rm")
@click.argument("url")
@login_options
def command(
    url: str,
    user: str,
    password_file: IO[bytes] | None,
    code: str,
    plain: bool,
    ca: IO[str] | None,
    accept_new: bool,
    as_json: bool,
) -> None:
    """Remove the file or empty directory at URL."""
    with lean.twisted(tls=not plain):
        from twisted_xfer.cli.calling import call
        from twisted_xfer.protocols.xfer import client
    target = parse_target(url)
    if not target.path:
        raise click.UsageError("the root itself stays")
    asked = Asked(user, password_file, code, plain, ca, accept_new)
    call(asked, target, lambda reactor, login: client.rm(reactor, target, login))
    if as_json:
        path = target.path.decode("utf-8", "surrogateescape")
        result(json.dumps({"event": "removed", "path": path}))
