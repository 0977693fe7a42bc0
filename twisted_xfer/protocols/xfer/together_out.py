"""Small files that leave together: collected while they are of one directory, offered in one FILES, answered in one STORED."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted_xfer.errors import DigestMismatch
from twisted_xfer.protocols.xfer.outgoing import Outgoing
from twisted_xfer.protocols.xfer.report import TransferEvent
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire.checks import nearest_time
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, inline_header
from twisted_xfer.protocols.xfer.wire.messages import MAX_FILES, Files, Stored
from twisted_xfer.protocols.xfer.wire.together import digest_of

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.sending import SenderRole

#: So many FILES fill the window: while one is stored, others are on their way.
IN_WINDOW: Final = 4


class Collected:
    """Small files of one directory. Bounded by ``most`` of them, and in content by MAX_INLINE."""

    __slots__ = ("_above", "_digests", "_most", "_names", "contents", "offers", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._above = b""
        self._names: list[bytes] = []
        self._digests: list[bytes] = []
        self.offers: list[Offer] = []
        self.contents: list[bytes] = []
        self.size = 0

    def add(self, offer: Offer, content: bytes, digest: bytes) -> bool:
        """Take one more; False where it does not go with those that are there, or cannot be in a FILES at all."""
        above, _, name = offer.path.rpartition(b"/")
        offers, size = self.offers, self.size + len(content)
        if len(offers) >= self._most or size > MAX_INLINE or (above != self._above and offers):
            return False
        if not name.isascii() and not _is_text(name):
            return False
        self._above, self.size = above, size
        self._names.append(name)
        self._digests.append(digest)
        offers.append(offer)
        self.contents.append(content)
        return True

    def only(self) -> tuple[Offer, bytes, bytes] | None:
        """Offer, content and digest, if it is a single one: by itself it is said in less."""
        return (self.offers[0], self.contents[0], self._digests[0]) if len(self.offers) == 1 else None

    def message(self, stream: int, if_exists: str) -> Files:
        """All of them, from the number ``stream`` on."""
        offers = self.offers
        times = [offer.mtime_ns for offer in offers]
        return Files(
            tuple(self._names),
            tuple(map(len, self.contents)),
            tuple([offer.mode for offer in offers]),
            tuple([time if time is None else nearest_time(time) for time in times]),
            b"".join(self._digests),
            self._above,
            if_exists,
            stream=stream,
        )


def _is_text(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class TogetherSender:
    """What a sender collects, and what it has in the air of it. Bounded by the window, which all of them are in."""

    def __init__(self, role: SenderRole, window: int) -> None:
        self._role = role
        self._most = min(MAX_FILES, window // IN_WINDOW)
        self.collected = Collected(self._most)
        #: By the number of the first.
        self._in_air: dict[int, tuple[Files, list[Offer]]] = {}

    def collect(self, offer: Offer, content: bytes, digest: bytes) -> None:
        """Take one small file, to be offered before the role waits or offers anything else."""
        if not self.collected.add(offer, content, digest):
            self.leave()
            if not self.collected.add(offer, content, digest):
                self._role.offer_small(offer, content, digest)

    def leave(self) -> None:
        """Offer what was collected."""
        collected = self.collected
        if not collected.offers:
            return
        self.collected = Collected(self._most)
        role, offers = self._role, collected.offers
        only = collected.only()
        if only is not None:
            role.offer_small(*only)
            return
        files = collected.message(role.books.next_number(), role.if_exists)
        role.books.offer_files(files)
        self._in_air[files.stream] = files, offers
        header = role.connection.link.encode(files) + inline_header(files.stream, collected.size)
        role.make_ready(len(offers), collected.size, header, *collected.contents)

    def stored(self, stored: Stored) -> None:
        """The first ones of a FILES are stored; the others are answered one by one. Raises RemoteProtocolError."""
        role = self._role
        role.books.received(stored)
        first, count = stored.stream, stored.count
        files, offers = self._in_air[first]
        self._part(first, count)
        size = len(files.digests) // len(files.names)
        whole = files.digests.startswith(stored.digests)
        above = stored.stored_in.rstrip(b"/") + b"/"
        for index, offer in enumerate(offers[:count]):
            digest = files.digests[index * size : (index + 1) * size]
            if whole or stored.digests[index * size : (index + 1) * size] == digest:
                length, stored_as = files.sizes[index], above + files.names[index]
                role.tell(
                    TransferEvent(
                        "done", offer.path, "file", length, length, 0, digest, role.hash_name, stored_as
                    )
                )
            else:
                error = DigestMismatch(offer.path, "the receiver stored something else")
                role.tell(TransferEvent("failed", offer.path, error=error))
            role.closed(offer)
        role.go_on()

    def look(self) -> None:
        """Leave to the role what its books count one by one: an answer has come for one of them."""
        for first in self._in_air.keys() - self._role.books.files.keys():
            self._part(first, 0)

    def _part(self, first: int, begin: int) -> None:
        files, offers = self._in_air.pop(first)
        for index in range(begin, len(offers)):
            self._role.out[first + index] = Outgoing(offers[index], first + index, digest_of(files, index))
