"""An account's bandwidth limits, as every protocol keeps them."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_xfer.interfaces import ILimiter

#: A limiter that says "at once" and gives nothing must not keep the reactor busy.
LEAST_WAIT: Final = 0.01


async def pace(limiter: ILimiter | None, clock: IReactorTime, moved: int) -> None:
    """Wait until ``moved`` bytes, which have moved already, were allowed."""
    if limiter is None:
        return
    owed = moved
    while owed > 0:
        owed -= limiter.take(owed)
        if owed > 0:
            waiter: Deferred[None] = Deferred()
            clock.callLater(max(limiter.delay(), LEAST_WAIT), waiter.callback, None)
            await waiter
