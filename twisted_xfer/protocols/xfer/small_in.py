"""Small files on their way in: they come whole, together, and are stored one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from twisted_xfer.errors import DigestMismatch, NameInvalid, XferError
from twisted_xfer.interfaces import IStoresNew, NewFile
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.content import hasher_maker
from twisted_xfer.protocols.xfer.incoming import put_away
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.packing import unpack
from twisted_xfer.protocols.xfer.wire.frames import Packed
from twisted_xfer.protocols.xfer.wire.messages import Entry, Files
from twisted_xfer.protocols.xfer.wire.together import pieces_of

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole

#: Stored one after the other, once the frames of all of them were read: measured, for a tenth less than
#: each behind its frame. So many, and no more than MAX_INLINE of each, are held; of small ones that is what one
#: read of the socket brings.
BATCH: Final = 32


def _until_none(files: list[NewFile | None]) -> list[NewFile]:
    found: list[NewFile] = []
    for one in files:
        if one is None:
            break
        found.append(one)
    return found


class SmallFiles:
    """Takes what came whole. Memory: BATCH times MAX_INLINE."""

    def __init__(self, role: ReceiverRole) -> None:
        self._role = role
        self._waiting: list[tuple[Entry, bytes]] = []
        self._hasher = hasher_maker(role.hash_name)
        storage = role.placing.storage
        # An account that is slowed down waits behind each file.
        quick = IStoresNew.providedBy(storage) and role.limiter is None
        self._storage = IStoresNew(storage) if quick else None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, entry: Entry, data: bytes) -> None:
        """Take one that came as it is."""
        self._waiting.append((entry, data))
        if len(self._waiting) >= BATCH:
            self.store()

    def add_packed(self, entry: Entry, packed: Packed) -> None:
        """Take one that came compressed: at once, for what it unpacks to may be large."""
        self._role.run(entry, self._store_packed(entry, packed))

    def add_files(self, files: Files, content: bytes) -> None:
        """Take those that came together: at once as far as that goes, each by itself from there on."""
        self.store()
        pieces = pieces_of(files, content)
        digests = self._digests(pieces)
        with self._role.answers_together():
            count = self._store_files(files, pieces, b"".join(digests))
            if count < len(pieces):
                entries = self._role.books.single(files, count)
                self._store_all(list(zip(entries, pieces[count:], strict=True)), digests[count:])

    def _store_files(self, files: Files, pieces: list[bytes], digests: bytes) -> int:
        """Store them at once; how many of them, from the first on."""
        role, storage = self._role, self._storage
        placing = role.placing
        # Whoever watches is told of each; so is a sender that went on on another connection.
        if storage is None or role.watched or placing.rules.done or digests != files.digests:
            return 0
        try:
            directory = placing.directory_path(files.path)
        except NameInvalid:
            return 0
        above, metadata = directory.parts, placing.metadata
        new = []
        for name, data, mode, mtime_ns in zip(files.names, pieces, files.modes, files.mtimes_ns, strict=True):
            path = VirtualPath((*above, name))
            new.append(NewFile(path, data, *metadata(mode, mtime_ns, path)))
        count = storage.store_new(new)
        if count:
            size = len(digests) // len(pieces)
            role.stored_together(files, count, digests[: count * size], directory)
        return count

    def store(self) -> bool:
        """Store those that have come; whether there were any."""
        files, self._waiting = self._waiting, []
        if not files:
            return False
        with self._role.answers_together():
            self._store_all(files, self._digests(data for _, data in files))
        return True

    def _store_all(self, files: list[tuple[Entry, bytes]], digests: list[bytes]) -> None:
        """In their order, at once as far as that goes."""
        role, storage = self._role, self._storage
        new = [
            None if storage is None else self._new_file(entry, data, digest)
            for (entry, data), digest in zip(files, digests, strict=True)
        ]
        at = missed = 0
        while at < len(files):
            simple = _until_none(new[at:]) if missed < 2 else []
            if storage is not None and simple:
                stored = storage.store_new(simple)
                for one in simple[:stored]:
                    self._stored(files[at][0], one, digests[at])
                    at += 1
                # The first of a directory goes the long way; where the second does, all do, such as with a quota.
                missed = 0 if stored else missed + 1
            if at < len(files):
                entry, data = files[at]
                role.run(entry, self._store_one(entry, data, digests[at]))
                at += 1

    def _stored(self, entry: Entry, new: NewFile, digest: bytes) -> None:
        try:
            self._role.stored(entry, new.path, digest, len(new.data), 0)
        except Exception:  # noqa: BLE001 - a bug of whoever watches costs this one its answer, and no other
            self._role.failed(entry, Failure())  # type: ignore[no-untyped-call]

    def _new_file(self, entry: Entry, data: bytes, digest: bytes) -> NewFile | None:
        """What to store at once; None where something is to be said first."""
        placing = self._role.placing
        if digest != entry.digest or entry.path in placing.rules.done:
            return None
        try:
            path = placing.path(entry)
        except NameInvalid:
            return None
        return NewFile(path, data, *placing.metadata(entry.mode, entry.mtime_ns, path))

    def _digests(self, pieces: Iterable[bytes]) -> list[bytes]:
        hasher = self._hasher
        return [hasher(data).digest() for data in pieces]

    async def _store_packed(self, entry: Entry, packed: Packed) -> None:
        data = unpack(packed.data, packed.size)
        if data is None:
            raise DigestMismatch(entry.path, "packed")
        await self._store_one(entry, data, self._digests([data])[0], len(data) - len(packed.data))

    async def _store_one(self, entry: Entry, data: bytes, digest: bytes, saved: int = 0) -> None:
        """The long way, on which everything can be said."""
        role = self._role
        if digest != entry.digest:
            raise DigestMismatch(entry.path, role.hash_name)
        path = role.placing.path(entry)
        opened = await role.placing.open(entry, path, resume=False)
        if isinstance(opened, str):
            role.skip(entry, opened)
            return
        upload = opened[0]
        try:
            left = memoryview(data)
            while left:
                room = upload.reserve(len(left))
                await resolve(upload.write(left if room >= len(left) else left[:room]))
                left = left[room:]
            await resolve(upload.commit(role.placing.expected(entry, upload.path, len(data))))
        except XferError as error:
            put_away(upload, error)
            raise
        await pace(role.limiter, role.connection.clock, len(data) - saved)
        role.stored(entry, upload.path, digest, len(data), 0, saved)
