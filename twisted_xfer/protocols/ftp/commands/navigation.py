"""Where the session stands: CWD, CDUP, PWD (RFC 959 section 4.1.1), and their X-aliases (RFC 775)."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import NotADirectory
from twisted_xfer.interfaces import Eventually, FileInfo, IEnters
from twisted_xfer.interfaces.answers import then
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire.replies import path_reply, quote_path, reply


def print_directory(session: FTPSession, argument: bytes) -> bytes:
    """PWD."""
    return path_reply(session.shown(session.cwd))


def change_directory(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """CWD."""
    return _change(session, session.path(argument))


def change_up(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """CDUP: the parent as the client sees it; the root is its own parent."""
    return _change(session, session.cwd.parent)


def _change(session: FTPSession, path: VirtualPath) -> Eventually[bytes]:
    def entered(info: FileInfo) -> bytes:
        if info.kind != "dir":
            raise NotADirectory(bytes(path))
        session.cwd = path
        return reply(250, quote_path(session.shown(path)) + b" is the current directory.")

    avatar = session.user()
    return then(avatar.enter(path) if IEnters.providedBy(avatar) else avatar.stat(path), entered)


HANDLERS: Final[dict[bytes, Handler]] = {
    b"CWD": change_directory,
    b"CDUP": change_up,
    b"PWD": print_directory,
}
