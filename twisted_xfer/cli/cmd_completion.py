"""``xfer completion``: what a shell needs to complete commands, options and paths."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from twisted_xfer.cli.output import fail, result

_WHERE = {
    "bash": 'eval "$(xfer completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(xfer completion zsh)"  in ~/.zshrc, below compinit',
    "fish": "xfer completion fish > ~/.config/fish/completions/xfer.fish",
}


@click.command("completion", epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete xfer's commands, options and paths."""
    from twisted_xfer.cli.commands import xfer

    found = get_completion_class(shell)
    if found is None:
        fail(f"no completion for {shell}")
    # The program itself answers each Tab, so that the script never grows old.
    made = found(xfer, {}, "xfer", "_XFER_COMPLETE")
    result(made.source_template % made.source_vars())
