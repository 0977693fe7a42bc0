"""Options of send and get that say what moves, and how: filters, a dry run, links, digest."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from twisted_xfer.cli.rate import rate
from twisted_xfer.protocols.xfer.content import HASHES
from twisted_xfer.values import Value

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.attempts import Work
    from twisted_xfer.protocols.xfer.caller import Login

F = TypeVar("F", bound=Callable[..., Any])
_META: Final = "twisted_xfer.choices"
#: Names of the options: schemes that do not know them refuse them.
NAMES: Final = ("include", "exclude", "gitignore", "links", "dry_run", "digest", "compress")


#: Parameters of ``xfer send`` and ``xfer get``, for every protocol.
if_exists_option: Final = click.option(
    "--if-exists",
    type=click.Choice(["refuse", "overwrite", "rename", "newer", "skip-same"]),
    default="skip-same",
    show_default=True,
    help="When the name is taken; skip-same replaces what differs in size or time.",
)
retry_option: Final = click.option(
    "--retry",
    default=5,
    show_default=True,
    type=click.IntRange(0),
    help="Reconnections in a row that bring nothing.",
)
limit_rate_option: Final = click.option("--limit-rate", type=rate, help="Bytes a second at most: 500k, 2M.")


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_META, {})[parameter.name] = value


def choice_options(command: F) -> F:
    """The options that ``xfer send`` and ``xfer get`` have in common."""
    for names, given in reversed(
        (
            (
                ("--exclude",),
                {
                    "multiple": True,
                    "help": "Leave out names or paths like this, as in .gitignore. Repeatable.",
                },
            ),
            (
                ("--include",),
                {"multiple": True, "help": "Take only what is like this; --exclude is stronger. Repeatable."},
            ),
            (
                ("--dry-run", "-n"),
                {"is_flag": True, "help": "Only ask what would be stored, replaced, skipped."},
            ),
            (
                ("--digest",),
                {
                    "type": click.Choice(HASHES),
                    "help": "Verify by this digest; default: the best of both ends.",
                },
            ),
            (
                ("--compress",),
                {
                    "type": click.Choice(["auto", "on", "off"]),
                    "default": "auto",
                    "show_default": True,
                    "help": "Compress what shrinks; auto: unless both ends are one machine.",
                },
            ),
        )
    ):
        command = click.option(*names, expose_value=False, callback=_keep, **given)(command)  # type: ignore[arg-type]
    return command


def tree_options(command: F) -> F:
    """Options of ``xfer send`` for the trees of this machine."""
    command = click.option(
        "--links",
        type=click.Choice(["send", "follow", "skip"]),
        default="send",
        show_default=True,
        expose_value=False,
        callback=_keep,
        help="Symbolic links: send them as such, what they lead to, or not at all.",
    )(command)
    return click.option(
        "--gitignore",
        is_flag=True,
        expose_value=False,
        callback=_keep,
        help="Leave out what the tree's .gitignore files want ignored.",
    )(command)


@attrs.frozen(eq=False, repr=False)
class Choices(Value):
    """What those options were, of the command that runs."""

    given: dict[str, Any]

    @classmethod
    def made(cls) -> Choices:
        """Those of the current command."""
        return cls(click.get_current_context().meta.get(_META, {}))

    def work(self, work: Work) -> Work:
        """``work`` with them."""
        return attrs.evolve(
            work,
            exclude=tuple(map(os.fsencode, self.given.get("exclude", ()))),
            include=tuple(map(os.fsencode, self.given.get("include", ()))),
            gitignore=self.given.get("gitignore", False),
            links=self.given.get("links", "send"),
            dry_run=self.given.get("dry_run", False),
        )

    def login(self, login: Login) -> Login:
        """``login`` with the digest and the compression that are wanted."""
        digest = self.given.get("digest")
        login = attrs.evolve(login, compress=self.given.get("compress", "auto"))
        return attrs.evolve(login, hashes=(digest,)) if digest else login
