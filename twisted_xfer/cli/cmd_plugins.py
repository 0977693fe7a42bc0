"""``xfer plugins``: what is installed."""

from __future__ import annotations

import json
import textwrap
from typing import Final

import click

from twisted_xfer.cli.cmd_plugins_new import new
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import result, say

#: Characters of what is said about a plugin in the table; JSON has all of it.
MAX_SUMMARY: Final = 90


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List every plugin: kind, name, the distribution it came with, and what it is.

    Ends with 1 when one of them cannot be used, and says why.
    """
    if context.invoked_subcommand is not None:
        return
    from twisted_xfer.plugins.survey import survey

    lines = survey()
    wide = [max((len(str(line[column])) for line in lines), default=0) for column in range(3)]
    for line in lines:
        if as_json:
            result(json.dumps(line._asdict()))
            continue
        cells = "  ".join(str(cell).ljust(width) for cell, width in zip(line[:3], wide, strict=True))
        result(f"{cells}  {textwrap.shorten(line.summary, MAX_SUMMARY, placeholder=' ...')}".rstrip())
        if line.problem:
            say(f"xfer: {line.kind} {line.name}: {line.problem}")
    if any(line.problem for line in lines):
        raise SystemExit(int(Exit.OTHER))


command.add_command(new)
