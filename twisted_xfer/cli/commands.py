"""``xfer``'s commands: each is in a module of its own, imported when it is asked for."""

from __future__ import annotations

import errno
import importlib
from typing import TYPE_CHECKING, Any, Final

import click

from twisted_xfer.cli import lean
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import OutputLost

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Command, its module, and the line in the list of commands.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("cmd_serve", "Serve a directory here and now, in the foreground."),
    "receive": ("cmd_receive", "Wait for xfer send, and print the code to send with."),
    "receivers": ("cmd_receivers", "List who waits in the local network."),
    "send": ("cmd_send", "Send files and trees, verified and resumable."),
    "get": ("cmd_get", "Fetch a file or a tree, verified and resumable."),
    "ls": ("cmd_ls", "List a directory of a daemon."),
    "rm": ("cmd_rm", "Remove a file or an empty directory of a daemon."),
    "chat": ("cmd_chat", "Talk to the people of a jim:// chat."),
    "check": ("cmd_check", "Explain what is wrong with a configuration, or print it resolved."),
    "plugins": ("cmd_plugins", "List what is installed, and what is wrong with it."),
    "user": ("cmd_user", "Add, change, list and remove the accounts of a users file."),
    "bans": ("cmd_bans", "Show who is kept out, and let in again."),
    "completion": ("cmd_completion", "Make bash, zsh or fish complete these commands."),
}


class _Lazy(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in their own order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None when there is no such thing."""
        if cmd_name not in COMMANDS:
            return None
        with lean.imports():
            lean.attrs()
            module = importlib.import_module(f"twisted_xfer.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Whoever is asked for something may leave: click's own exit code for that says "other"."""
        try:
            return super().invoke(ctx)
        except (click.Abort, KeyboardInterrupt, EOFError):
            click.echo("\nxfer: interrupted", err=True)
            ctx.exit(int(Exit.INTERRUPTED))
        except OutputLost as lost:
            # Whoever reads no more, as `head` does, knows that.
            if lost.errno != errno.EPIPE:
                click.echo(f"xfer: standard output: {lost.strerror}", err=True)
            ctx.exit(int(Exit.OTHER))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands without importing them: somebody has pressed Tab and waits."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata

    try:
        version = metadata.version("twisted-xfer")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"xfer {version}")
    ctx.exit()


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def xfer() -> None:
    """Serve and move files. The daemon itself is `twistd xfer`."""
