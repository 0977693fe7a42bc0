"""``xfer get``: a file or a tree from a daemon."""

from __future__ import annotations

import os
from typing import IO, Any

import attrs
import click

from twisted_xfer.cli import lean, tutorial
from twisted_xfer.cli.asked import Asked, login_options
from twisted_xfer.cli.choices import (
    Choices,
    choice_options,
    if_exists_option,
    limit_rate_option,
    retry_option,
)
from twisted_xfer.cli.progress import Progress
from twisted_xfer.cli.url import parse_target


@click.command("get")
@click.argument("url")
@click.argument("destination", default=".", type=click.Path(exists=True, file_okay=False))
@login_options
@if_exists_option
@choice_options
@retry_option
@limit_rate_option
@tutorial.options
def command(
    url: str,
    destination: str,
    user: str,
    password_file: IO[bytes] | None,
    code: str,
    plain: bool,
    ca: IO[str] | None,
    accept_new: bool,
    as_json: bool,
    if_exists: str,
    retry: int,
    limit_rate: int | None,
) -> None:
    """Fetch the file or tree at URL into the directory DESTINATION (default: here), verified.

    The same command again goes on where it was. Single files also come from fetch://HOST[:PORT]/NAME and
    jsonftp://USER@HOST[:PORT]/NAME, in the clear (fetchs:, jsonftps: TLS), and replace what is there
    unless --if-exists refuse or rename is given; jsonftp goes on where it was, too.
    """
    asked = Asked(user, password_file, code, plain, ca, accept_new)
    place = tutorial.parse(url, "fetch", "jsonftp")
    if place is not None:
        from twisted_xfer.cli import tutorial_files

        tutorial_files.get(
            place, destination, asked, retries=retry, as_json=as_json, if_exists=if_exists, rate=limit_rate
        )
        return
    with lean.twisted(tls=not plain):
        from twisted_xfer.cli.calling import call, summary_code
        from twisted_xfer.cli.rate_limit import RateLimit
        from twisted_xfer.cli.words import error_text
        from twisted_xfer.errors import XferError
        from twisted_xfer.paths import VirtualPath
        from twisted_xfer.protocols.xfer import client
        from twisted_xfer.storage.local import LocalStorage
    target = parse_target(url)
    choices = Choices.made()
    work = choices.work(client.Work(if_exists=if_exists, retries=retry))
    progress = Progress(as_json=as_json, dry_run=work.dry_run, directory=destination)
    try:
        storage = LocalStorage(os.path.abspath(destination))
    except XferError as error:
        raise click.UsageError(f"{destination}: {error_text(error)}") from None

    def begin(reactor: Any, login: Any) -> Any:
        limiter = RateLimit(limit_rate, reactor.seconds) if limit_rate else None
        limited = attrs.evolve(work, limiter=limiter)
        login = choices.login(login)
        return client.get(reactor, target, login, storage, VirtualPath(), limited, progress)

    try:
        summary = call(asked, target, begin, progress.interrupted)
    finally:
        progress.close()
        storage.close()
    progress.summary(summary)
    progress.check()
    raise SystemExit(int(summary_code(summary)))
