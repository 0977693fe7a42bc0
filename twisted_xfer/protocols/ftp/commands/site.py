"""SITE: CHMOD, UTIME, HELP, IDLE, QUOTA, by a table of its own."""

from __future__ import annotations

from typing import Final

from twisted_xfer.interfaces import Eventually
from twisted_xfer.interfaces.answers import then
from twisted_xfer.protocols.ftp.commands import quota
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import grammar
from twisted_xfer.protocols.ftp.wire.replies import multiline, reply
from twisted_xfer.protocols.ftp.wire.verbs import SITE_PREFIX, SITE_VERBS

#: The shortest idle time a client may ask for: less is of no use to anybody.
MIN_IDLE: Final = 10


def change_mode(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """SITE CHMOD octal path."""
    mode, name = grammar.parse_chmod(argument)
    return then(session.user().set_mode(session.path(name), mode), lambda _: reply(200, "Mode changed."))


def set_times(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """SITE UTIME, in both of its forms; only the modification time is kept."""
    mtime_ns, name = grammar.parse_utime(argument)
    return then(session.user().set_times(session.path(name), mtime_ns), lambda _: reply(200, "Time changed."))


def idle(session: FTPSession, argument: bytes) -> bytes:
    """SITE IDLE: show or set this session's idle time, within what the administrator allows."""
    most = int(session.options.max_idle)
    wanted = grammar.parse_idle(argument, MIN_IDLE, most)
    if wanted is None:
        return reply(200, f"Idle time is {int(session.idle)} seconds; most is {most}.")
    session.idle = float(wanted)
    session.touch()
    return reply(200, f"Idle time set to {int(session.idle)} seconds.")


def help_text(session: FTPSession, argument: bytes) -> bytes:
    """SITE HELP."""
    name = argument.strip(b" ").upper()
    if name:
        verb = SITE_VERBS.get(name) or session.verbs.get(SITE_PREFIX + name)
        return reply(502, "No such SITE command.") if verb is None else reply(214, verb.help)
    added = [verb for name, verb in session.verbs.items() if name.startswith(SITE_PREFIX)]
    lines = [verb.help for verb in [*SITE_VERBS.values(), *added]]
    return multiline(214, "These SITE commands are understood:", lines, "End.")


SITE_HANDLERS: Final[dict[bytes, Handler]] = {
    b"CHMOD": change_mode,
    b"UTIME": set_times,
    b"IDLE": idle,
    b"QUOTA": quota.show,
    b"HELP": help_text,
}


def site(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """SITE word arguments."""
    word, _, rest = argument.partition(b" ")
    name = word.upper()
    added = SITE_PREFIX + name
    verb = SITE_VERBS.get(name) or session.verbs.get(added)
    handler = SITE_HANDLERS.get(name) or session.handlers.get(added)
    if verb is None or handler is None:
        return reply(504, "No such SITE command; try SITE HELP.")
    if verb.argument == "required" and not rest:
        return reply(501, f"SITE {name.decode('ascii')} needs an argument.")
    return handler(session, rest)


HANDLERS: Final[dict[bytes, Handler]] = {b"SITE": site}
