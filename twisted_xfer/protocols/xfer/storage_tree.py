"""Trees of a storage as offers: for GET."""

from __future__ import annotations

from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_xfer.errors import NotAFile, NotFound, XferError
from twisted_xfer.interfaces import FileInfo, IListing, IStorage
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.choosing import EVERYTHING, Chosen
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire.paths import is_sendable

#: Entries of a directory asked for at once.
BATCH: Final = 100
#: Steps without an offer before others have their turn: filters may let nothing of a million entries
#: through, and links that fork make a tree that has no end for all purposes.
STEPS_PER_TURN: Final = 50


@attrs.define(eq=False)
class _Directory:
    """One that is open; ``offered`` says whether anything below it was."""

    path: VirtualPath
    info: FileInfo
    listing: IListing
    inside: bool
    batch: list[FileInfo] = attrs.field(factory=list)
    offered: bool = False


class StorageSource:
    """A file or a tree of a storage, below ``path``: directories behind what is in them.

    Links are what the storage says that they lead to; one that leads nowhere is left out, and so is one
    that leads back to a directory that we are in, so that no loop makes a tree without end. Kept parts
    are no files. What else cannot be offered is an offer with a ``problem``.

    However long it looks for the next offer, others have their turn of the reactor of ``clock``, and
    close() ends it.
    """

    def __init__(
        self, storage: IStorage, path: VirtualPath, clock: IReactorTime, chosen: Chosen = EVERYTHING
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._closed = False
        self._chosen = chosen
        self._start: VirtualPath | None = path
        self._cut = len(path.parts[:-1])
        self._open: list[_Directory] = []

    async def next(self) -> Offer | None:
        """The next offer. May fail as the storage does, for the first."""
        if self._start is not None:
            path, self._start = self._start, None
            info = await resolve(self._storage.stat(path))
            offer = await self._entry(path, info._replace(name=path.name), inside=not self._chosen.include)
            if offer is not None:
                return offer
        steps = 0
        while self._open and not self._closed:
            if steps >= STEPS_PER_TURN:
                steps = 0
                await deferLater(self._clock, 0)
                continue
            steps += 1
            top = self._open[-1]
            if not top.batch:
                more = await resolve(top.listing.next_batch(BATCH))
                top.batch.extend(reversed(more))
            if not top.batch:
                offer = self._leave()
            else:
                offer = await self._below(top, top.batch.pop())
            if offer is not None:
                top.offered = True
                return offer
        return None

    async def _below(self, top: _Directory, info: FileInfo) -> Offer | None:
        path = top.path.child(info.name)
        parts = path.parts[self._cut :]
        directory = info.kind == "dir"
        if not self._chosen.takes(parts, directory=directory):
            return None
        inside = top.inside or self._chosen.names(parts, directory=directory)
        if not inside and not directory:
            return None
        try:
            return await self._entry(path, info, inside=inside)
        except NotFound:
            # It went between listing and look.
            return None
        except XferError as error:
            # The rest of the tree can be had all the same.
            return self._offer(path, info, error)

    async def _entry(self, path: VirtualPath, info: FileInfo, *, inside: bool) -> Offer | None:
        """The offer of one entry; None for a directory, which is entered, and for what cannot be offered."""
        parts = path.parts[self._cut :]
        if info.kind == "symlink" or info.kept:
            return None
        if parts and not is_sendable(b"/".join(parts)):
            return self._offer(path, info, NotAFile(bytes(path), "a name that the protocol does not carry"))
        if info.kind == "dir":
            if not (info.unique and any(one.info.unique == info.unique for one in self._open)):
                listing = await resolve(self._storage.list(path))
                self._open.append(_Directory(path, info, listing, inside))
            return None
        return self._offer(path, info, None if info.kind == "file" else NotAFile(bytes(path)))

    def _leave(self) -> Offer | None:
        """A directory is done: the offer of it, if it is to be."""
        done = self._open.pop()
        done.listing.close()
        depth = len(done.path.parts) - self._cut
        offered = done.offered
        if self._open and offered:
            self._open[-1].offered = True
        if depth < 1 or not (done.inside or offered or depth == 1):
            return None
        return self._offer(done.path, done.info)

    def _offer(self, path: VirtualPath, info: FileInfo, problem: XferError | None = None) -> Offer:
        size = info.size if info.kind == "file" else None
        return Offer(
            b"/".join(path.parts[self._cut :]),
            info.kind,
            size,
            info.mode & 0o777,
            info.mtime_ns,
            lambda: self._storage.open_read(path),
            problem=problem,
        )

    def close(self) -> None:
        """Let go of open directories; there are no more offers."""
        self._closed = True
        while self._open:
            self._open.pop().listing.close()
