"""The role of the sender: offers out, content behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_xfer.errors import DigestMismatch, RemoteProtocolError, XferError
from twisted_xfer.interfaces import IBlocking, ILimiter
from twisted_xfer.interfaces.answers import waiting
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import hasher_maker
from twisted_xfer.protocols.xfer.content_out import ContentSender
from twisted_xfer.protocols.xfer.errormap import from_peer
from twisted_xfer.protocols.xfer.outgoing import Bell, Outgoing
from twisted_xfer.protocols.xfer.pacing import pace
from twisted_xfer.protocols.xfer.packing import LEAST, pack
from twisted_xfer.protocols.xfer.report import OnEvent, TransferEvent, ignore, skip_kind
from twisted_xfer.protocols.xfer.small_out import read_now, read_small
from twisted_xfer.protocols.xfer.sources import Offer, Source
from twisted_xfer.protocols.xfer.together_out import TogetherSender
from twisted_xfer.protocols.xfer.wire.frames import (
    CONTENT,
    MAX_INLINE,
    Inline,
    Packed,
    encode_packed,
    inline_header,
)
from twisted_xfer.protocols.xfer.wire.link import PACKED_SMALL, TOGETHER, ZSTD, Event
from twisted_xfer.protocols.xfer.wire.messages import (
    Abort,
    Ack,
    Done,
    EndOfOffer,
    Entry,
    Error,
    Refuse,
    Skip,
    Stored,
    Take,
)
from twisted_xfer.protocols.xfer.wire.peer import Sender

#: Frames of small files that are written together, in bytes: measured, a write for each costs a twentieth more.
AT_ONCE: Final = 64 * 1024


class SenderRole:
    """Offers what ``source`` gives, sends what is taken, believes only DONE with an equal digest.

    Memory: ``window`` entries, two pieces of content of CHUNK bytes, small files of AT_ONCE bytes and one more.
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
        self._hasher = hasher_maker(hash_name)
        self.if_exists = if_exists
        self._dry_run = dry_run
        self._on_event = on_event
        self._on_finished = on_finished
        self._on_closed = on_closed
        self._end_stream = end_stream
        self.out: dict[int, Outgoing] = {}
        self._takes: deque[tuple[int, Take]] = deque()
        self._wake_offers = Bell()
        self._wake_content = Bell()
        self._gone: XferError | None = None
        self._entries = self._bytes = self._unoffered = 0
        link = connection.link
        self._packs = link.compression == ZSTD and PACKED_SMALL in link.features
        #: What leaves with the next write. Less than AT_ONCE and one small file.
        self._ready: list[bytes] = []
        self._ready_size = 0
        self._together = TogetherSender(self, window if TOGETHER in link.features else 0)
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
        if isinstance(event, Done):
            # As most are.
            self.books.received(event)
            out = self._answered(event.stream)
            if out is not None:
                self._stored(event, out)
            return
        if isinstance(event, Stored):
            self._together.stored(event)
            return
        if isinstance(event, CONTENT):
            raise RemoteProtocolError(detail="content from a receiver")
        self.books.received(event)
        out = self._answered(event.stream)
        if out is None:
            return
        if isinstance(event, Take):
            self._takes.append((event.stream, event))
            self._wake_content.ring()
        elif isinstance(event, Ack):
            pass
        elif isinstance(event, Skip):
            kind = skip_kind(event.why)
            offer = out.offer
            self._on_event(TransferEvent(kind, offer.path, type=offer.kind, size=offer.size, why=event.why))
            self._close(event.stream)
        elif isinstance(event, Refuse | Error):
            self._failed(event.stream, out, from_peer(event))

    def _answered(self, stream: int) -> Outgoing | None:
        out = self.out.get(stream)
        if out is None:
            self._together.look()
            out = self.out.get(stream)
        return out

    def _stored(self, done: Done, out: Outgoing) -> None:
        offer = out.offer
        path, kind = offer.path, offer.kind
        file = kind == "file"
        if file and done.digest != out.digest:
            self._report_failure(offer, DigestMismatch(path, "the receiver stored something else"))
        else:
            # What has that digest is as long as was offered, whatever is said of it.
            size, stored_as = offer.size, done.stored_as or b""
            position = (done.size if size is None else size) if file else 0
            event = TransferEvent(
                "done",
                path,
                kind,
                size,
                position,
                out.resumed,
                out.digest,
                self.hash_name,
                stored_as,
                saved=out.saved,
            )
            self._on_event(event)
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
        out = self.out.pop(stream, None)
        if out is not None:
            self.closed(out.offer)
        self.go_on()

    def closed(self, offer: Offer) -> None:
        """It was answered for good."""
        self._on_closed(offer)

    def go_on(self) -> None:
        """Something was answered: there is room for offers again, or that was all."""
        self._wake_offers.ring()
        if self.books.finished and self._gone is None:
            self._on_finished()

    def lost(self, reason: XferError) -> None:
        """The connection is gone."""
        self._gone = reason
        self._wake_offers.ring()
        self._wake_content.ring()

    # --- offers ----------------------------------------------------------------------------

    async def _offer_all(self) -> None:
        try:
            while self._gone is None:
                if self.books.room <= len(self._together.collected.offers):
                    self._leave()
                    await self._wake_offers.wait()
                    continue
                if self._ready_size + self._together.collected.size >= AT_ONCE:
                    self._leave()
                if not self._ready and not self._together.collected.offers:
                    full = self.connection.writable()
                    if full is not None:
                        await full
                        continue
                offer: Any = self.source.next()
                if waiting(offer):
                    self._leave()
                    offer = await offer
                    if self.gone():
                        return
                if offer is None:
                    break
                late = self._offer(offer)
                if late is not None:
                    self._leave()
                    await late
        finally:
            self._leave()
            self.source.close()
        if not self.gone():
            self.books.end()
            end = EndOfOffer(self._entries, self._bytes, self._unoffered, stream=self._end_stream)
            self.connection.send(end)
            if self.books.finished:
                self._on_finished()

    def _leave(self) -> None:
        """Send what is ready: before any wait, since nothing would otherwise."""
        self._together.leave()
        if self._ready:
            ready, self._ready = self._ready, []
            self._ready_size = 0
            self.connection.send_raw(b"".join(ready))

    def _offer(self, offer: Offer) -> Coroutine[Any, Any, None] | None:
        """Make an offer ready, or what does so and has to be waited for."""
        size = offer.size
        if offer.problem is not None:
            error = offer.problem if isinstance(offer.problem, XferError) else XferError(offer.path)
            self._not_offered(offer, error)
        elif self._dry_run or offer.kind != "file" or size is None or size > MAX_INLINE:
            self._together.leave()
            entry = self._entry(offer, None)
            self.books.offer(entry)
            self.out[entry.stream] = Outgoing(offer, entry.stream)
            self.make_ready(1, size or 0, self.connection.link.encode(entry))
        elif offer.whole is None or self.limiter is not None or (self._packs and size >= LEAST):
            return self._offer_late(offer)
        else:
            try:
                content = read_now(offer, offer.whole, size)
            except XferError as error:
                self._not_offered(offer, error)
            else:
                self._together.collect(offer, content, self._hasher(content).digest())
        return None

    async def _offer_late(self, offer: Offer) -> None:
        """A small file that takes its time to be read or packed, or is to be slowed down."""
        try:
            content = await read_small(offer)
        except XferError as error:
            self._not_offered(offer, error)
            return
        if self.gone():
            return
        packed = await self.blocking.run(pack, content) if self._packs and len(content) >= LEAST else None
        if self.gone():
            return
        digest = self._hasher(content).digest()
        if packed is None:
            self.offer_small(offer, content, digest)
        else:
            self._offer_packed(offer, len(content), digest, packed)
        if self.limiter is not None:
            self._leave()
            await pace(self.limiter, self.connection.clock, len(packed or content))

    def offer_small(self, offer: Offer, content: bytes, digest: bytes) -> None:
        """Offer a small file by itself, with its content behind it."""
        entry = self._entry(offer, digest)
        stream, size = entry.stream, len(content)
        self.books.offer_whole(entry, Inline(stream, content))
        self.out[stream] = Outgoing(offer, stream, digest)
        begins = self.connection.link.encode(entry) + inline_header(stream, size)
        self.make_ready(1, size, begins, content)

    def _offer_packed(self, offer: Offer, size: int, digest: bytes, packed: bytes) -> None:
        """The same, compressed."""
        entry = self._entry(offer, digest)
        stream = entry.stream
        self.books.offer_whole(entry, Packed(stream, size, packed))
        self.out[stream] = Outgoing(offer, stream, digest, size - len(packed))
        self.make_ready(1, size, self.connection.link.encode(entry), encode_packed(stream, size, packed))

    def make_ready(self, entries: int, size: int, *frames: bytes) -> None:
        """To leave with the next write: so many entries, of so many bytes together."""
        self._entries += entries
        self._bytes += size
        self._ready += frames
        self._ready_size += sum(map(len, frames))

    def _entry(self, offer: Offer, digest: bytes | None) -> Entry:
        """What is said of it; with a ``digest`` its content follows at once."""
        return Entry(
            offer.path,
            offer.kind,
            offer.size,
            offer.mode,
            offer.mtime_ns,
            offer.target,
            self.if_exists,
            digest is not None,
            digest,
            self._dry_run,
            stream=self.books.next_number(),
        )

    def _not_offered(self, offer: Offer, error: XferError) -> None:
        self._unoffered += 1
        self._report_failure(offer, error)
        self._on_closed(offer)

    # --- content ---------------------------------------------------------------------------

    async def _send_all(self) -> None:
        while not self.gone():
            if not self._takes:
                await self._wake_content.wait()
                continue
            stream, take = self._takes.popleft()
            out = self.out.get(stream)
            if out is None:
                continue
            try:
                await self._content.send(stream, out, take)
            except XferError as error:
                if out.failed is None:
                    self._report_failure(out.offer, error)
                self._abort(stream)
