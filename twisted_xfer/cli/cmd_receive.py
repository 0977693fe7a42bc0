"""``xfer receive``: wait for ``xfer send``, with a code that is good for one sender's guess."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any, Final

import click
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, say
from twisted_xfer.cli.progress import Progress
from twisted_xfer.interfaces import Account, Right

_ACCOUNT: Final = "xfer"
#: Addresses that mean every interface.
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


@implementer(ICredentialsChecker)
class _OneAccount:
    """The account behind the code: it stores new files, and replaces others only where that is allowed."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, password: str, *, overwrite: bool) -> None:
        rights = {Right.WRITE, Right.APPEND, Right.MKDIR, Right.LIST, Right.CHMOD, Right.UTIME}
        if overwrite:
            rights.add(Right.OVERWRITE)
        self._account = Account(_ACCOUNT, rights=frozenset(rights))
        self._password = password.encode()

    def requestAvatarId(self, credentials: Any) -> Any:
        """The account. Raises UnauthorizedLogin."""
        if credentials.username != _ACCOUNT.encode() or not credentials.checkPassword(self._password):
            raise UnauthorizedLogin
        return self._account


@click.command("receive")
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, writable=True))
@click.option("--host", default="", help="Address to listen at; default: every one.")
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
@click.option("--once", is_flag=True, help="End when one sender is done.")
@click.option("--overwrite", is_flag=True, help="Let senders replace files that are there.")
@click.option("--plain", is_flag=True, help="Without TLS: whoever is on the way can read the content.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    directory: str, host: str, port: int, once: bool, overwrite: bool, plain: bool, as_json: bool
) -> None:
    """Receive files into DIRECTORY (default: here) until Ctrl-C, and print how to send them.

    Whoever has the code may store new files there, and nothing else. One wrong guess voids it.
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
    raise SystemExit(
        int(_receive(flags, host, code, once=once, overwrite=overwrite, plain=plain, as_json=as_json))
    )


def _receive(
    flags: dict[str, object],
    host: str,
    code: str,
    *,
    once: bool,
    overwrite: bool,
    plain: bool,
    as_json: bool,
) -> Exit:
    import attrs
    from twisted.internet import reactor as global_reactor

    from twisted_xfer.app import load, rules
    from twisted_xfer.app.build import build
    from twisted_xfer.app.signals import Signals
    from twisted_xfer.errors import XferError

    reactor: Any = global_reactor
    password = secrets.token_urlsafe(24)
    checker = _OneAccount(password, overwrite=overwrite)
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
