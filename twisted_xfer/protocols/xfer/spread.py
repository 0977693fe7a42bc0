"""One source for several connections: files go to whichever has room, a directory after what is in it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred

from twisted_xfer.interfaces import Eventually
from twisted_xfer.interfaces.answers import resolve, waiting
from twisted_xfer.protocols.xfer.sources import Offer, Source
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE

#: Larger files that one connection has in the air while others could have them: one under way, and
#: the next ones asked for.
FEW: Final = 3


class Spread:
    """Shares ``source``. Bounded: what is in the air, which is the windows of the connections.

    A directory gets its times when all of it is there, so it waits until what was offered of it on
    any connection is answered. Once a connection has broken no further directory is offered: what
    that connection did not finish comes with the next attempt, and the directories with it.
    """

    def __init__(self, source: Source) -> None:
        self._source: Any = source
        self._users = 0
        self._broken = False
        self._in_air: dict[bytes, Share] = {}
        self._waiting: list[tuple[bytes, Deferred[None]]] = []
        self._turn: Deferred[None] | None = None
        self._queue: list[Deferred[None]] = []

    def share(self) -> Share:
        """The source of one more connection."""
        self._users += 1
        return Share(self)

    def next(self, share: Share) -> Eventually[Offer | None]:
        """The next offer, for whoever asks first and has not got its hands full: at once, where nothing is to be waited for."""
        if self._turn is not None or (share.large >= FEW and not self._broken):
            return self._later(share)
        found = self._source.next()
        if waiting(found) or (found is not None and found.kind == "dir"):
            return self._later(share, found)
        return self._given(share, found)

    def _given(self, share: Share, offer: Offer | None) -> Offer | None:
        if offer is not None:
            self._in_air[offer.path] = share
            share.large += _is_large(offer)
        return offer

    async def _later(self, share: Share, *asked: Any) -> Offer | None:
        """As ``next``; ``asked`` is what the source has answered already."""
        while True:
            while share.large >= FEW and not self._broken:
                share.waiter = Deferred()
                await share.waiter
            offer, asked = await self._one(*asked), ()
            if offer is not None and offer.kind == "dir":
                await self._below_is_done(offer.path)
                if self._broken:
                    continue
            return self._given(share, offer)

    async def _one(self, *asked: Any) -> Offer | None:
        """One at a time: the source may answer late."""
        if self._turn is not None:
            waiter: Deferred[None] = Deferred()
            self._queue.append(waiter)
            await waiter
        self._turn = Deferred()
        try:
            found: Offer | None = await resolve(asked[0] if asked else self._source.next())
            return found
        finally:
            self._turn = None
            if self._queue:
                self._queue.pop(0).callback(None)

    async def _below_is_done(self, path: bytes) -> None:
        below = path + b"/"
        while not self._broken and any(one.startswith(below) for one in self._in_air):
            waiter: Deferred[None] = Deferred()
            self._waiting.append((below, waiter))
            await waiter

    def closed(self, offer: Offer) -> None:
        """An entry was answered for good."""
        share = self._in_air.pop(offer.path, None)
        if share is not None:
            share.large -= _is_large(offer)
            share.wake()
        self._wake(offer.path)

    def broken(self) -> None:
        """A connection is gone before its time."""
        self._broken = True
        self._wake(None)
        for share in set(self._in_air.values()):
            share.wake()

    def _wake(self, path: bytes | None) -> None:
        ready = [one for one in self._waiting if path is None or path.startswith(one[0])]
        self._waiting = [one for one in self._waiting if one not in ready]
        for _, waiter in ready:
            waiter.callback(None)

    def left(self) -> None:
        """One connection needs no more; with the last the source is closed."""
        self._users -= 1
        if not self._users:
            self._source.close()


def _is_large(offer: Offer) -> bool:
    return offer.kind == "file" and (offer.size is None or offer.size > MAX_INLINE)


class Share:
    """A source of offers for one of the connections. ``large``: files in the air that are not INLINE."""

    def __init__(self, spread: Spread) -> None:
        self._spread: Spread | None = spread
        self.large = 0
        self.waiter: Deferred[None] | None = None

    def wake(self) -> None:
        """Look again whether one more may go."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.callback(None)

    def next(self) -> Eventually[Offer | None]:
        """See Source."""
        return self._spread.next(self) if self._spread is not None else None

    def close(self) -> None:
        """See Source."""
        spread, self._spread = self._spread, None
        if spread is not None:
            spread.left()
