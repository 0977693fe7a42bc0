"""The role of the receiver: offers in, files out, over any storage."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_xfer.errors import (
    Cancelled,
    DigestMismatch,
    ForbiddenPath,
    RemoteProtocolError,
    SourceChanged,
    XferError,
)
from twisted_xfer.interfaces import IBlocking, IHasFileno, ILimiter, IStorage, IUpload
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import AT_ONCE, CHUNK, SEGMENT, hash_prefix, make_hasher, store
from twisted_xfer.protocols.xfer.errormap import error_message, refusal
from twisted_xfer.protocols.xfer.incoming import Incoming, Waiting, put_away
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.placing import Placing, Rules
from twisted_xfer.protocols.xfer.report import WOULD, OnEvent, TransferEvent, ignore
from twisted_xfer.protocols.xfer.wire.frames import Data, Inline
from twisted_xfer.protocols.xfer.wire.link import Event
from twisted_xfer.protocols.xfer.wire.messages import (
    Abort,
    Ack,
    Done,
    End,
    EndOfOffer,
    Entry,
    Message,
    Restart,
    Segment,
    Skip,
    Take,
)
from twisted_xfer.protocols.xfer.wire.peer import Open, Receiver
from twisted_xfer.protocols.xfer.wire.states import EntryState

#: Content that waits for the disk, on one connection; past it we stop reading.
MAX_QUEUED: Final = 2 * CHUNK


class ReceiverRole:
    """Answers offers and stores content.

    Memory: MAX_QUEUED of content for all streams, one Incoming for each open entry (the window).
    """

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        storage: IStorage,
        blocking: IBlocking,
        *,
        window: int,
        hash_name: str,
        rules: Rules,
        on_event: OnEvent = ignore,
        on_finished: Callable[[], object] = lambda: None,
        limiter: ILimiter | None = None,
    ) -> None:
        self.connection = connection
        self._limiter = limiter
        self.placing = Placing(storage, rules, hash_name)
        self.blocking = blocking
        self.books = Receiver(window)
        self.hash_name = hash_name
        self._on_event = on_event
        self._on_finished = on_finished
        self._incoming: dict[int, Incoming] = {}
        self._queued = 0
        self._gone: XferError | None = None
        self._directories = Waiting(self.books.open)
        #: Whether the sender makes a dry run.
        self.asked_only = False
        connection.on_content = self.content

    # --- events ----------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One event of the sender. Raises RemoteProtocolError."""
        one = self.books.received(event)
        if isinstance(event, EndOfOffer):
            if event.failed:
                error = Cancelled(None, f"{event.failed} could not be read at the other end")
                self._on_event(TransferEvent("failed", error=error))
            self._look_finished()
        elif isinstance(event, Entry):
            if event.dry_run:
                self.asked_only = True
                self._run(event, self._asked(event))
            elif not event.inline:
                self._run(event, self._offered(event))
        elif isinstance(event, Inline) and one is not None:
            self._run(one.entry, self._small(one.entry, event.data))
        elif isinstance(event, Abort):
            incoming = self._incoming.get(event.stream)
            if incoming is not None:
                error = Cancelled(incoming.entry.path, "given up by the sender")
                self._drop(event.stream, error)
                self._on_event(TransferEvent("failed", incoming.entry.path, error=error))
            self._look_finished()
        elif one is not None:
            self._content(one, event)

    def content(self, stream: int, data: bytes) -> None:
        """The same as ``event(Data(stream, data))``, for less. Raises RemoteProtocolError."""
        one, incoming = self.books.open.get(stream), self._incoming.get(stream)
        size = None if one is None else one.entry.size
        if (
            one is None
            or incoming is None
            or one.state is not EntryState.MOVING
            or (size is not None and one.position + len(data) > size)
        ):
            self.event(Data(stream, data))
            return
        one.position += len(data)
        self._enqueue(incoming, data)

    def lost(self, reason: XferError) -> None:
        """The connection is gone: what was not whole is kept to be resumed."""
        self._gone = reason
        for stream in list(self._incoming):
            self._drop(stream, reason)

    @property
    def busy(self) -> bool:
        """Whether entries are open."""
        return bool(self.books.open)

    def _run(self, entry: Entry, work: Coroutine[Any, Any, None]) -> None:
        def failed(failure: Any) -> None:
            error = failure.value
            if not isinstance(error, XferError):
                self.log.failure("receiving failed", failure)
                error = XferError()
            self._fail(entry, error)

        Deferred.fromCoroutine(work).addErrback(failed)

    def _look_finished(self) -> None:
        self._directories.look()
        if self.books.finished and self._gone is None:
            self._on_finished()

    def _answer(self, message: Message) -> None:
        if self._gone is None and message.stream in self.books.open:
            self.books.answer(message)
            self.connection.send(message)
            self._look_finished()

    def _fail(self, entry: Entry, error: XferError) -> None:
        """This entry cannot be; the connection goes on."""
        stream = entry.stream
        self._drop(stream, error)
        one = self.books.open.get(stream)
        self._on_event(TransferEvent("failed", entry.path, error=error))
        if one is None or self._gone is not None or one.state is EntryState.FAILED:
            return
        offered = one.state is EntryState.OFFERED
        self._answer(refusal(error, stream) if offered else error_message(error, stream))

    def _drop(self, stream: int, error: XferError) -> None:
        """Let go of an upload: kept to be resumed, unless nothing of it may stay."""
        incoming = self._incoming.pop(stream, None)
        if incoming is None:
            return
        incoming.over = error
        self._queued -= incoming.forget()
        if not incoming.working:
            put_away(incoming.upload, incoming.over)
        self._maybe_resume()

    # --- offers ----------------------------------------------------------------------------

    def _path(self, entry: Entry) -> VirtualPath:
        return VirtualPath.parse(entry.path, self.placing.rules.base)

    async def _offered(self, entry: Entry) -> None:
        path = self._path(entry)
        if entry.type == "dir":
            await self.placing.directory(path)
            await self._directories.turn(entry)
            await self.placing.finish_directory(entry, path)
            self._on_event(TransferEvent("done", entry.path, type="dir"))
            self._answer(Done(stream=entry.stream, stored_as=bytes(path)))
            return
        if entry.type == "symlink":
            raise ForbiddenPath(entry.path, "symbolic links are not taken here")
        opened = await self.placing.open(entry, path, resume=True)
        if isinstance(opened, str):
            self._skip(entry, opened)
            return
        upload, policy = opened
        hasher = make_hasher(self.hash_name)
        digest = None
        if upload.offset:
            try:
                hasher = await self.blocking.run(
                    hash_prefix, IHasFileno(upload).fileno(), upload.offset, self.hash_name
                )
            except BaseException:
                put_away(upload, None)
                raise
            digest = hasher.digest()
        if self._gone is not None or entry.stream not in self.books.open:
            put_away(upload, self._gone)
            return
        self._incoming[entry.stream] = Incoming(entry, path, upload, hasher, policy, *(upload.offset,) * 5)
        self._on_event(TransferEvent("started", entry.path, size=entry.size, resumed=upload.offset))
        self._answer(Take(stream=entry.stream, offset=upload.offset, prefix_digest=digest))

    async def _asked(self, entry: Entry) -> None:
        self._skip(entry, await self.placing.ask(entry, self._path(entry)))

    def _skip(self, entry: Entry, why: str) -> None:
        kind = "would" if why in WOULD else "skipped"
        self._on_event(TransferEvent(kind, entry.path, type=entry.type, size=entry.size, why=why))
        self._answer(Skip(stream=entry.stream, why=why))

    # --- small files -----------------------------------------------------------------------

    async def _small(self, entry: Entry, data: bytes) -> None:
        hasher = make_hasher(self.hash_name)
        hasher.update(data)
        digest = hasher.digest()
        if digest != entry.digest:
            raise DigestMismatch(entry.path, self.hash_name)
        path = self._path(entry)
        opened = await self.placing.open(entry, path, resume=False)
        if isinstance(opened, str):
            self._skip(entry, opened)
            return
        upload = opened[0]
        try:
            left = memoryview(data)
            while left:
                room = upload.reserve(len(left))
                await resolve(upload.write(left[:room]))
                left = left[room:]
            await resolve(upload.commit(self.placing.expected(entry, len(data))))
        except XferError as error:
            put_away(upload, error)
            raise
        await pace(self._limiter, self.connection.clock, len(data))
        self._stored(entry, upload, digest, len(data), 0)

    def _stored(self, entry: Entry, upload: IUpload, digest: bytes, size: int, resumed: int) -> None:
        stored_as = bytes(upload.path)
        event = TransferEvent("done", entry.path, "file", size, size, resumed, digest)
        self._on_event(attrs.evolve(event, hash=self.hash_name, stored_as=stored_as))
        self._answer(Done(stream=entry.stream, digest=digest, stored_as=stored_as, size=size))

    # --- content ---------------------------------------------------------------------------

    def _content(self, one: Open, event: Event) -> None:
        incoming = self._incoming.get(event.stream)
        if incoming is None:
            # Failed already: dropped until the sender has noticed.
            self._look_finished()
            return
        if isinstance(event, Data):
            self._enqueue(incoming, event.data)
            return
        if not isinstance(event, Segment | End | Restart):
            raise RemoteProtocolError(detail="not for a sender to say")
        incoming.queue.append(event)
        self._start(incoming)

    def _enqueue(self, incoming: Incoming, data: bytes) -> None:
        incoming.queue.append(data)
        self._queued += len(data)
        if self._queued >= MAX_QUEUED:
            self.connection.pause()
        self._start(incoming)

    def _start(self, incoming: Incoming) -> None:
        if not incoming.working:
            incoming.working = True
            self._run(incoming.entry, self._work(incoming))

    async def _work(self, incoming: Incoming) -> None:
        """Do what is in the queue, in order, until it is empty."""
        try:
            while incoming.queue and incoming.over is None:
                item = incoming.queue.popleft()
                if isinstance(item, bytes):
                    await self._store(incoming, incoming.batch(item))
                    await self._pace(incoming)
                elif isinstance(item, Segment):
                    await self._segment(incoming, item)
                elif isinstance(item, Restart):
                    await self._restart(incoming)
                elif isinstance(item, End):
                    await self._end(incoming, item)
        finally:
            incoming.working = False
            if incoming.over is not None:
                put_away(incoming.upload, incoming.over)

    async def _store(self, incoming: Incoming, pieces: list[bytes]) -> None:
        upload, total = incoming.upload, sum(map(len, pieces))
        try:
            room = upload.reserve(total)
            if room >= total:
                await self._write(incoming, pieces, total)
            else:
                # Near a limit: as much as is granted each time, so that it holds to the byte.
                left = memoryview(b"".join(pieces))
                while left and incoming.over is None:
                    await self._write(incoming, [left[:room]], room)
                    left = left[room:]
                    room = upload.reserve(len(left)) if left else 0
        finally:
            self._queued -= total
            self._maybe_resume()
        if incoming.over is None:
            entry, position = incoming.entry, incoming.position
            self._on_event(TransferEvent("progress", entry.path, size=entry.size, position=position))
            if incoming.position - incoming.acked >= SEGMENT:
                incoming.acked = incoming.position
                self.connection.send(Ack(stream=incoming.entry.stream, durable_offset=incoming.position))

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
                await self.blocking.run(store, fd, incoming.position, pieces, incoming.hasher)
            else:
                store(fd, incoming.position, pieces, incoming.hasher)
            upload.advance(size)
        incoming.position += size

    async def _pace(self, incoming: Incoming) -> None:
        """Hold the account's limit; meanwhile the queue fills, and then the line waits."""
        moved, incoming.paced = incoming.position - incoming.paced, incoming.position
        await pace(self._limiter, self.connection.clock, moved)

    def _maybe_resume(self) -> None:
        if self._queued < MAX_QUEUED and self._gone is None:
            self.connection.resume()

    async def _segment(self, incoming: Incoming, segment: Segment) -> None:
        if incoming.hasher.digest() == segment.digest:
            incoming.verified = incoming.position
            return
        await self._cut_back(incoming)
        raise DigestMismatch(incoming.entry.path, "segment", transferred=incoming.position)

    async def _cut_back(self, incoming: Incoming) -> None:
        """Keep only what a SEGMENT has proved, so that resuming does not meet the damage again."""
        entry = incoming.entry
        self._incoming.pop(entry.stream, None)
        self._queued -= incoming.forget()
        self._maybe_resume()
        await self.placing.cut(incoming.upload, entry, incoming.path, incoming.policy, incoming.verified)

    async def _restart(self, incoming: Incoming) -> None:
        """The part is not the beginning of the source: begin anew."""
        entry = incoming.entry
        incoming.upload = await self.placing.anew(incoming.upload, entry, incoming.path, incoming.policy)
        incoming.hasher = make_hasher(self.hash_name)
        incoming.position = incoming.verified = incoming.acked = incoming.resumed = incoming.paced = 0

    async def _end(self, incoming: Incoming, end: End) -> None:
        entry = incoming.entry
        if end.changed or (entry.size is not None and end.size != entry.size):
            raise SourceChanged(entry.path)
        if incoming.hasher.digest() != end.digest:
            await self._cut_back(incoming)
            raise DigestMismatch(entry.path, "at the end")
        try:
            await resolve(incoming.upload.commit(self.placing.expected(entry, incoming.position)))
        except XferError as error:
            incoming.over = error
            self._incoming.pop(entry.stream, None)
            raise
        self._incoming.pop(entry.stream, None)
        incoming.over = None
        self._stored(entry, incoming.upload, end.digest, incoming.position, incoming.resumed)
