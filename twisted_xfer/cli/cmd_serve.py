"""``xfer serve``: a daemon in the foreground, with an account made up for the occasion."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import string
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say

#: 71 bits: more than anybody guesses through a back-off, and still to be typed.
PASSWORD_LENGTH: Final = 12
DEFAULT_PORT: Final = 2121
_ALPHABET: Final = string.ascii_letters + string.digits
_HELLO: Final = "It works: this file came from twisted-xfer.\n"


@click.command("serve")
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--demo", is_flag=True, help="Account demo; without DIR, a fresh directory that goes at the end."
)
@click.option("--user", default="", help="Name of the account; default: xfer.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any."
)
@click.option("--tls-certificate", default="", help="PEM file; default: one made up, signed by itself.")
@click.option("--tls-key", default="", help="PEM file of its key.")
@click.option("--verbose", is_flag=True, help="Diagnostics on standard error.")
def command(
    directory: str | None,
    demo: bool,
    user: str,
    host: str,
    port: int,
    tls_certificate: str,
    tls_key: str,
    verbose: bool,
) -> None:
    """Serve DIR (default: the working directory) over FTP until Ctrl-C.

    Makes up one account that may do everything in DIR, and prints a curl line for it. Its password
    is random, or XFER_PASSWORD (with --demo: XFER_DEMO_PASSWORD). For a service that stays, use
    twistd xfer.
    """
    name = user or ("demo" if demo else "xfer")
    password = os.environ.get("XFER_DEMO_PASSWORD" if demo else "XFER_PASSWORD") or _password()
    with _directory(directory, demo) as root, _certificate(tls_certificate, tls_key, host) as pair:
        raise SystemExit(int(_serve(root, name, password, host, port, pair, verbose)))


def _password() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


@contextmanager
def _directory(given: str | None, demo: bool) -> Iterator[str]:
    """What to serve; a demonstration's own directory is removed afterwards."""
    if given is not None or not demo:
        yield os.path.abspath(given or ".")
        return
    made = tempfile.mkdtemp(prefix="xfer-demo-")
    try:
        with open(os.path.join(made, "hello.txt"), "w", encoding="utf-8") as hello:
            hello.write(_HELLO)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _certificate(certificate: str, key: str, host: str) -> Iterator[tuple[str, str]]:
    """Certificate and key to serve with; those made up here go at the end."""
    if certificate or key:
        yield certificate, key
        return
    from twisted_xfer.app.tls import make_demo_certificate

    with tempfile.TemporaryDirectory(prefix="xfer-tls-") as made:
        yield make_demo_certificate(made, host)


def _serve(
    root: str, user: str, password: str, host: str, port: int, pair: tuple[str, str], verbose: bool
) -> Exit:
    from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

    from twisted_xfer.app import load, logs
    from twisted_xfer.app.build import build
    from twisted_xfer.app.config import Log
    from twisted_xfer.app.reactor import chosen_reactor
    from twisted_xfer.app.signals import Signals
    from twisted_xfer.errors import XferError

    reactor = chosen_reactor()
    checker = InMemoryUsernamePasswordDatabaseDontUse(**{user: password.encode()})
    checker.users = {user.encode(): password.encode()}
    kind = "tcp6" if ":" in host else "tcp"
    place = f"ftp={kind}:{port}:interface={host.replace(':', chr(92) + ':')}"
    flags: dict[str, object] = {"root": root, "home": "{root}", "listen": [place]}
    flags |= {"tls-certificate": pair[0], "tls-key": pair[1]}
    detached = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as nohup leaves it
    try:
        daemon = build(load.load("", flags), reactor, checkers=[checker])
        logs.begin(Log(), verbose=verbose)
        daemon.privilegedStartService()
        daemon.startService()
    except XferError as error:
        fail(error)
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    interrupted: list[bool] = []

    def interrupt() -> None:
        interrupted.append(True)
        if len(interrupted) > 1:
            daemon.hurry()
        else:
            reactor.stop()

    ends: dict[str, Callable[[], object]] = {"SIGINT": interrupt}
    if not detached:
        ends["SIGHUP"] = reactor.stop  # a closed terminal has no Ctrl-C left
    # After the reactor and the daemon took the signals for themselves, which is when they run.
    reactor.callWhenRunning(Signals(reactor.callFromThread, ends).install)
    reactor.callWhenRunning(_announce, daemon, root, user, password, pair[0])
    reactor.run()
    return Exit.INTERRUPTED if interrupted else Exit.VERIFIED


def _announce(daemon: Any, root: str, user: str, password: str, certificate: str) -> None:
    from twisted_xfer.app.listen import where

    for place in daemon.places:
        say(f"Serving {root} by {place.listen.protocol} at {where(place.port)}")
    say(f"Account {user}, password {password}")
    ftp = next((where(place.port) for place in daemon.places if place.listen.protocol == "ftp"), None)
    if ftp is None:
        return
    if ftp.startswith("0.0.0.0:"):
        ftp = ftp.replace("0.0.0.0", "127.0.0.1", 1)  # noqa: S104 - shown, not bound
    url = f"ftp://{quote(user, safe='')}:{quote(password, safe='')}@{ftp}/"
    say("Try it (Ctrl-C here ends it):")
    hello = os.path.exists(os.path.join(root, "hello.txt"))
    result(f"  curl {shlex.quote(url + 'hello.txt' if hello else url)}")
    say(f"  curl -T FILE {shlex.quote(url)}")
    say(f"  curl --ssl-reqd --cacert {shlex.quote(certificate)} {shlex.quote(url)}")
