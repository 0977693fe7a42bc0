"""Listings for people in the order of names, as far as memory and other sessions allow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_xfer.interfaces import FileInfo, IListing
from twisted_xfer.interfaces.answers import then

#: Entries that are held to be sorted, some 300 KiB. Directories with more come as the storage has them: to
#: sort those too, all of them would be in memory, and the client would wait for the last before the first.
MOST_SORTED: Final = 1000

_BY_NAME: Final = attrgetter("name")

#: Calls in a later turn of the reactor, as ``ControlChannel.later`` does.
Later = Callable[[Callable[[], None]], None]


def next_turn(later: Later) -> Deferred[None]:
    """Fires in a later turn: for loops over directories of any size, which others must not wait for."""
    turn: Deferred[None] = Deferred()
    later(lambda: turn.callback(None))
    return turn


@implementer(IListing)
class Sorted:
    """``inner`` by name if it has at most MOST_SORTED entries, else as it is.

    Args:
        later: calls in a later turn of the reactor; asked for between the batches that are held.
    """

    def __init__(self, inner: IListing, later: Later) -> None:
        self._inner = inner
        self._later = later
        self._held: list[FileInfo] = []
        self._given = 0
        self._gathering = True
        self._whole = False

    def next_batch(self, limit: int = 100) -> list[FileInfo] | Deferred[list[FileInfo]]:
        """At most ``limit`` more; an empty list at the end."""
        if self._gathering:
            return then(self._inner.next_batch(limit), partial(self._gather, limit))
        if self._given < len(self._held):
            batch = self._held[self._given : self._given + limit]
            self._given += len(batch)
            return batch
        if self._whole:
            return []
        self._held = []
        self._given = 0
        return then(self._inner.next_batch(limit), lambda batch: batch)

    def _gather(self, limit: int, batch: list[FileInfo]) -> list[FileInfo] | Deferred[list[FileInfo]]:
        held = self._held
        if not batch:
            self._gathering, self._whole = False, True
            held.sort(key=_BY_NAME)
            return self.next_batch(limit)
        first = not held
        held += batch
        if len(held) > MOST_SORTED:
            self._gathering = False
            return self.next_batch(limit)
        if first:
            # Most directories end here, which the storage tells at once.
            return self.next_batch(limit)
        return next_turn(self._later).addCallback(lambda _: self.next_batch(limit))

    def close(self) -> None:
        """Close the directory."""
        self._held = []
        self._inner.close()
