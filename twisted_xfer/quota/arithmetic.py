"""What may be given to whom: the sums of a ledger, without a ledger.

A tally is what is published and what is set aside; both count against the limit, so whatever
order uploads come and end in, what is published never passes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from twisted_xfer.errors import QuotaExceeded
from twisted_xfer.interfaces import QuotaScope

#: One growing upload gets at most this part of what is left at once, so that it does not hold
#: what it may never need and others are refused for it.
SHARES: Final = 64
#: But never less than this, so that the end comes soon: at most 64 such steps.
LEAST_SHARE: Final = 512
#: Bytes that are set aside for an announced size, 16 TiB; an upload that is larger asks for more as it comes. An
#: announcement costs nothing, and the sum of as many as there can be has to stay below SQLite's 2**63.
MOST_AHEAD: Final = 1 << 44


class Tally(NamedTuple):
    """One scope's sums: published bytes and files, and what uploads under way have set aside."""

    bytes: int = 0
    files: int = 0
    reserved_bytes: int = 0
    reserved_files: int = 0

    def published(self, size: int, files: int) -> Tally:
        """After a change of what is published. Never below nothing: what was not counted cannot be missed."""
        return self._replace(bytes=max(0, self.bytes + size), files=max(0, self.files + files))


class Standing(NamedTuple):
    """A scope and its tally."""

    scope: QuotaScope
    tally: Tally


def left_bytes(standing: Standing) -> int | None:
    """Bytes that nobody has published or set aside; None without a limit."""
    limit, tally = standing.scope.limit_bytes, standing.tally
    return None if limit is None else max(0, limit - tally.bytes - tally.reserved_bytes)


def left_files(standing: Standing) -> int | None:
    """The same for files."""
    limit, tally = standing.scope.limit_files, standing.tally
    return None if limit is None else max(0, limit - tally.files - tally.reserved_files)


def admit(standings: Sequence[Standing], size: int | None, files: int) -> int:
    """The bytes to set aside for an upload of ``size`` (None: unknown, so 0) and ``files`` new files.

    At most MOST_AHEAD, though all of ``size`` has to fit.

    Raises:
        QuotaExceeded: a scope has not that much left; fields ``left``, ``unit`` and ``scope``.
    """
    for standing in standings:
        left = left_files(standing)
        if left is not None and left < files:
            raise QuotaExceeded(left=left, unit="files", scope=standing.scope.name)
    wanted = size or 0
    for standing in standings:
        left = left_bytes(standing)
        if left is not None and left < wanted:
            raise QuotaExceeded(left=left, unit="bytes", scope=standing.scope.name)
    return min(wanted, MOST_AHEAD)


def grow(standings: Sequence[Standing], wanted: int, own: int) -> int:
    """How many of ``wanted`` more bytes an upload that holds ``own`` may set aside: at least 1.

    Raises:
        QuotaExceeded: none. ``left`` tells what there is without this upload, since it is dropped.
    """
    granted = wanted
    for standing in standings:
        left = left_bytes(standing)
        if left is not None:
            granted = min(granted, left, max(left // SHARES, LEAST_SHARE))
        if granted <= 0:
            raise QuotaExceeded(left=own, unit="bytes", scope=standing.scope.name)
    return granted
