"""Files and directories: SIZE, MDTM, MFMT, DELE, RNFR, RNTO, MKD, RMD.

RFC 959 section 4.1.3, RFC 3659 sections 3 and 4; MFMT is draft-somers-ftp-mfxx-04.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from twisted_xfer.errors import NotAFile, NotFound
from twisted_xfer.interfaces import Eventually, FileInfo, IPublished, TransferMode
from twisted_xfer.interfaces.answers import resolve, then
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import grammar
from twisted_xfer.protocols.ftp.wire.replies import (
    DELETED,
    DIRECTORY_REMOVED,
    RENAME_READY,
    RENAMED,
    path_reply,
    reply,
)
from twisted_xfer.protocols.ftp.wire.states import NEED_RENAME_FROM


def size(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """SIZE: what a transfer would move, and so for TYPE I only."""
    if session.mode is TransferMode.ASCII:
        return reply(550, "SIZE needs TYPE I: in ASCII the size is not known before the transfer.")

    def known(info: FileInfo) -> bytes:
        if info.kind != "file":
            raise NotAFile(bytes(path))
        return reply(213, str(info.size))

    path = session.path(argument)
    return then(session.user().stat(path), known)


def modification_time(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """MDTM; ``MDTM YYYYMMDDHHMMSS name`` sets it, as older clients expect."""
    stamp, name = grammar.parse_mdtm(argument)
    if stamp is not None:
        return _set_time_unless_name(session, argument, stamp, name)
    return then(session.user().stat(session.path(argument)), _time_reply)


def _time_reply(info: FileInfo) -> bytes:
    return reply(213, grammar.format_time(info.mtime_ns))


async def _set_time_unless_name(session: FTPSession, argument: bytes, stamp: int, name: bytes) -> bytes:
    """A file may have a name that looks like a time and a name; then that file is meant."""
    try:
        info = await resolve(session.user().stat(session.path(argument)))
    except NotFound:
        return await resolve(_set_time(session, stamp, name, b""))
    return _time_reply(info)


def modify_time(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """MFMT."""
    stamp, name = grammar.parse_mfmt(argument)
    return _set_time(session, stamp, name, b"Modify=")


def _set_time(session: FTPSession, mtime_ns: int, name: bytes, prefix: bytes) -> Eventually[bytes]:
    def done(_: object) -> bytes:
        return reply(213, b"%b%b; %b" % (prefix, grammar.format_time(mtime_ns), name))

    return then(session.user().set_times(session.path(name), mtime_ns), done)


def delete(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """DELE."""
    return then(session.user().remove(session.path(argument)), lambda _: DELETED)


def rename_from(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """RNFR: must be followed by RNTO at once."""
    path = session.path(argument)
    avatar = session.user()

    def found(info: FileInfo) -> bytes | Deferred[bytes]:
        if info.kind == "file" and IPublished.providedBy(avatar):
            return then(avatar.published(path, follow=False), published)
        return published(0)

    def published(size: int | None) -> bytes:
        if size is None:
            # The account's own part, which becomes a file by going on with it, and not by a rename.
            raise NotFound(bytes(path), "its upload has not ended")
        session.sequence.rename_from = path
        return RENAME_READY

    return then(avatar.stat(path), found)


def rename_to(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """RNTO."""
    source = session.sequence.take_rename()
    if not isinstance(source, VirtualPath):
        return NEED_RENAME_FROM
    return then(session.user().rename(source, session.path(argument)), lambda _: RENAMED)


def make_directory(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """MKD."""
    path = session.path(argument)

    def made(_: object) -> bytes:
        return path_reply(session.shown(path), b"created.")

    return then(session.user().make_directory(path), made)


def remove_directory(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """RMD."""
    path: VirtualPath = session.path(argument)
    return then(session.user().remove_directory(path), lambda _: DIRECTORY_REMOVED)


HANDLERS: Final[dict[bytes, Handler]] = {
    b"SIZE": size,
    b"MDTM": modification_time,
    b"MFMT": modify_time,
    b"DELE": delete,
    b"RNFR": rename_from,
    b"RNTO": rename_to,
    b"MKD": make_directory,
    b"RMD": remove_directory,
}
