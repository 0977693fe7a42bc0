"""What a command plugin uses to add commands to FTP: rows of (Verb, handler), and the session.

Public: these names, and those of ``CommandSession``, stay as long as ``API_VERSION`` does.

A row is a ``Verb`` and the function that runs it, which is given the session and the argument as
bytes and answers with the last reply (see ``reply`` and ``multiline``), at once or later. An error
of ``twisted_xfer.errors`` that it raises becomes its reply by the same table as everywhere; any
other is logged whole, and the client gets 451. One command of a session runs at a time, so a
handler need not fear its own session. A verb called ``SITE NAME`` adds to SITE. A verb with an
``alias`` needs no handler: None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from twisted_xfer.errors import ConfigError, LocalProtocolError, PluginError
from twisted_xfer.interfaces import Eventually, IAvatar, IHost, Right
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.commands import merge
from twisted_xfer.protocols.ftp.session import Handler
from twisted_xfer.protocols.ftp.wire.replies import multiline, path_reply, reply
from twisted_xfer.protocols.ftp.wire.verbs import SITE_PREFIX, SITE_VERBS, Verb, with_rows

__all__ = ["CommandHandler", "CommandSession", "Row", "Verb", "extended", "multiline", "path_reply", "reply"]

_RIGHTS: Final = frozenset({"", *Right})


class CommandSession(Protocol):
    """The part of a session that handlers of plugins may use."""

    @property
    def host(self) -> IHost:
        """The daemon."""
        ...

    @property
    def session_id(self) -> str:
        """For logs and events."""
        ...

    @property
    def peer(self) -> str:
        """The client's IP address."""
        ...

    @property
    def username(self) -> str:
        """Who is logged in; empty before that."""
        ...

    @property
    def cwd(self) -> VirtualPath:
        """The current directory."""
        ...

    def user(self) -> IAvatar:
        """Who is logged in: files with rights, quota and events applied. XferError before the login."""
        ...

    def path(self, argument: bytes) -> VirtualPath:
        """The path that a client named, relative ones below ``cwd``. Raises NameInvalid."""
        ...

    def shown(self, path: VirtualPath) -> bytes:
        """A path in the client's charset, for a reply."""
        ...

    def say(self, data: bytes) -> None:
        """Put a preliminary reply (1yz) in front of the last one."""
        ...

    def emit(self, event_id: str, **fields: Any) -> None:
        """Tell an event of the catalogue, as this session's."""
        ...


CommandHandler = Callable[[CommandSession, bytes], Eventually[bytes]]
Row = tuple[Verb, CommandHandler | None]


def extended(
    verbs: Mapping[bytes, Verb],
    handlers: Mapping[bytes, Handler],
    commands: Iterable[str | Mapping[str, Any]],
    host: IHost,
) -> tuple[Mapping[bytes, Verb], Mapping[bytes, Handler]]:
    """The tables with the rows of the command plugins that ``commands`` names.

    Raises:
        ConfigError: an entry names no plugin, or its options are wrong.
        PluginError: a plugin is missing, its rows are no rows, or a command is there already.
    """
    for entry in commands:
        table = {"plugin": entry} if isinstance(entry, str) else dict(entry)
        name = table.pop("plugin", None)
        if not isinstance(name, str):
            remedy = 'must be the name of a command plugin, or a table with plugin = "NAME"'
            raise ConfigError("commands", value=entry, remedy=remedy)
        rows = [_checked(name, row) for row in host.command_rows(name, table)]
        try:
            verbs = with_rows(verbs, [verb for verb, _ in rows])
        except LocalProtocolError as error:
            raise PluginError(name, f"command {error.subject!r}: {error.detail}") from error
        handlers = merge([handlers, {verb.name: run for verb, run in rows if run is not None}])
    return verbs, handlers


def _checked(plugin: str, row: object) -> Row:
    """``row`` if it is one, and no other command's."""
    match row:
        case (Verb() as verb, run) if callable(run) or (run is None and verb.alias):
            problem = _problem(verb, aliased=run is None)
            if problem:
                raise PluginError(plugin, f"command {verb.name!r}: {problem}")
            return verb, run
    raise PluginError(plugin, f"not a row of (Verb, handler): {row!r}")


def _problem(verb: Verb, *, aliased: bool) -> str:
    site, _, word = verb.name.rpartition(SITE_PREFIX)
    if verb.right not in _RIGHTS:
        return f"there is no right {verb.right!r}"
    if bool(verb.alias) is not aliased or (verb.alias and SITE_PREFIX in verb.name):
        return "an alias has no handler, and SITE no aliases"
    if SITE_PREFIX in verb.name and not site and word in SITE_VERBS:
        return "verb is there already"
    return ""
