"""``xfer send``: files and trees to a waiting ``xfer receive`` or to a daemon."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
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
    tree_options,
)
from twisted_xfer.cli.progress import Progress
from twisted_xfer.cli.url import parse_target


@click.command("send")
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@click.argument("url")
@login_options
@if_exists_option
@choice_options
@tree_options
@retry_option
@limit_rate_option
@click.option(
    "-j",
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Connections to spread files over.",
)
@click.option("--name", help="Name for standard input (PATH -); default: stdin.")
@tutorial.options
def command(
    paths: tuple[str, ...],
    url: str,
    user: str,
    password_file: IO[bytes] | None,
    code: str,
    plain: bool,
    ca: IO[str] | None,
    accept_new: bool,
    as_json: bool,
    if_exists: str,
    retry: int,
    name: str | None,
    limit_rate: int | None,
    jobs: int,
) -> None:
    """Send each PATH (a file, a tree, or - for standard input) to URL: xfer://[USER@]HOST[:PORT][/DIR/].

    @NAME is a receiver in the local network, which `xfer receivers` lists. What was sent is verified at the
    other end. The same command again goes on where it was. Plain files also go to push://HOST[:PORT] and
    jsonftp://USER@HOST[:PORT][/DIR], in the clear (pushs:, jsonftps: TLS).
    """
    check_arguments(paths, url)
    if name is not None and paths != ("-",):
        raise click.UsageError("--name is for standard input (PATH -): files keep theirs")
    name = "stdin" if name is None else name
    asked = Asked(user, password_file, code, plain, ca, accept_new)
    place = tutorial.parse(url, "push", "jsonftp")
    if place is not None:
        from twisted_xfer.cli import tutorial_files

        check_names(paths, if_exists)
        tutorial_files.send(place, paths, asked, retries=retry, as_json=as_json, rate=limit_rate)
        return
    with lean.twisted(tls=not plain):
        from twisted_xfer.cli.calling import call, summary_code
        from twisted_xfer.cli.rate_limit import RateLimit
        from twisted_xfer.protocols.xfer import client
        from twisted_xfer.protocols.xfer.wire.paths import is_sendable
    check_names(paths, if_exists)
    if url.startswith("@"):
        from twisted_xfer.cli import lan

        target = lan.find(url)
    else:
        target = parse_target(url)
    choices = Choices.made()
    work = choices.work(client.Work(if_exists=if_exists, retries=retry, connections=jobs))
    if "-" in paths and work.dry_run:
        raise click.UsageError("a dry run has no use for standard input")
    progress = Progress(as_json=as_json, dry_run=work.dry_run)
    if "-" in paths and asked.reads_stdin:
        # What is read of it for a line is more than the line.
        raise click.UsageError("standard input is what is sent: the password or key must come from elsewhere")
    if "-" in paths and not is_sendable(os.fsencode(name)):
        raise click.UsageError(f"--name {name}: no name that can be sent")

    def begin(reactor: Any, login: Any) -> Any:
        limiter = RateLimit(limit_rate, reactor.seconds) if limit_rate else None
        limited = attrs.evolve(work, limiter=limiter)
        login = choices.login(login)
        if progress.has_bar and paths != ("-",):
            measure(reactor, [os.fsencode(path) for path in paths], work, progress.expect)
        if paths == ("-",):
            return client.send_stream(reactor, 0, os.fsencode(name), target, login, limited, progress)
        return client.send(reactor, [os.fsencode(path) for path in paths], target, login, limited, progress)

    try:
        summary = call(asked, target, begin, progress.interrupted, resumable=paths != ("-",))
    finally:
        progress.close()
    progress.summary(summary)
    progress.check()
    raise SystemExit(int(summary_code(summary)))


def measure(reactor: Any, paths: list[bytes], work: Any, tell: Callable[[int], object]) -> None:
    """Tell the size of it all once it is known: a big tree takes a while to walk through, and nobody waits for that."""
    from twisted_xfer.protocols.xfer import client

    def walk() -> None:
        reactor.callFromThread(tell, client.size_of(paths, work))

    threading.Thread(target=walk, daemon=True).start()


def check_arguments(paths: tuple[str, ...], url: str) -> None:
    """What is forgotten most: the place, or the first letter of a path. Raises click.UsageError."""
    if not paths:
        raise click.UsageError(f"{url}: what, and where to? xfer send PATH... URL")
    if "://" not in url and not url.startswith("@") and os.path.exists(url):
        raise click.UsageError(
            f"where to? The last argument is the place, and {url} is a file or directory here; a host of this name is "
            f"xfer://{url}"
        )
    if "-" in paths and len(paths) > 1:
        raise click.UsageError("standard input is sent alone")
    if "-" in paths and sys.stdin is None:
        # Whatever has its number by now is not what is meant.
        raise click.UsageError("standard input is closed")
    if paths != ("-",) and not any(os.path.lexists(path) for path in paths):
        raise click.UsageError(f"{paths[0]}: no such file or directory")


def check_names(paths: tuple[str, ...], if_exists: str) -> None:
    """Of two paths with one name the second would silently take the place of the first. Raises click.UsageError."""
    from twisted_xfer.protocols.xfer.disk_tree import name_of
    from twisted_xfer.protocols.xfer.wire.paths import printable

    if if_exists == "rename":
        return
    met: dict[bytes, str] = {}
    for path in paths:
        name = name_of(os.fsencode(path))
        if name and met.setdefault(name, path) != path:
            raise click.UsageError(
                f"{met[name]} and {path} would both be {printable(name)} there: send them one after the other, or with "
                "--if-exists rename"
            )
