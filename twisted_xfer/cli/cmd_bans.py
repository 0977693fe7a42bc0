"""``xfer bans``: who is kept out, from the file that the daemon shares."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say
from twisted_xfer.errors import XferError

if TYPE_CHECKING:
    from twisted_xfer.runtime.bans_store import BanStore

_FILE = click.option("--file", "path", type=click.Path(dir_okay=False), help="The file of bans.file.")
_CONFIG = click.option(
    "--config", type=click.Path(dir_okay=False), help="The daemon's TOML file, which names it."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group("bans")
def command() -> None:
    """Show who a daemon keeps out, and let in again.

    Works on the file that bans.file names in the daemon's configuration, whether the daemon runs
    or not; one that runs takes a change within a second of the next connection.
    """


@command.command("list")
@_FILE
@_CONFIG
@_JSON
def list_(path: str | None, config: str | None, as_json: bool) -> None:
    """Print each ban: address or IPv6 network, seconds left, since when, and why."""
    now = time.time()
    store = _store(path, config)
    try:
        rows = store.rows(now)
    except XferError as error:
        fail(error, Exit.STORAGE)
    finally:
        store.close()
    for row in rows:
        since = datetime.fromtimestamp(row.added, UTC).isoformat(timespec="seconds")
        left = round(row.until - now)
        if as_json:
            result(json.dumps({"address": row.address, "left": left, "since": since, "reason": row.reason}))
        else:
            result(f"{row.address}  {left} s left  since {since}  {row.reason}")


@command.command("lift")
@click.argument("address", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Whoever is kept out.")
@_FILE
@_CONFIG
@_JSON
def lift(
    address: tuple[str, ...], everybody: bool, path: str | None, config: str | None, as_json: bool
) -> None:
    """Let ADDRESS in again; an IPv6 address stands for its /64 network.

    Ends with 6 when one of them is not kept out.
    """
    if bool(address) == everybody:
        fail("name addresses, or --all", Exit.USAGE)
    keys = [_key(text) for text in address]
    now = time.time()
    store = _store(path, config)
    missing = False
    try:
        for key in keys or [row.address for row in store.rows(now)]:
            ended = store.end(key, now)
            missing = missing or not ended
            if as_json:
                result(json.dumps({"address": key, "lifted": ended}))
            else:
                say(f"{key} may come in again" if ended else f"{key} is not kept out")
    except XferError as error:
        fail(error, Exit.STORAGE)
    finally:
        store.close()
    if missing and not everybody:
        raise SystemExit(int(Exit.REFUSED))


def _key(text: str) -> str:
    """What the ban of ``text`` is filed under."""
    from twisted_xfer.runtime.limits import network_of

    address = text.removesuffix("/64")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        fail(f"{text}: not an IP address", Exit.USAGE)
    return network_of(address)


def _store(path: str | None, config: str | None) -> BanStore:
    """The file, which must be there."""
    from twisted_xfer.runtime.bans_store import BanStore

    if bool(path) == bool(config):
        fail("give --file FILE, or --config FILE", Exit.USAGE)
    name = path or _configured(str(config))
    if not os.path.exists(name):
        fail(
            f"{name}: there is no such file: nobody was ever kept out, or bans.file is another", Exit.STORAGE
        )
    try:
        return BanStore(name)
    except XferError as error:
        fail(error, Exit.STORAGE)


def _configured(config: str) -> str:
    from twisted_xfer.app.load import load

    try:
        loaded: Any = load(config)
    except XferError as error:
        fail(error)
    if not loaded.bans.file:
        fail(f"{config}: bans.file is not set: bans are in the daemon's memory only", Exit.USAGE)
    return str(loaded.bans.file)
