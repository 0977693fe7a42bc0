"""The role of the receiver: offers in, files out, over any storage."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.errors import Cancelled, XferError
from twisted_xfer.interfaces import IBlocking, IHasFileno, ILimiter, IStorage
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.at_once import begin
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import make_hasher
from twisted_xfer.protocols.xfer.content_in import ContentReceiver
from twisted_xfer.protocols.xfer.errormap import error_message, refusal
from twisted_xfer.protocols.xfer.incoming import Incoming, Waiting, put_away
from twisted_xfer.protocols.xfer.placing import Placing, Rules
from twisted_xfer.protocols.xfer.prefix import be_patient, hash_prefix
from twisted_xfer.protocols.xfer.report import OnEvent, TransferEvent, ignore, skip_kind
from twisted_xfer.protocols.xfer.small_in import SmallFiles
from twisted_xfer.protocols.xfer.wire.frames import Inline, Packed
from twisted_xfer.protocols.xfer.wire.link import Event
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import (
    Abort,
    Ack,
    Done,
    EndOfOffer,
    Entry,
    Files,
    Skip,
    Stored,
    Take,
)
from twisted_xfer.protocols.xfer.wire.peer import Receiver
from twisted_xfer.protocols.xfer.wire.states import EntryState


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
        asking: bool = False,
    ) -> None:
        self.connection = connection
        self.limiter = limiter
        self._asking = asking
        self.placing = Placing(storage, rules, hash_name)
        self.blocking = blocking
        self.books = Receiver(window)
        self.hash_name = hash_name
        self._on_event = on_event
        self._on_finished = on_finished
        self.incoming: dict[int, Incoming] = {}
        self._gone: XferError | None = None
        self._directories = Waiting(self.books.open)
        #: Whether the sender makes a dry run.
        self.asked_only = False
        self._content = ContentReceiver(self)
        connection.on_content = self._content.bytes_came
        self._small = SmallFiles(self)
        self._answers: list[Message] | None = None
        connection.on_pulled = self._small.store

    # --- events ----------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One event of the sender. Raises RemoteProtocolError."""
        if isinstance(event, Inline):
            files = self.books.awaited
            one = self.books.received(event)
            if one is not None:
                self._small.add(one.entry, event.data)
            elif files is not None:
                self._small.add_files(files, event.data)
            return
        if isinstance(event, Files) or (isinstance(event, Entry) and event.inline):
            # Its content is next.
            self.books.received(event)
            return
        if self._small:
            self._small.store()
        one = self.books.received(event)
        if isinstance(event, EndOfOffer):
            if event.failed:
                error = Cancelled(None, f"{event.failed} could not be read at the other end")
                self._on_event(TransferEvent("failed", error=error))
            self.look_finished()
        elif isinstance(event, Entry):
            if event.dry_run:
                self.asked_only = True
                self.run(event, self._asked(event))
            else:
                self.run(event, self._offered(event))
        elif isinstance(event, Packed) and one is not None and one.entry.inline:
            self._small.add_packed(one.entry, event)
        elif isinstance(event, Abort):
            incoming = self.incoming.get(event.stream)
            if incoming is not None:
                error = Cancelled(incoming.entry.path, "given up by the sender")
                self._drop(event.stream, error)
                self._on_event(TransferEvent("failed", incoming.entry.path, error=error))
            self.look_finished()
        elif one is not None:
            self._content.event(one, event)

    def lost(self, reason: XferError) -> None:
        """The connection is gone: what was not whole is kept to be resumed."""
        self._gone = reason
        for stream in list(self.incoming):
            self._drop(stream, reason)

    def gone(self) -> bool:
        """Whether the connection is."""
        return self._gone is not None

    def tell(self, event: TransferEvent) -> None:
        """Tell whoever watches."""
        self._on_event(event)

    @property
    def busy(self) -> bool:
        """Whether entries are open."""
        return bool(self.books.open or self.books.awaited)

    @property
    def watched(self) -> bool:
        """Whether anybody is to be told of each file."""
        return self._on_event is not ignore

    def run(self, entry: Entry, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``; the entry fails with it."""
        begin(work, lambda failure: self.failed(entry, failure))

    def failed(self, entry: Entry, failure: Failure) -> None:
        """This entry failed, with an error of ours or with a bug; the connection goes on."""
        error = failure.value
        if not isinstance(error, XferError):
            self.log.failure("receiving failed", failure)
            error = XferError()
        self._fail(entry, error)

    def look_finished(self) -> None:
        """Tell if that was all."""
        self._directories.look()
        if self.books.finished and self._gone is None:
            self._on_finished()

    def _answer(self, message: Message) -> None:
        if self._gone is None and message.stream in self.books.open:
            self.books.answer(message)
            if self._answers is not None:
                self._answers.append(message)
                return
            self.connection.send(message)
            self.look_finished()

    def _fail(self, entry: Entry, error: XferError) -> None:
        """This entry cannot be; the connection goes on."""
        stream = entry.stream
        self._drop(stream, error)
        one = self.books.open.get(stream)
        self._tell(entry, TransferEvent("failed", entry.path, error=error))
        if one is None or self._gone is not None or one.state is EntryState.FAILED:
            return
        offered = one.state is EntryState.OFFERED
        self._answer(refusal(error, stream) if offered else error_message(error, stream))

    def _drop(self, stream: int, error: XferError) -> None:
        """Let go of an upload: kept to be resumed, unless nothing of it may stay."""
        incoming = self.incoming.pop(stream, None)
        if incoming is None:
            return
        incoming.over = error
        self._content.forget(incoming)
        if not incoming.working:
            put_away(incoming.upload, incoming.over)

    # --- offers ----------------------------------------------------------------------------

    async def _offered(self, entry: Entry) -> None:
        path = self.placing.path(entry)
        if entry.type == "dir":
            most = await self.placing.directory(path)
            await self._directories.turn(entry)
            await self.placing.finish_directory(entry, path, most)
            self._on_event(TransferEvent("done", entry.path, type="dir"))
            self._answer(Done(stream=entry.stream, stored_as=bytes(path)))
            return
        if entry.type == "symlink":
            if not await self.placing.link(entry, path):
                self.skip(entry, "same")
                return
            self._on_event(TransferEvent("done", entry.path, type="symlink"))
            self._answer(Done(stream=entry.stream, stored_as=bytes(path)))
            return
        opened = await self.placing.open(entry, path, resume=True)
        if isinstance(opened, str):
            self.skip(entry, opened)
            return
        upload, policy = opened
        hasher = make_hasher(self.hash_name)
        digest = None
        if upload.offset:
            try:
                hasher = await hash_prefix(
                    self.connection,
                    self.blocking,
                    IHasFileno(upload).fileno(),
                    upload.offset,
                    self.hash_name,
                    wanted=lambda: self._gone is None and entry.stream in self.books.open,
                    # The sender must not take this for silence.
                    on_step=lambda at: self.connection.send(Ack(stream=entry.stream, durable_offset=at)),
                )
            except BaseException:
                put_away(upload, None)
                raise
            digest = hasher.digest()
        if self._gone is not None or entry.stream not in self.books.open:
            put_away(upload, self._gone)
            return
        self.incoming[entry.stream] = Incoming(entry, path, upload, hasher, policy, *(upload.offset,) * 5)
        self._on_event(TransferEvent("started", entry.path, size=entry.size, resumed=upload.offset))
        be_patient(self.connection, upload.offset)
        self._answer(Take(stream=entry.stream, offset=upload.offset, prefix_digest=digest))

    async def _asked(self, entry: Entry) -> None:
        self.skip(entry, await self.placing.ask(entry, self.placing.path(entry)))

    def _tell(self, entry: Entry, event: TransferEvent) -> None:
        # What somebody else only asks about is no transfer here.
        if self._asking or not entry.dry_run:
            self._on_event(event)

    def skip(self, entry: Entry, why: str) -> None:
        """There is nothing to be done for it: say SKIP."""
        kind = skip_kind(why)
        self._tell(entry, TransferEvent(kind, entry.path, type=entry.type, size=entry.size, why=why))
        self._answer(Skip(stream=entry.stream, why=why))

    # --- the end of an entry -----------------------------------------------------------------

    @contextmanager
    def answers_together(self) -> Iterator[None]:
        """What is answered meanwhile is sent in one piece."""
        answers = self._answers = []
        try:
            yield
        finally:
            self._answers = None
        if answers:
            self.connection.send(*answers)
            self.look_finished()

    def stored_together(self, files: Files, count: int, digests: bytes, directory: VirtualPath) -> None:
        """The first ``count`` of them have their names, and nobody watches: say STORED."""
        if self._gone is None and self._answers is not None:
            self._answers.append(Stored(count, digests, bytes(directory), stream=files.stream))

    def stored(
        self, entry: Entry, path: VirtualPath, digest: bytes, size: int, resumed: int, saved: int = 0
    ) -> None:
        """It has its final name: say DONE."""
        stored_as = bytes(path)
        if self.watched:
            event = TransferEvent(
                "done",
                entry.path,
                "file",
                size,
                size,
                resumed,
                digest,
                self.hash_name,
                stored_as,
                saved=saved,
            )
            self._on_event(event)
        self._answer(Done(stream=entry.stream, digest=digest, stored_as=stored_as, size=size))
