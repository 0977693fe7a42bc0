"""``xfer receive``: wait for ``xfer send``, with a code that is good for one sender's guess."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any, Final

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, say
from twisted_xfer.cli.progress import Progress

_ACCOUNT: Final = "xfer"
#: Addresses that mean every interface.
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


@click.command("receive")
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, writable=True))
@click.option("--host", default="", help="Address to listen at; default: every one.")
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
@click.option("--once", is_flag=True, help="End when one sender is done.")
@click.option("--plain", is_flag=True, help="Without TLS: whoever is on the way can read the content.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(directory: str, host: str, port: int, once: bool, plain: bool, as_json: bool) -> None:
    """Receive files into DIRECTORY (default: here) until Ctrl-C, and print how to send them.

    Whoever has the code may store files there, and nothing else. One wrong guess voids it.
    """
    from twisted_xfer.cli.trust import own_certificate
    from twisted_xfer.protocols.xfer.pairing import make_code

    flags: dict[str, object] = {"root": os.path.abspath(directory), "home": "{root}"}
    kind = "tcp6" if ":" in host else "tcp"
    place = f"xfer={kind}:{port}"
    if host:
        place += f":interface={host.replace(':', chr(92) + ':')}"
    flags["listen"] = [place]
    if not plain:
        flags["tls-certificate"] = flags["tls-key"] = own_certificate()
    # For scripts and tests; people get a fresh one.
    code = os.environ.get("XFER_CODE") or make_code(secrets.token_bytes)
    raise SystemExit(int(_receive(flags, host, code, once=once, plain=plain, as_json=as_json)))


def _receive(
    flags: dict[str, object], host: str, code: str, *, once: bool, plain: bool, as_json: bool
) -> Exit:
    import attrs
    from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
    from twisted.internet import reactor as global_reactor

    from twisted_xfer.app import load, rules
    from twisted_xfer.app.build import build
    from twisted_xfer.app.signals import Signals
    from twisted_xfer.errors import XferError

    reactor: Any = global_reactor
    password = secrets.token_urlsafe(24)
    checker = InMemoryUsernamePasswordDatabaseDontUse(**{_ACCOUNT: password.encode()})
    checker.users = {_ACCOUNT.encode(): password.encode()}
    options = {
        "plain": "always" if plain else "never",
        "code": code,
        "code_username": _ACCOUNT,
        "code_password": password,
    }
    progress = Progress(as_json=as_json)
    received: list[bool] = []
    try:
        config = attrs.evolve(load.load("", flags), protocols=rules.freeze({"xfer": options}))
        daemon = build(config, reactor, checkers=[checker])
        daemon.privilegedStartService()
        daemon.startService()
    except XferError as error:
        fail(error)
    place: Any = daemon.places[0]
    factory = place.factory.inner
    factory.on_event = progress

    def one_received() -> None:
        received.append(True)
        if once:
            reactor.stop()

    factory.on_received = one_received
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    _announce(place.port.getHost().port, host, code, plain=plain, directory=str(flags["root"]))
    reactor.callWhenRunning(Signals(reactor.callFromThread, {"SIGINT": reactor.stop}).install)
    reactor.run()
    progress.close()
    return Exit.VERIFIED if received else Exit.INTERRUPTED


def _announce(port: int, host: str, code: str, *, plain: bool, directory: str) -> None:
    address = _own_address() if host in _ANY else host
    shown = f"[{address}]" if ":" in address else address
    say(f"Waiting for files, to be stored in {directory}. At the other end:")
    say(f"  xfer send PATH... xfer://{shown}:{port} --code {code}{' --plain' if plain else ''}")
    say("Ctrl-C ends it.")


def _own_address() -> str:
    """The address that others probably reach us by: nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
