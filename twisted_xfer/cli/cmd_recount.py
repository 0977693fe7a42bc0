"""``xfer user recount``: what the quota ledger holds, counted anew."""

from __future__ import annotations

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say


@click.command("recount")
@click.argument("config", type=click.Path(dir_okay=False))
@click.argument("names", nargs=-1)
def command(config: str, names: tuple[str, ...]) -> None:
    """Count the files of accounts with a quota (all, or NAMES), for the daemon of the TOML file CONFIG.

    The daemon may be running: an account that is just uploading is left for later, and the
    command then ends with 3. Prints one line for each account, directory and group.
    """
    from twisted.internet import reactor

    from twisted_xfer.app.build import build
    from twisted_xfer.app.load import load
    from twisted_xfer.app.recount import recount
    from twisted_xfer.errors import XferError
    from twisted_xfer.interfaces import Usage

    def text(usage: Usage) -> str:
        return f"{usage.bytes} bytes, {usage.files} file{'' if usage.files == 1 else 's'}"

    skipped = 0
    try:
        daemon = build(load(config), reactor)
        try:
            if daemon.ledger is None:
                fail("no quota ledger is installed", Exit.USAGE)
            for name, before, after in recount(
                daemon.config, daemon.root, daemon.checkers, daemon.ledger, names
            ):
                if after is None:
                    skipped += 1
                    say(f"xfer: {name}: uploads are under way; it stays at {text(before)}")
                    continue
                changed = "" if after[:2] == before[:2] else f" (was {text(before)})"
                result(f"{name}: {text(after)}{changed}")
        finally:
            daemon.close()
    except (XferError, OSError) as error:
        fail(error)
    raise SystemExit(Exit.SOME_FAILED if skipped else Exit.VERIFIED)
