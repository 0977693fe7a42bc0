"""The role of the sender: offers out, content behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_xfer.errors import DigestMismatch, RemoteProtocolError, SourceChanged, XferError
from twisted_xfer.interfaces import IBlocking, IHasFileno, ILimiter
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import (
    make_hasher,
)
from twisted_xfer.protocols.xfer.content_out import ContentSender
from twisted_xfer.protocols.xfer.errormap import from_peer
from twisted_xfer.protocols.xfer.outgoing import Bell, Outgoing
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.packing import LEAST, pack
from twisted_xfer.protocols.xfer.report import OnEvent, TransferEvent, ignore, skip_kind
from twisted_xfer.protocols.xfer.sources import Offer, Source
from twisted_xfer.protocols.xfer.wire.frames import (
    CONTENT,
    MAX_INLINE,
    FrameType,
    Inline,
    Packed,
    encode_frame,
    encode_packed,
)
from twisted_xfer.protocols.xfer.wire.link import PACKED_SMALL, ZSTD, Event
from twisted_xfer.protocols.xfer.wire.messages import (
    Abort,
    Ack,
    Done,
    EndOfOffer,
    Entry,
    Error,
    Refuse,
    Skip,
    Take,
)
from twisted_xfer.protocols.xfer.wire.peer import Sender


class SenderRole:
    """Offers what ``source`` gives, sends what is taken, believes only DONE with an equal digest.

    Memory: ``window`` entries, two pieces of content of CHUNK bytes.
    """

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        source: Source,
        blocking: IBlocking,
        *,
        window: int,
        hash_name: str,
        max_data: int,
        if_exists: str = "skip-same",
        dry_run: bool = False,
        on_event: OnEvent = ignore,
        on_finished: Callable[[], object] = lambda: None,
        on_closed: Callable[[Offer], object] = lambda _offer: None,
        end_stream: int = 0,
        limiter: ILimiter | None = None,
    ) -> None:
        self.limiter = limiter
        self.connection = connection
        self.source = source
        self.blocking = blocking
        self.books = Sender(window)
        self.hash_name = hash_name
        self.if_exists = if_exists
        self._dry_run = dry_run
        self._on_event = on_event
        self._on_finished = on_finished
        self._on_closed = on_closed
        self._end_stream = end_stream
        self._out: dict[int, Outgoing] = {}
        self._takes: deque[tuple[int, Take]] = deque()
        self._wake_offers = Bell()
        self._wake_content = Bell()
        self._gone: XferError | None = None
        self._entries = self._bytes = self._unoffered = 0
        self._content = ContentSender(self, max_data)

    def start(self) -> None:
        """Begin to offer."""
        for work in (self._offer_all(), self._send_all()):
            Deferred.fromCoroutine(work).addErrback(self._broken)

    def _broken(self, failure: Any) -> None:
        error = failure.value
        if not isinstance(error, XferError):
            self.log.failure("sending failed", failure)
            error = XferError()
        self.connection.fail(error)

    def gone(self) -> bool:
        """Whether the connection is."""
        return self._gone is not None

    @property
    def gone_because(self) -> XferError | None:
        """What ended the connection, if something has."""
        return self._gone

    def tell(self, event: TransferEvent) -> None:
        """Tell whoever watches."""
        self._on_event(event)

    @property
    def busy(self) -> bool:
        """Whether something is still to be done."""
        return not self.books.finished

    # --- answers ---------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One answer of the receiver. Raises RemoteProtocolError."""
        if isinstance(event, CONTENT):
            raise RemoteProtocolError(detail="content from a receiver")
        self.books.received(event)
        out = self._out.get(event.stream)
        if out is None:
            return
        if isinstance(event, Take):
            self._takes.append((event.stream, event))
            self._wake_content.ring()
        elif isinstance(event, Ack):
            pass
        elif isinstance(event, Done):
            self._stored(event, out)
        elif isinstance(event, Skip):
            kind = skip_kind(event.why)
            offer = out.offer
            self._on_event(TransferEvent(kind, offer.path, type=offer.kind, size=offer.size, why=event.why))
            self._close(event.stream)
        elif isinstance(event, Refuse | Error):
            self._failed(event.stream, out, from_peer(event))

    def _stored(self, done: Done, out: Outgoing) -> None:
        offer = out.offer
        if offer.kind == "file" and done.digest != out.digest:
            self._report_failure(offer, DigestMismatch(offer.path, "the receiver stored something else"))
        else:
            self._on_event(
                TransferEvent(
                    "done",
                    offer.path,
                    type=offer.kind,
                    size=offer.size,
                    position=done.size if offer.kind == "file" else 0,
                    resumed=out.resumed,
                    saved=out.saved,
                    digest=out.digest,
                    hash=self.hash_name,
                    stored_as=done.stored_as or b"",
                )
            )
        self._close(done.stream)

    def _failed(self, stream: int, out: Outgoing, error: XferError) -> None:
        self._report_failure(out.offer, error)
        if stream in self.books.open:
            # Its content is under way: whoever sends it says ABORT.
            out.failed = error
            if out.flow is not None:
                out.flow.stop = True
            if not any(number == stream for number, _ in self._takes):
                return
            self._abort(stream)
            return
        self._close(stream)

    def _report_failure(self, offer: Offer, error: XferError) -> None:
        self._on_event(TransferEvent("failed", offer.path, error=error))

    def _abort(self, stream: int) -> None:
        if stream in self.books.open and not self.gone():
            message = Abort(stream=stream)
            self.books.sent(message)
            self.connection.send(message)
        self._close(stream)

    def _close(self, stream: int) -> None:
        out = self._out.pop(stream, None)
        if out is not None:
            self._on_closed(out.offer)
        self._wake_offers.ring()
        if self.books.finished and not self.gone():
            self._on_finished()

    def lost(self, reason: XferError) -> None:
        """The connection is gone."""
        self._gone = reason
        self._wake_offers.ring()
        self._wake_content.ring()

    # --- offers ----------------------------------------------------------------------------

    async def _offer_all(self) -> None:
        try:
            while not self.gone():
                if not self.books.may_offer:
                    await self._wake_offers.wait()
                    continue
                full = self.connection.writable()
                if full is not None:
                    await full
                    continue
                offer = await resolve(self.source.next())
                if self.gone():
                    return
                if offer is None:
                    break
                await self._offer(offer)
        finally:
            self.source.close()
        if not self.gone():
            self.books.end()
            end = EndOfOffer(self._entries, self._bytes, self._unoffered, stream=self._end_stream)
            self.connection.send(end)
            if self.books.finished:
                self._on_finished()

    async def _offer(self, offer: Offer) -> None:
        if offer.problem is not None:
            error = offer.problem if isinstance(offer.problem, XferError) else XferError(offer.path)
            self._not_offered(offer, error)
            return
        content = digest = packed = None
        if not self._dry_run and offer.kind == "file" and offer.size is not None and offer.size <= MAX_INLINE:
            try:
                content = await self._read_small(offer)
            except XferError as error:
                self._not_offered(offer, error)
                return
            if self.gone():
                return
            hasher = make_hasher(self.hash_name)
            hasher.update(content)
            digest = hasher.digest()
            packed = await self._pack(content)
            if self.gone():
                return
        entry = Entry(
            stream=self.books.next_number(),
            path=offer.path,
            type=offer.kind,
            size=offer.size,
            mode=offer.mode,
            mtime_ns=offer.mtime_ns,
            target=offer.target,
            if_exists=self.if_exists,
            inline=content is not None,
            digest=digest,
            dry_run=self._dry_run,
        )
        out = self._out[entry.stream] = Outgoing(offer, stream=entry.stream)
        self._entries += 1
        self._bytes += offer.size or 0
        self.books.offer(entry)
        if content is None:
            self.connection.send(entry)
            return
        out.digest = digest or b""
        if packed is None:
            self.books.sent(Inline(entry.stream, content))
            frame = encode_frame(FrameType.INLINE, entry.stream, content)
        else:
            self.books.sent(Packed(entry.stream, len(content), packed))
            frame = encode_packed(entry.stream, len(content), packed)
            out.saved = len(content) - len(packed)
        self.connection.send_raw(self.connection.link.encode(entry) + frame)
        if self.limiter is not None:
            await pace(self.limiter, self.connection.clock, len(content) - out.saved)

    async def _pack(self, content: bytes) -> bytes | None:
        """A small file compressed, where the other end takes that and it shrinks."""
        link = self.connection.link
        if link.compression != ZSTD or PACKED_SMALL not in link.features or len(content) < LEAST:
            return None
        packed: bytes | None = await self.blocking.run(pack, content)
        return packed

    def _not_offered(self, offer: Offer, error: XferError) -> None:
        self._unoffered += 1
        self._report_failure(offer, error)
        self._on_closed(offer)

    async def _read_small(self, offer: Offer) -> bytes:
        """All of a small file. Raises SourceChanged when it is not the size that was announced."""
        if offer.whole is not None:
            data = offer.whole(offer.size or 0)
            if len(data) != offer.size:
                raise SourceChanged(offer.path)
            return data
        file = await resolve(offer.open())
        try:
            pieces, size = [], 0
            while size <= (offer.size or 0):
                data = await resolve(file.read(MAX_INLINE + 1))
                if not data:
                    break
                pieces.append(data)
                size += len(data)
                if size == offer.size and IHasFileno.providedBy(file):
                    # Less than was asked for: a plain file has no more.
                    break
        finally:
            file.close()
        if size != offer.size:
            raise SourceChanged(offer.path)
        return b"".join(pieces)

    # --- content ---------------------------------------------------------------------------

    async def _send_all(self) -> None:
        while not self.gone():
            if not self._takes:
                await self._wake_content.wait()
                continue
            stream, take = self._takes.popleft()
            out = self._out.get(stream)
            if out is None:
                continue
            try:
                await self._content.send(stream, out, take)
            except XferError as error:
                if out.failed is None:
                    self._report_failure(out.offer, error)
                self._abort(stream)
