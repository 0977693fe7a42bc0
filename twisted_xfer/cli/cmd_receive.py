"""``xfer receive``: wait for ``xfer send``, with a code that is good for one sender's guess."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Callable
from typing import Any, Final

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, say
from twisted_xfer.cli.progress import Progress

#: Addresses that mean every interface.
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


@click.command("receive")
@click.argument("directory", default=".", type=click.Path(exists=True, file_okay=False, writable=True))
@click.option("--host", default="", help="Address to listen at; default: every one.")
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
@click.option("--once", is_flag=True, help="End when one sender is done.")
@click.option("--overwrite", is_flag=True, help="Let senders replace files that are there.")
@click.option("--links", is_flag=True, help="Make symbolic links that stay within DIRECTORY.")
@click.option("--plain", is_flag=True, help="Without TLS: whoever is on the way can read the content.")
@click.option("--announce", is_flag=True, help="Tell the local network, for `xfer send PATH... @NAME`.")
@click.option("--name", default="", help="Name to announce; default: the machine's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    directory: str,
    host: str,
    port: int,
    once: bool,
    overwrite: bool,
    links: bool,
    plain: bool,
    announce: bool,
    name: str,
    as_json: bool,
) -> None:
    """Receive files into DIRECTORY (default: here) until Ctrl-C, and print how to send them.

    Whoever has the code may store new files there, and nothing else. One wrong guess voids it.
    """
    from twisted.internet import reactor as global_reactor

    from twisted_xfer.app.receiver import receive
    from twisted_xfer.cli.lan import Announcement, zeroconf_library
    from twisted_xfer.cli.trust import own_certificate
    from twisted_xfer.errors import XferError

    if announce or name:
        zeroconf_library()
    reactor: Any = global_reactor
    progress = Progress(as_json=as_json, directory=directory)
    try:
        receiver = receive(
            reactor,
            directory,
            host=host,
            port=port,
            # For scripts and tests; people get a fresh one.
            code=os.environ.get("XFER_CODE", ""),
            plain=plain,
            certificate="" if plain else own_certificate(),
            overwrite=overwrite,
            links=links,
            on_event=progress,
        )
    except XferError as error:
        fail(error)
    announced = None
    if announce or name:
        try:
            announced = Announcement(name, receiver.port, "" if host in _ANY else host)
        except BaseException:
            # It listens already, and its threads would outlive the command.
            reactor.callWhenRunning(lambda: receiver.stop().addBoth(lambda _: reactor.stop()))
            reactor.run(installSignalHandlers=False)
            raise
    shown = announced.name if announced is not None else ""

    def tell() -> None:
        _tell(receiver, host, os.path.abspath(directory), shown, progress if as_json else None)

    try:
        code = _wait(reactor, receiver, progress, tell, once=once)
    finally:
        if announced is not None:
            announced.close()
    progress.check()
    raise SystemExit(int(code))


def _wait(reactor: Any, receiver: Any, progress: Progress, tell: Callable[[], object], *, once: bool) -> Exit:
    """Say where we are, and turn the reactor until Ctrl-C, the first sender's end with ``once``, or a wrong code.

    Transfers under way may come to their end, but for a Ctrl-C after that.
    """
    from twisted.internet.defer import Deferred

    from twisted_xfer.app.signals import Signals
    from twisted_xfer.cli.calling import summary_code
    from twisted_xfer.errors import LoginFailed, ShuttingDown

    codes: list[Exit] = []
    stopping: list[bool] = []

    def end() -> None:
        if stopping:
            receiver.hurry()
        else:
            reactor.stop()

    async def senders() -> None:
        while True:
            try:
                summary = await receiver.received()
            except ShuttingDown:
                return
            except LoginFailed as error:
                progress.close()
                say(
                    f"xfer: a wrong code came from {error.subject!s}, and voids it: start again for a new one"
                )
                codes.append(Exit.AUTHENTICATION)
                break
            progress.summary(summary)
            codes.append(summary_code(summary))
            if once:
                break
        end()

    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    reactor.addSystemEventTrigger("before", "shutdown", receiver.stop)
    ends: dict[str, Callable[[], object]] = {"SIGINT": end, "SIGTERM": end}
    reactor.callWhenRunning(Signals(reactor.callFromThread, ends).install)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(senders()))
    # Only now, when Ctrl-C does what is said of it.
    reactor.callWhenRunning(tell)
    reactor.run()
    progress.close()
    if not codes:
        return Exit.INTERRUPTED
    return codes[-1] if once or codes[-1] is Exit.AUTHENTICATION else max(codes)


def _tell(receiver: Any, host: str, directory: str, name: str, lines: Progress | None) -> None:
    """Where it waits, and what to type at the other end; in ``lines`` for scripts as well."""
    address = _own_address() if host in _ANY else host
    shown = f"[{address}]" if ":" in address else address
    url = f"xfer://{shown}:{receiver.port}"
    if lines is not None:
        line = {"event": "listening", "url": url, "code": receiver.code, "directory": directory}
        line.update({"name": name} if name else {})
        lines.result(json.dumps(line))
    say(f"Waiting for files, to be stored in {directory}. At the other end:")
    flags = f"--code {receiver.code}{' --plain' if receiver.plain else ''}"
    if name:
        say(f"  xfer send PATH... {shlex.quote(f'@{name}')} {flags}")
        say("or, from another network:")
    say(f"  xfer send PATH... {url} {flags}")
    say("Ctrl-C ends it.")


def _own_address() -> str:
    """The address that others probably reach us by: nothing is sent to find it."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"
