"""Questions: FEAT (RFC 2389), HELP, SYST, STAT, NOOP (RFC 959 section 4.1.3)."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from twisted_xfer.interfaces import Eventually, FileInfo, TransferMode
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.ftp.commands.listing import ENTRIES_PER_TURN, open_listing, renamed
from twisted_xfer.protocols.ftp.commands.sorting import next_turn
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import grammar
from twisted_xfer.protocols.ftp.wire.listing import DEFAULT_FACTS, list_lines, mlst_feature
from twisted_xfer.protocols.ftp.wire.replies import NOOP_OK, SYSTEM, feat_reply, multiline, reply
from twisted_xfer.protocols.ftp.wire.states import NOT_LOGGED_IN


def features(session: FTPSession, argument: bytes) -> bytes:
    """FEAT: from the verbs table, for the verbs that have a command behind them."""
    offered = {name: verb for name, verb in session.verbs.items() if name in session.handlers}
    if session.options.ccc and b"CCC" in offered:
        offered[b"CCC"] = offered[b"CCC"]._replace(feat=b"CCC")
    facts = DEFAULT_FACTS if session.facts is None else session.facts
    return feat_reply(offered, mlst_feature(facts), tls=session.host.tls is not None)


def help_text(session: FTPSession, argument: bytes) -> bytes:
    """HELP."""
    if argument:
        verb = session.verbs.get(argument.strip().upper())
        if verb is None:
            return reply(502, "No such command.")
        return reply(214, verb.help)
    tls = session.host.tls is not None
    names = sorted(
        name for name, verb in session.verbs.items() if name in session.handlers and (tls or not verb.tls)
    )
    rows = [b" ".join(name.ljust(5) for name in names[i : i + 8]).rstrip() for i in range(0, len(names), 8)]
    return multiline(214, "These commands are understood:", rows, "End.")


def system(session: FTPSession, argument: bytes) -> bytes:
    """SYST: what clients want to hear before they parse a listing."""
    return SYSTEM


def noop(session: FTPSession, argument: bytes) -> bytes:
    """NOOP."""
    return NOOP_OK


def status(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """STAT: of the session, or of a path as LIST over the control connection."""
    if not argument:
        return session_status(session)
    if session.avatar is None:
        # The only command that anybody may give without its argument, and not with it.
        return NOT_LOGGED_IN
    return Deferred.fromCoroutine(_path_status(session, argument))


def _tls_name(session: FTPSession) -> str:
    tls = session.protection.tls
    if tls is None or not session.protection.control:
        return "plain text"
    return f"{tls.version}, {tls.cipher}"


def session_status(session: FTPSession) -> bytes:
    """STAT without an argument; told also while a transfer runs."""
    mode = "ASCII" if session.mode is TransferMode.ASCII else "BINARY"
    lines = [
        f"Connected from {session.peer}, session {session.session_id}.",
        f"Logged in as {session.username}." if session.avatar is not None else "Not logged in.",
        f"TYPE: {mode}, STRUcture: File, MODE: Stream.",
        f"Control connection: {_tls_name(session)}.",
        f"Data connections: {'TLS' if session.protection.private else 'plain text'}.",
    ]
    if session.transfer is not None:
        lines.append(f"Transfer in progress: {session.transfer.transferred} bytes so far.")
    return multiline(
        211, "Status:", [line.encode("utf-8", "surrogateescape") for line in lines], "End of status."
    )


async def _path_status(session: FTPSession, argument: bytes) -> bytes:
    """STAT of a path, flags and patterns as in LIST; at most ``status_entries`` lines."""
    most = session.options.status_entries
    now = int(session.host.wall_time())
    listing, pattern, _ = await open_listing(session, grammar.parse_list_argument(argument).path)
    entries: list[FileInfo] = []
    this_turn = 0
    try:
        # One more than is shown tells whether there are more.
        while len(entries) <= most and (batch := await resolve(listing.next_batch(ENTRIES_PER_TURN))):
            entries += [info for info in batch if pattern is None or pattern.match(info.name)]
            this_turn += len(batch)
            if this_turn >= ENTRIES_PER_TURN:
                # A pattern may fit nothing of a million entries.
                this_turn = 0
                await next_turn(session.channel.later)
                if session.closed:
                    break
    finally:
        listing.close()
    lines = list_lines(renamed(session, entries[:most]), now).split(b"\r\n")[:-1]
    last = "More entries: use MLSD or LIST." if len(entries) > most else "End."
    return multiline(213, "Status follows:", lines, last, indent=b"")


HANDLERS: Final[dict[bytes, Handler]] = {
    b"FEAT": features,
    b"HELP": help_text,
    b"SYST": system,
    b"NOOP": noop,
    b"STAT": status,
}
