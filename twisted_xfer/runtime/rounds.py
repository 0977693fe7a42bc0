"""One timer for all who look at deadlines now and then.

A timed call of its own is a few hundredths of what a short session costs, and most sessions end long
before any deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.interfaces import IRounds

#: Seconds from one round to the next: deadlines of connections are known no better, and need not be.
ROUND_SECONDS: Final = 1.0


@implementer(IRounds)
class Rounds:
    """Calls whoever has joined, round by round; without anybody there are none.

    Attributes:
        joined: who is called, in the order in which they came.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        self.joined: dict[Callable[[float], object], None] = {}
        self._clock = clock
        self._log = log
        self._next: IDelayedCall | None = None

    def join(self, call: Callable[[float], object]) -> None:
        """See IRounds."""
        self.joined[call] = None
        if self._next is None:
            self._next = self._clock.callLater(ROUND_SECONDS, self._round)

    def leave(self, call: Callable[[float], object]) -> None:
        """See IRounds."""
        # The timer stays: where one leaves, the next one mostly comes within the same round.
        self.joined.pop(call, None)

    def stop(self) -> None:
        """No more rounds."""
        self.joined.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _round(self) -> None:
        self._next = self._clock.callLater(ROUND_SECONDS, self._round) if self.joined else None
        now = self._clock.seconds()
        for call in list(self.joined):
            # One that was called before may have made it leave.
            if call in self.joined:
                try:
                    call(now)
                except Exception:  # noqa: BLE001 - one's trouble must not keep others from their deadlines
                    self._log.failure("{call} broke in its round", call=call)
