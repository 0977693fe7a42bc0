"""Content on its way in: a bounded queue for each entry, stored, hashed and compared in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted_xfer.errors import DigestMismatch, RemoteProtocolError, SourceChanged, XferError
from twisted_xfer.interfaces import IHasFileno
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.bulk_in import receive_bulk
from twisted_xfer.protocols.xfer.content import AT_ONCE, CHUNK, SEGMENT, make_hasher, store
from twisted_xfer.protocols.xfer.holes import store_hole, zeros
from twisted_xfer.protocols.xfer.incoming import Incoming, put_away, weight
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.packing import unpack
from twisted_xfer.protocols.xfer.report import TransferEvent
from twisted_xfer.protocols.xfer.wire.frames import Data, Packed
from twisted_xfer.protocols.xfer.wire.link import Event
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import Ack, End, Hole, Restart, Segment
from twisted_xfer.protocols.xfer.wire.peer import Open
from twisted_xfer.protocols.xfer.wire.states import EntryState

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole

#: Content that waits for the disk, on one connection; past it we stop reading.
MAX_QUEUED: Final = 2 * CHUNK


#: Seconds between two ACKs for what waits for a limit: as for PING.
TELL_AFTER: Final = 15.0


class ContentReceiver:
    """Stores what comes for the entries that were taken. Memory: MAX_QUEUED for all of them."""

    def __init__(self, role: ReceiverRole) -> None:
        self._role = role
        self._queued = 0
        self._told = 0.0
        #: Of those who take content from the line, one at a time.
        self.buffer: memoryview | None = None

    def bytes_came(self, stream: int, data: bytes) -> None:
        """The same as the role's ``event(Data(stream, data))``, for less. Raises RemoteProtocolError."""
        one, incoming = self._role.books.open.get(stream), self._role.incoming.get(stream)
        size = None if one is None else one.entry.size
        if (
            one is None
            or incoming is None
            or one.state is not EntryState.MOVING
            or (size is not None and one.position + len(data) > size)
        ):
            self._role.event(Data(stream, data))
            return
        one.position += len(data)
        self._enqueue(incoming, data)

    def event(self, one: Open, event: Event) -> None:
        """What a sender says of content. Raises RemoteProtocolError."""
        incoming = self._role.incoming.get(event.stream)
        if incoming is None:
            # Failed already: dropped until the sender has noticed.
            self._role.look_finished()
            return
        if isinstance(event, Data):
            self._enqueue(incoming, event.data)
            return
        if not isinstance(event, Packed | Segment | End | Restart | Hole):
            raise RemoteProtocolError(detail="not for a sender to say")
        self._enqueue(incoming, event)

    def _enqueue(self, incoming: Incoming, item: bytes | Packed | Message) -> None:
        incoming.queue.append(item)
        self._queued += weight(item)
        if self._queued >= MAX_QUEUED:
            self._role.connection.pause()
        self._start(incoming)

    def _start(self, incoming: Incoming) -> None:
        if not incoming.working:
            incoming.working = True
            self._role.run(incoming.entry, self._work(incoming))

    async def _work(self, incoming: Incoming) -> None:
        """Do what is in the queue, in order, until it is empty."""
        try:
            while incoming.queue and incoming.over is None:
                item = incoming.queue.popleft()
                if isinstance(item, bytes):
                    pieces = incoming.batch(item)
                    if not await receive_bulk(self._role, self, incoming, pieces):
                        await self._store(incoming, pieces)
                    self._progress(incoming)
                    await self._pace(incoming)
                    continue
                try:
                    await self._said(incoming, item)
                finally:
                    self.settle(weight(item))
        finally:
            incoming.working = False
            if incoming.over is not None:
                put_away(incoming.upload, incoming.over)

    async def _said(self, incoming: Incoming, message: Packed | Message) -> None:
        if isinstance(message, Segment):
            await self._segment(incoming, message)
        elif isinstance(message, Hole):
            await self._hole(incoming, message.size)
            self._progress(incoming)
        elif isinstance(message, Packed):
            await self._packed(incoming, message)
            self._progress(incoming)
            await self._pace(incoming)
        elif isinstance(message, Restart):
            await self._restart(incoming)
        elif isinstance(message, End):
            await self._end(incoming, message)

    async def _hole(self, incoming: Incoming, left: int) -> None:
        """Zeros that are not on the line: a hole where files can have one. Quota counts them as any."""
        upload = incoming.upload
        while left and incoming.over is None:
            room = min(left, upload.reserve(left))
            if IHasFileno.providedBy(upload):
                fd = IHasFileno(upload).fileno()
                await self._role.blocking.run(store_hole, fd, incoming.position, room, incoming.hasher)
                upload.advance(room)
            else:
                piece = zeros(room)
                room = len(piece)
                incoming.hasher.update(piece)
                await resolve(upload.write(piece))
            incoming.position += room
            # They did not move.
            incoming.paced += room
            incoming.saved += room
            left -= room

    async def _packed(self, incoming: Incoming, packed: Packed) -> None:
        data = await self._role.blocking.run(unpack, packed.data, packed.size)
        if data is None:
            # Damage on the way shows here first; a bomb ends here as well.
            await self._cut_back(incoming)
            raise DigestMismatch(incoming.entry.path, "packed", transferred=incoming.position)
        saved = packed.size - len(packed.data)
        await self._granted(incoming, [data], packed.size)
        incoming.paced += saved
        incoming.saved += saved

    async def _store(self, incoming: Incoming, pieces: list[bytes]) -> None:
        total = sum(map(len, pieces))
        try:
            await self._granted(incoming, pieces, total)
        finally:
            self.settle(total)

    async def _granted(self, incoming: Incoming, pieces: list[bytes], total: int) -> None:
        upload = incoming.upload
        room = upload.reserve(total)
        if room >= total:
            await self._write(incoming, pieces, total)
            return
        # Near a limit: as much as is granted each time, so that it holds to the byte.
        left = memoryview(b"".join(pieces))
        while left and incoming.over is None:
            await self._write(incoming, [left[:room]], room)
            left = left[room:]
            room = upload.reserve(len(left)) if left else 0

    def settle(self, size: int) -> None:
        """So much of the queue is dealt with."""
        self._queued -= size
        self._maybe_resume()

    def forget(self, incoming: Incoming) -> None:
        """Nothing more is to be done with what waits."""
        self.settle(incoming.forget())

    def _progress(self, incoming: Incoming) -> None:
        if incoming.over is None:
            entry, position = incoming.entry, incoming.position
            self._role.tell(TransferEvent("progress", entry.path, size=entry.size, position=position))
            if incoming.position - incoming.acked >= SEGMENT:
                incoming.acked = incoming.position
                self._role.connection.send(
                    Ack(stream=incoming.entry.stream, durable_offset=incoming.position)
                )

    async def _write(self, incoming: Incoming, pieces: Sequence[bytes | memoryview], size: int) -> None:
        """Store and hash what was granted."""
        upload = incoming.upload
        if not IHasFileno.providedBy(upload):
            for piece in pieces:
                incoming.hasher.update(piece)
                await resolve(upload.write(piece))
        else:
            fd = IHasFileno(upload).fileno()
            if (incoming.entry.size or AT_ONCE + 1) > AT_ONCE:
                await self._role.blocking.run(store, fd, incoming.position, pieces, incoming.hasher)
            else:
                store(fd, incoming.position, pieces, incoming.hasher)
            upload.advance(size)
        incoming.position += size

    async def _pace(self, incoming: Incoming) -> None:
        """Hold the account's limit; meanwhile the queue fills, and then the line waits."""
        moved, incoming.paced = incoming.position - incoming.paced, incoming.position
        await pace(self._role.limiter, self._role.connection.clock, moved, lambda: self._is_wanted(incoming))

    def _is_wanted(self, incoming: Incoming) -> bool:
        """Whether what is held back is still waited for; the sender hears now and then that it is, and goes on waiting."""
        connection = self._role.connection
        now = connection.clock.seconds()
        if incoming.over is None and now - self._told >= TELL_AFTER:
            self._told = now
            connection.send(Ack(stream=incoming.entry.stream, durable_offset=incoming.position))
        return incoming.over is None

    def _maybe_resume(self) -> None:
        if self._queued < MAX_QUEUED and not self._role.gone():
            self._role.connection.resume()

    async def _segment(self, incoming: Incoming, segment: Segment) -> None:
        if incoming.hasher.digest() == segment.digest:
            incoming.verified = incoming.position
            return
        await self._cut_back(incoming)
        raise DigestMismatch(incoming.entry.path, "segment", transferred=incoming.position)

    async def _cut_back(self, incoming: Incoming) -> None:
        """Keep only what a SEGMENT has proved, so that resuming does not meet the damage again."""
        entry = incoming.entry
        self._role.incoming.pop(entry.stream, None)
        self.forget(incoming)
        await self._role.placing.cut(
            incoming.upload, entry, incoming.path, incoming.policy, incoming.verified
        )

    async def _restart(self, incoming: Incoming) -> None:
        """The part is not the beginning of the source: begin anew."""
        entry = incoming.entry
        incoming.upload = await self._role.placing.anew(
            incoming.upload, entry, incoming.path, incoming.policy
        )
        incoming.hasher = make_hasher(self._role.hash_name)
        incoming.position = incoming.verified = incoming.acked = incoming.resumed = incoming.paced = 0
        incoming.saved = 0

    async def _end(self, incoming: Incoming, end: End) -> None:
        entry = incoming.entry
        if end.changed or (entry.size is not None and end.size != entry.size):
            raise SourceChanged(entry.path)
        if incoming.hasher.digest() != end.digest:
            await self._cut_back(incoming)
            raise DigestMismatch(entry.path, "at the end")
        try:
            await resolve(
                incoming.upload.commit(
                    self._role.placing.expected(entry, incoming.upload.path, incoming.position)
                )
            )
        except XferError as error:
            incoming.over = error
            self._role.incoming.pop(entry.stream, None)
            raise
        self._role.incoming.pop(entry.stream, None)
        incoming.over = None
        self._role.stored(
            entry, incoming.upload.path, end.digest, incoming.position, incoming.resumed, incoming.saved
        )
