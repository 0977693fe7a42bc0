"""Directories: LIST, NLST (RFC 959), MLSD, MLST (RFC 3659 section 7).

Listings are made batch by batch while they are sent: ten thousand entries take neither memory
nor the reactor from anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_xfer.errors import NotADirectory, NotFound
from twisted_xfer.interfaces import Eventually, FileInfo, IListing, IReadFile, Right, TransferMode
from twisted_xfer.interfaces.answers import resolve, then
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.commands.sorting import Later, Sorted, next_turn
from twisted_xfer.protocols.ftp.commands.transfer import send
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import grammar
from twisted_xfer.protocols.ftp.wire.listing import (
    DEFAULT_FACTS,
    list_lines,
    mlsd_lines,
    mlst_text,
    nlst_lines,
    perm_facts,
)
from twisted_xfer.protocols.ftp.wire.replies import multiline, reply

#: Entries formatted in one turn: about a millisecond, so that other sessions' replies do not wait.
ENTRIES_PER_TURN: Final = 100

_OPENING: Final = reply(150, "Here comes the directory listing.")

Formatter = Callable[[list[FileInfo]], bytes]


@implementer(IReadFile)
class ListingSource:
    """A listing as the bytes of a file that is made while it is read."""

    def __init__(self, listing: IListing, format_batch: Formatter, later: Later) -> None:
        self.info = FileInfo(b"", "other")
        self.offset = 0
        self.mode = "image"
        self._listing = listing
        self._format = format_batch
        self._later = later

    def read(self, size: int) -> bytes | Deferred[bytes]:
        """The lines of the next batch; ``size`` does not matter, a batch is small."""
        return then(self._listing.next_batch(ENTRIES_PER_TURN), self._lines)

    def _lines(self, batch: list[FileInfo]) -> bytes | Deferred[bytes]:
        if not batch:
            return b""
        lines = self._format(batch)
        if lines:
            return lines
        # A pattern let nothing of this batch pass, which is not the end: others first, then go on.
        return next_turn(self._later).addCallback(lambda _: self.read(0))

    def advance(self, size: int) -> None:
        """Never called: there is no descriptor."""

    def close(self, reason: Exception | None = None) -> None:
        """Close the directory."""
        self._listing.close()


@implementer(IListing)
class SingleEntry:
    """A listing of one file, for LIST of something that is no directory."""

    def __init__(self, info: FileInfo) -> None:
        self._left = [info]

    def next_batch(self, limit: int = 100) -> list[FileInfo]:
        """The entry, once."""
        left, self._left = self._left, []
        return left

    def close(self) -> None:
        """Nothing to let go of."""


def renamed(session: FTPSession, batch: list[FileInfo], prefix: bytes = b"") -> list[FileInfo]:
    """The batch with names as this client's charset has them."""
    to_wire = session.codec.to_wire
    if session.codec.charset == "utf-8" and not prefix:
        return batch
    return [info._replace(name=prefix + to_wire(info.name)) for info in batch]


async def open_listing(session: FTPSession, raw: bytes) -> tuple[IListing, grammar.Glob | None, bytes]:
    """What LIST and NLST name: a directory, a file, or a pattern in the last component; sorted if not large."""
    avatar = session.user()
    path = session.path(raw)
    try:
        return Sorted(await resolve(avatar.list(path)), session.channel.later), None, b""
    except (NotADirectory, NotFound):
        pass
    try:
        # A file; or a part of one's own, of which stat() tells, and list() where its directory is asked for.
        info = await resolve(avatar.stat(path))
    except NotFound:
        split = grammar.split_glob(raw)
        # Some charsets have brackets within letters: only what is one after conversion makes a pattern.
        if split is None or grammar.split_glob(session.codec.to_storage(raw)) is None:
            raise
        # No such name: it was meant as a pattern.
        directory, _ = split
        listing = await resolve(avatar.list(path.parent))
        return Sorted(listing, session.channel.later), grammar.Glob(path.name), directory
    return SingleEntry(info._replace(name=session.codec.to_storage(raw))), None, b""


def _listing(
    session: FTPSession, argument: bytes, make: Callable[[list[FileInfo]], bytes], *, prefixed: bool
) -> Deferred[bytes]:
    async def run() -> bytes:
        listing, pattern, prefix = await open_listing(session, grammar.parse_list_argument(argument).path)

        def format_batch(batch: list[FileInfo]) -> bytes:
            if pattern is not None:
                batch = [info for info in batch if pattern.match(info.name)]
            return make(renamed(session, batch, prefix if prefixed else b"")) if batch else b""

        sent = send(
            session, ListingSource(listing, format_batch, session.channel.later), _OPENING, TransferMode.IMAGE
        )
        return await resolve(sent)

    return Deferred.fromCoroutine(run())


def list_directory(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """LIST: long lines as `ls -l` prints them; flags are understood and change nothing."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    now = int(session.host.wall_time())
    return _listing(session, argument, lambda batch: list_lines(batch, now), prefixed=False)


def name_list(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """NLST: names only; with a pattern they keep the directory that the client wrote."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    return _listing(session, argument, nlst_lines, prefixed=True)


def _facts_of(session: FTPSession) -> tuple[str, ...]:
    return DEFAULT_FACTS if session.facts is None else session.facts


def _perm(session: FTPSession, path: VirtualPath) -> tuple[bytes, bytes]:
    """The ``perm`` facts of a file and of a directory that has the rights of ``path``."""
    avatar = session.user()
    return perm_facts(frozenset(right.value for right in Right if avatar.may(right, path)))


def machine_list(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """MLSD."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal

    async def run() -> bytes:
        path = session.path(argument)
        avatar = session.user()
        try:
            listing = await resolve(avatar.list(path))
        except NotADirectory:
            # RFC 3659 section 7.2.1: 501 when the argument is no directory.
            return reply(501, "MLSD is for directories; use MLST.")
        facts, perm = _facts_of(session), _perm(session, path)

        def format_batch(batch: list[FileInfo]) -> bytes:
            return mlsd_lines(renamed(session, batch), facts, perm)

        sent = send(
            session, ListingSource(listing, format_batch, session.channel.later), _OPENING, TransferMode.IMAGE
        )
        return await resolve(sent)

    return Deferred.fromCoroutine(run())


def machine_list_one(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """MLST: one entry, over the control connection, with its whole path."""
    path = session.path(argument)

    def shown(info: FileInfo) -> bytes:
        line = mlst_text(info, session.shown(path), _facts_of(session), _perm(session, path))
        return multiline(250, "Listing follows.", [line], "End.")

    return then(session.user().stat(path), shown)


HANDLERS: Final[dict[bytes, Handler]] = {
    b"LIST": list_directory,
    b"NLST": name_list,
    b"MLSD": machine_list,
    b"MLST": machine_list_one,
}
