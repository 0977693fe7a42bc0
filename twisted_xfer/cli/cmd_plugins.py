"""``xfer plugins``: what is installed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from twisted_xfer.cli.cmd_plugins_new import new
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say

if TYPE_CHECKING:
    from twisted_xfer.plugins.registry import PluginReport

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
    from twisted_xfer.errors import PluginError
    from twisted_xfer.plugins.registry import Registry

    try:
        lines = [*Registry.discover().report(), *_checkers()]
    except PluginError as error:
        fail(error)
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


def _checkers() -> Iterator[PluginReport]:
    """The checkers for ``--auth``, which are Twisted's kind of plugin; twistd takes the first of a name."""
    from twisted.cred.strcred import findCheckerFactories

    from twisted_xfer.plugins.origin import distribution_of
    from twisted_xfer.plugins.registry import PluginReport

    seen: set[str] = set()
    found: Iterable[Any] = findCheckerFactories()  # type: ignore[no-untyped-call]
    for factory in sorted(found, key=lambda factory: str(factory.authType)):
        name = str(factory.authType)
        summary = " ".join(str(factory.authHelp).split()).partition(". ")[0].rstrip(".")
        problem = "another checker has this name, and one of the two is not used" if name in seen else ""
        seen.add(name)
        yield PluginReport("checker", name, distribution_of(type(factory).__module__), summary, problem)


command.add_command(new)
