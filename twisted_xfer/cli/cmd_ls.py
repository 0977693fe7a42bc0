"""``xfer ls``: what is there."""

from __future__ import annotations

import datetime as dt
import json
from typing import IO

import click

from twisted_xfer.cli import lean, tutorial
from twisted_xfer.cli.asked import Asked, login_options
from twisted_xfer.cli.output import result
from twisted_xfer.cli.url import parse_target

_MARKS = {"dir": "/", "symlink": "@"}


@click.command("ls")
@click.argument("url")
@login_options
@tutorial.options
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
    """List the directory at URL: size, time and name."""
    asked = Asked(user, password_file, code, plain, ca, accept_new)
    place = tutorial.parse(url, "jsonftp")
    if place is not None:
        from twisted_xfer.cli import tutorial_files

        tutorial_files.ls(place, asked, as_json=as_json)
        return
    with lean.twisted(tls=not plain):
        from twisted_xfer.cli.calling import call
        from twisted_xfer.protocols.xfer import client
        from twisted_xfer.protocols.xfer.wire.paths import printable
    target = parse_target(url)
    entries = call(asked, target, lambda reactor, login: client.ls(reactor, target, login))
    for entry in sorted(entries, key=lambda one: one.path):
        seconds = (entry.mtime_ns or 0) / 1e9
        time = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        if as_json:
            name = entry.path.decode("utf-8", "surrogateescape")
            result(json.dumps({"name": name, "type": entry.type, "size": entry.size, "modified": time}))
            continue
        size = "-" if entry.size is None else str(entry.size)
        result(f"{size:>14}  {time}  {printable(entry.path)}{_MARKS.get(entry.type, '')}")
