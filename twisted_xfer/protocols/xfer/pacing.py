"""An account's bandwidth limits, as every protocol keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from twisted_xfer.interfaces import ILimiter
from twisted_xfer.protocols.xfer.content import CHUNK

#: A limiter that says "at once" and gives nothing must not keep the reactor busy.
LEAST_WAIT: Final = 0.01
#: Seconds that a piece of content may keep the line silent: the other end takes more for a sender that has stalled.
#: One that keeps it for less than a quarter of that is made larger, since each piece costs the same.
MOST_WAIT: Final = 1.0
#: The first piece, the largest that there is, and the smallest: what goes slower than that a second is not waited for.
FIRST_PIECE: Final = 16 * 1024
LEAST_PIECE: Final = 1024


class Pieces:
    """How large a piece of content may be under a limit: what takes about a second.

    Attributes:
        most: bytes of the next one.
    """

    def __init__(self) -> None:
        self.most = FIRST_PIECE

    def waited(self, seconds: float) -> None:
        """The last one has kept the line so long."""
        if seconds > MOST_WAIT:
            self.most = max(LEAST_PIECE, self.most // 2)
        elif seconds < MOST_WAIT / 4:
            self.most = min(CHUNK, self.most * 2)


def _always() -> bool:
    return True


async def pace(
    limiter: ILimiter | None, clock: IReactorTime, moved: int, wanted: Callable[[], bool] = _always
) -> float:
    """Wait until ``moved`` bytes, which have moved already, were allowed, or it is ``wanted`` no more: so many seconds."""
    if limiter is None:
        return 0.0
    owed, began = moved, clock.seconds()
    while owed > 0 and wanted():
        owed -= limiter.take(owed)
        if owed > 0:
            waiter: Deferred[None] = Deferred()
            clock.callLater(max(limiter.delay(), LEAST_WAIT), waiter.callback, None)
            await waiter
    return clock.seconds() - began
