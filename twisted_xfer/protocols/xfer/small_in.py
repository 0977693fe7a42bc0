"""Small files on their way in: they come whole, together, and are stored one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted_xfer.errors import DigestMismatch, NameInvalid, XferError
from twisted_xfer.interfaces import IStoresNew, NewFile
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.content import make_hasher
from twisted_xfer.protocols.xfer.incoming import put_away
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.packing import unpack
from twisted_xfer.protocols.xfer.wire.frames import Packed
from twisted_xfer.protocols.xfer.wire.messages import Entry

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole

#: Stored one after the other, once the frames of all of them were read: measured, for a tenth less than
#: each behind its frame. So many, and no more than MAX_INLINE of each, are held; of small ones that is what one
#: read of the socket brings.
BATCH: Final = 32


class SmallFiles:
    """Takes what came whole. Memory: BATCH times MAX_INLINE."""

    def __init__(self, role: ReceiverRole) -> None:
        self._role = role
        self._waiting: list[tuple[Entry, bytes]] = []
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

    def store(self) -> bool:
        """Store those that have come; whether there were any."""
        files, self._waiting = self._waiting, []
        if not files:
            return False
        with self._role.answers_together():
            self._store_all(files)
        return True

    def _store_all(self, files: list[tuple[Entry, bytes]]) -> None:
        """In their order, at once as far as that goes."""
        role, storage = self._role, self._storage
        digests = [self._digest(data) for _, data in files]
        at = missed = 0
        while at < len(files):
            if storage is not None and missed < 2:
                first = at
                new = self._new_files(files[at:], digests[at:])
                for new_file in new[: storage.store_new(new) if new else 0]:
                    role.stored(files[at][0], new_file.path, digests[at], len(new_file.data), 0)
                    at += 1
                # The first of a directory goes the long way; where the second does, all do, such as with a quota.
                missed = 0 if at > first else missed + 1
            if at < len(files):
                entry, data = files[at]
                role.run(entry, self._store_one(entry, data, digests[at]))
                at += 1

    def _new_files(self, files: list[tuple[Entry, bytes]], digests: list[bytes]) -> list[NewFile]:
        """The first of ``files`` that nothing is to be said of before they are stored."""
        placing = self._role.placing
        found: list[NewFile] = []
        for (entry, data), digest in zip(files, digests, strict=True):
            if digest != entry.digest or entry.path in placing.rules.done:
                break
            try:
                path = placing.path(entry)
            except NameInvalid:
                break
            found.append(NewFile(path, data, *placing.metadata(entry)))
        return found

    def _digest(self, data: bytes) -> bytes:
        hasher = make_hasher(self._role.hash_name)
        hasher.update(data)
        return hasher.digest()

    async def _store_packed(self, entry: Entry, packed: Packed) -> None:
        data = unpack(packed.data, packed.size)
        if data is None:
            raise DigestMismatch(entry.path, "packed")
        await self._store_one(entry, data, self._digest(data), len(data) - len(packed.data))

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
            await resolve(upload.commit(role.placing.expected(entry, len(data))))
        except XferError as error:
            put_away(upload, error)
            raise
        await pace(role.limiter, role.connection.clock, len(data) - saved)
        role.stored(entry, upload.path, digest, len(data), 0, saved)
