"""``xfer receivers``: who waits in the local network."""

from __future__ import annotations

import json

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import result, say


@click.command("receivers")
@click.option("--wait", default=2.0, show_default=True, type=click.FloatRange(0.1, 60), help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(wait: float, as_json: bool) -> None:
    """List the receivers in the local network that were started with --announce.

    The names and addresses are what they say of themselves; only the pairing code proves who it is.
    """
    from twisted_xfer.cli.lan import browse
    from twisted_xfer.protocols.xfer.wire.paths import printable

    found = browse(wait)
    for one in found:
        if as_json:
            result(json.dumps({"name": one.name, "addresses": one.addresses, "port": one.port}))
        else:
            result(f"@{printable(one.name.encode('utf-8', 'replace'))}  xfer://{one.place}")
    if not found:
        say("nobody announces a receiver here; at the other end: xfer receive --announce")
        raise SystemExit(int(Exit.OTHER))
