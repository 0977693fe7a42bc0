"""``xfer check``: the same as ``twistd xfer --check``."""

from __future__ import annotations

import sys

import click


@click.command("check")
@click.argument("config", type=click.Path(dir_okay=False))
def command(config: str) -> None:
    """Load the TOML file CONFIG, build the daemon it asks for, and listen nowhere.

    Prints the resolved configuration without secrets, and warnings. Ends with 0 if the daemon
    would start, else with 1.
    """
    from twisted_xfer.app.check import check

    raise SystemExit(check(config, {}, sys.stdout, sys.stderr))
