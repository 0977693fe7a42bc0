"""Content on its way out: from where the receiver takes it, with SEGMENTs between, to END."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted_xfer.interfaces import IHasFileno, IReadFile
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.bulk_out import send_bulk
from twisted_xfer.protocols.xfer.content import (
    AT_ONCE,
    CHUNK,
    SEGMENT,
    Hasher,
    load,
    make_hasher,
)
from twisted_xfer.protocols.xfer.holes import find_hole, hash_zeros, is_sparse
from twisted_xfer.protocols.xfer.pacing import Pieces, pace
from twisted_xfer.protocols.xfer.packing import REST, pays
from twisted_xfer.protocols.xfer.packing import pack as pack_piece
from twisted_xfer.protocols.xfer.prefix import hash_prefix
from twisted_xfer.protocols.xfer.report import TransferEvent
from twisted_xfer.protocols.xfer.sources import Stream, has_changed
from twisted_xfer.protocols.xfer.wire.frames import MAX_PACKED, Data, Packed, encode_packed
from twisted_xfer.protocols.xfer.wire.link import HOLES, ZSTD
from twisted_xfer.protocols.xfer.wire.messages import MAX_HOLE, End, Hole, Restart, Segment, Take

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.outgoing import Outgoing
    from twisted_xfer.protocols.xfer.sending import SenderRole

#: Larger pieces make OpenSSL's buffers so large that the kernel maps them anew each time: measured,
#: four times the system time.
TLS_PIECE: Final = 256 * 1024


class ContentSender:
    """Sends the content of one entry after the other. Bounded: two pieces of CHUNK bytes."""

    def __init__(self, role: SenderRole, max_data: int) -> None:
        self._role = role
        self._piece = min(max_data, TLS_PIECE if role.connection.secure else CHUNK)
        self._packs = role.connection.link.compression == ZSTD
        #: Pieces of a stream that go as they are, after one that did not shrink.
        self._rest = 0
        self._pieces = Pieces()

    async def send(self, stream: int, out: Outgoing, take: Take) -> None:
        """Send what was taken, END included. Raises what the receiver or the file made of it."""
        file = await resolve(out.offer.open())
        try:
            hasher, position = make_hasher(self._role.hash_name), 0
            if take.offset:
                hasher, position = await self._go_on(stream, out, file, take)
            if out.failed is not None:
                raise out.failed
            out.resumed = position
            self._role.tell(TransferEvent("started", out.offer.path, size=out.offer.size, resumed=position))
            await self._content(stream, out, file, hasher, position)
        finally:
            file.close(out.failed or self._role.gone_because)

    async def _go_on(self, stream: int, out: Outgoing, file: IReadFile, take: Take) -> tuple[Hasher, int]:
        """Where to go on: behind the prefix if the receiver's is ours, else at 0."""
        if IHasFileno.providedBy(file):
            fd = IHasFileno(file).fileno()
            role = self._role
            hasher = await hash_prefix(
                role.connection,
                role.blocking,
                fd,
                take.offset,
                role.hash_name,
                wanted=lambda: not role.gone() and out.failed is None,
            )
            if hasher.digest() == take.prefix_digest:
                file.advance(take.offset)
                return hasher, take.offset
        if not self._role.gone() and out.failed is None:
            message = Restart(stream=stream)
            self._role.books.sent(message)
            self._role.connection.send(message)
        return make_hasher(self._role.hash_name), 0

    async def _content(
        self, stream: int, out: Outgoing, file: IReadFile, hasher: Hasher, position: int
    ) -> None:
        offer, size = out.offer, out.offer.size
        until = size
        sparse = self._sparse(file, size)
        while not self._role.gone():
            if sparse is not None and size is not None:
                until, end = await self._role.blocking.run(find_hole, sparse, position, size)
                if position == until < end:
                    position = await self._hole(stream, out, hasher, position, end)
                    file.advance(position - file.offset)
                    continue
            reached = await self._segments(stream, out, file, hasher, position, until)
            if reached != until or reached == size:
                # All of it, or the file ended early.
                position = reached
                break
            position = reached
        if self._role.gone():
            return
        out.digest = hasher.digest()
        changed = has_changed(file, offer) or (size is not None and position != size)
        message = End(stream=stream, size=position, digest=out.digest, changed=changed)
        self._role.books.sent(message)
        self._role.connection.send(message)

    def _sparse(self, file: IReadFile, size: int | None) -> int | None:
        """The descriptor, if holes are to be looked for."""
        if size is None or HOLES not in self._role.connection.link.features:
            return None
        if not IHasFileno.providedBy(file):
            return None
        fd = IHasFileno(file).fileno()
        return fd if is_sparse(fd) else None

    async def _hole(self, stream: int, out: Outgoing, hasher: Hasher, position: int, end: int) -> int:
        """Say what is a hole in as many frames as it takes, a SEGMENT behind it; where it went on to."""
        while position < end:
            full = self._role.connection.writable()
            if full is not None:
                await full
            if self._role.gone():
                return position
            if out.failed is not None:
                raise out.failed
            count = min(MAX_HOLE, end - position)
            message = Hole(stream=stream, size=count)
            self._role.books.sent(message)
            self._role.connection.send(message)
            # Said before it is hashed, so that both ends hash at once.
            await self._role.blocking.run(hash_zeros, hasher, count)
            position += count
            out.saved += count
            self._role.tell(TransferEvent("progress", out.offer.path, size=out.offer.size, position=position))
        if not self._role.gone() and out.failed is None:
            segment = Segment(stream=stream, offset=position, digest=hasher.digest())
            self._role.books.sent(segment)
            self._role.connection.send(segment)
        return position

    async def _segments(
        self, stream: int, out: Outgoing, file: IReadFile, hasher: Hasher, position: int, until: int | None
    ) -> int:
        """As ``_data``, with a look at each segment of a file whether packing it pays."""
        self._rest = 0
        fd = IHasFileno(file).fileno() if IHasFileno.providedBy(file) else -1
        if not self._packs or until is None or fd < 0:
            return await self._data(stream, out, file, hasher, position, until, pack=self._packs)
        while position < until:
            stop = min(until, position - position % SEGMENT + SEGMENT)
            paying = await self._role.blocking.run(pays, fd, position)
            reached = await self._data(stream, out, file, hasher, position, stop, pack=paying)
            if reached != stop:
                return reached
            position = stop
        return position

    async def _data(
        self,
        stream: int,
        out: Outgoing,
        file: IReadFile,
        hasher: Hasher,
        position: int,
        until: int | None,
        *,
        pack: bool,
    ) -> int:
        """Send content up to ``until``, or all of it; where it ends, earlier if the file or the connection does.

        Raises what the receiver or the file made of it.
        """
        offer = out.offer
        if not pack:
            position = await send_bulk(self._role, out, file, hasher, position, until)
        while True:
            if self._role.gone():
                return position
            if out.failed is not None:
                raise out.failed
            wanted = self._wanted(until, position, MAX_PACKED if pack else self._piece)
            # Read before there is room: the next piece is ready when the line is.
            data = await self._read(file, position, wanted, hasher, out) if wanted else b""
            if not data:
                return position
            packed = await self._pack(data) if pack else None
            full = self._role.connection.writable()
            if full is not None:
                await full
            if self._role.gone() or out.failed is not None:
                continue
            self._say(stream, out, data, packed)
            position += len(data)
            waited = await pace(self._role.limiter, self._role.connection.clock, len(packed or data))
            self._pieces.waited(waited)
            if self._role.gone() or out.failed is not None:
                continue
            self._role.tell(TransferEvent("progress", offer.path, size=offer.size, position=position))
            if not position % SEGMENT:
                segment = Segment(stream=stream, offset=position, digest=hasher.digest())
                self._role.books.sent(segment)
                self._role.connection.send(segment)

    async def _pack(self, data: bytes) -> bytes | None:
        """Compressed, if it shrinks; after a piece that does not, some more are not tried."""
        if self._rest:
            self._rest -= 1
            return None
        packed: bytes | None = await self._role.blocking.run(pack_piece, data)
        if packed is None:
            self._rest = REST
        return packed

    def _say(self, stream: int, out: Outgoing, data: bytes, packed: bytes | None) -> None:
        if packed is not None:
            self._role.books.sent(Packed(stream, len(data), packed))
            self._role.connection.send_raw(encode_packed(stream, len(data), packed))
            out.saved += len(data) - len(packed)
            return
        # max_data may be less than a piece that was read to be packed.
        for at in range(0, len(data), self._piece):
            part = data[at : at + self._piece]
            self._role.books.sent(Data(stream, part))
            self._role.connection.send_data(stream, part)

    def _wanted(self, until: int | None, position: int, piece: int) -> int:
        """How much to read next: not across a segment's end, not beyond the size announced."""
        piece = piece if self._role.limiter is None else min(piece, self._pieces.most)
        wanted = min(piece, SEGMENT - position % SEGMENT)
        return wanted if until is None else min(wanted, until - position)

    async def _read(self, file: IReadFile, position: int, size: int, hasher: Hasher, out: Outgoing) -> bytes:
        offer = out.offer
        if offer.size is not None and IHasFileno.providedBy(file):
            fd = IHasFileno(file).fileno()
            if offer.size <= AT_ONCE:
                data = load(fd, position, size, hasher)
            else:
                data = await self._role.blocking.run(load, fd, position, size, hasher)
            file.advance(len(data))
            return data
        data = await (self._next(file, size, out) if isinstance(file, Stream) else resolve(file.read(size)))
        hasher.update(data)
        return data

    async def _next(self, stream: Stream, size: int, out: Outgoing) -> bytes:
        """What comes next, however late, unless nobody is there any more to take it."""
        while not self._role.gone():
            if out.failed is not None:
                raise out.failed
            data: bytes | None = await self._role.blocking.run(stream.read_soon, size)
            if data is not None:
                return data
        return b""
