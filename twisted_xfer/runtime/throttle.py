"""Bandwidth: one bucket each for a session, its account and the whole daemon, in each direction.

A bucket is a point in time, the one at which everything granted so far would have passed at its
rate. Who finds too little books a share behind those that came before and comes back when its
turn is due: so sessions take turns with equal shares, nobody polls, and a booking costs the same
whether ten sessions wait or ten thousand. A share is small, so that the turns come often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

import attrs
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_xfer.interfaces import Account, ILimiter, LoginContext

#: Seconds of unused rate that may be caught up with: timers come late, and small files need not
#: wait at all. Over 10 s it is 1 %.
BURST: Final = 0.1
#: Seconds of its rate that are one share of a bucket, where that is less than SHARE_BYTES.
SHARE: Final = 0.02
#: A thousand sessions at 10 MiB/s still come to their turn every 6 s.
SHARE_BYTES: Final = 64 * 1024
#: A share of the shared buckets may take this many seconds of a session's own rate: with equal
#: shares a slow session gets the same as the others as far as its own rate goes.
OWN_SHARE: Final = 0.1


#: Of a byte: what sums of many small times may be off by.
_ROUNDING: Final = 1e-3


class Bucket:
    """One rate, in bytes per second, for all that share it."""

    __slots__ = ("__weakref__", "paid", "rate")

    def __init__(self, rate: int, now: float) -> None:
        self.rate = rate
        #: When all that was granted and booked has passed.
        self.paid = now

    def free(self, now: float) -> float:
        """Bytes that may pass at once; below 0 where others have booked."""
        self.paid = max(self.paid, now - BURST)
        return (now - self.paid) * self.rate + _ROUNDING

    def pay(self, size: int) -> None:
        """``size`` bytes are granted, or given back when negative."""
        self.paid += size / self.rate

    @property
    def share(self) -> int:
        """The bytes of one turn."""
        return max(1, min(SHARE_BYTES, int(self.rate * SHARE)))


@implementer(ILimiter)
class Limiter:
    """The buckets of one direction of one session, its own first and the widest last.

    Args:
        clock: whose seconds() counts.
        buckets: at least one.
    """

    __slots__ = ("_booked", "_buckets", "_clock", "_due", "_share")

    def __init__(self, clock: IReactorTime, buckets: Sequence[Bucket]) -> None:
        self._clock = clock
        self._buckets = tuple(buckets)
        self._share = min(buckets[-1].share, *(max(1, int(bucket.rate * OWN_SHARE)) for bucket in buckets))
        self._booked = 0
        self._due = 0.0

    def take(self, wanted: int) -> int:
        """What may move now: all that is free while nobody waits, else a share when its turn has come."""
        now = self._clock.seconds()
        granted = 0
        if self._booked:
            if now < self._due:
                return 0
            granted, self._booked = self._booked, 0
            if granted >= wanted:
                self.give_back(granted - wanted)
                return wanted
        more = wanted - granted
        free = min(int(bucket.free(now)) for bucket in self._buckets)
        share = min(self._share, more)
        if free >= share:
            more = min(more, free)
            self._pay(more)
            return granted + more
        if not granted:
            self._book(share, now)
        return granted

    def give_back(self, unused: int) -> None:
        """Bytes taken but not moved."""
        self._pay(-unused)

    def delay(self) -> float:
        """Seconds until the turn that was booked."""
        return max(0.0, self._due - self._clock.seconds()) if self._booked else 0.0

    def _book(self, share: int, now: float) -> None:
        self._pay(share)
        self._booked = share
        self._due = max(now, *(bucket.paid for bucket in self._buckets))

    def _pay(self, size: int) -> None:
        for bucket in self._buckets:
            bucket.pay(size)


@attrs.frozen
class Rates:
    """Bytes per second of one direction; 0 is no limit.

    ``total`` is for the process, ``account`` for accounts that have no rate of their own, all
    their sessions together, and ``session`` for each session.
    """

    total: int = 0
    account: int = 0
    session: int = 0


class _Direction:
    """The shared buckets of one direction. Those of accounts live as long as their sessions."""

    def __init__(self, clock: IReactorTime, rates: Rates) -> None:
        self._clock = clock
        self._rates = rates
        self._total = Bucket(rates.total, clock.seconds()) if rates.total else None
        self._accounts: WeakValueDictionary[str, Bucket] = WeakValueDictionary()

    def limiter(self, username: str, rate: int) -> Limiter | None:
        now = self._clock.seconds()
        buckets: list[Bucket] = []
        if self._rates.session:
            buckets.append(Bucket(self._rates.session, now - BURST))
        rate = rate or self._rates.account
        if rate:
            bucket = self._accounts.get(username)
            if bucket is None:
                bucket = self._accounts[username] = Bucket(rate, now - BURST)
            # The settings may have changed since the account's last login.
            bucket.rate = rate
            buckets.append(bucket)
        if self._total is not None:
            buckets.append(self._total)
        return Limiter(self._clock, buckets) if buckets else None


class Throttle:
    """Makes the limiters of new sessions: what ``Realm(limiters=...)`` takes.

    Args:
        clock: whose seconds() counts.
        up, down: rates of uploads and of downloads.
    """

    def __init__(self, clock: IReactorTime, up: Rates, down: Rates) -> None:
        self._up = _Direction(clock, up)
        self._down = _Direction(clock, down)

    def __call__(self, account: Account, context: LoginContext, /) -> tuple[ILimiter | None, ILimiter | None]:
        """Limits for upload and for download, or None each."""
        return (
            self._up.limiter(account.username, account.rate_up),
            self._down.limiter(account.username, account.rate_down),
        )
