"""Small new files of an avatar, stored at once: the rights, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.interfaces import IStorage, IStoresNew, NewFile, Right
from twisted_xfer.paths import VirtualPath


def store_new(
    view: IStorage,
    rights_at: Callable[[VirtualPath], frozenset[Right]],
    reporter: Reporter,
    files: Sequence[NewFile],
) -> int:
    """As IStoresNew, for an account without quota; none where somebody is to be asked about each."""
    if reporter.asks or not IStoresNew.providedBy(view):
        return 0
    allowed, enough = 0, None
    for new in files:
        rights = rights_at(new.path)
        # Most accounts have the very same everywhere.
        if rights is not enough:
            if Right.WRITE not in rights:
                break
            enough = rights
        allowed += 1
    began = reporter.clock.seconds()
    count = view.store_new(files if allowed == len(files) else files[:allowed])
    if count and reporter.active:
        seconds = (reporter.clock.seconds() - began) / count
        for new in files[:count]:
            size = len(new.data)
            reporter.uploaded(reporter.next_transfer(), new.path, size, size, seconds, "image")
    return count
