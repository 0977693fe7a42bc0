"""``--limit-rate`` as it is held: a bucket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zope.interface import implementer

from twisted_xfer.interfaces import ILimiter

#: Seconds that may be saved up: what an idle moment leaves is not lost, and no burst lasts longer.
BURST: Final = 1.0


@implementer(ILimiter)
class RateLimit:
    """A bucket that fills with ``rate`` bytes a second of ``seconds()``."""

    def __init__(self, rate: int, seconds: Callable[[], float]) -> None:
        self._rate = rate
        self._seconds = seconds
        self._level = rate * BURST
        self._at = seconds()

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` may move now."""
        now = self._seconds()
        self._level = min(self._rate * BURST, self._level + (now - self._at) * self._rate)
        self._at = now
        granted = min(wanted, int(self._level))
        self._level -= granted
        return granted

    def give_back(self, unused: int) -> None:
        """They did not move after all."""
        self._level += unused

    def delay(self) -> float:
        """Seconds until there is a twentieth of a second's worth."""
        return max(0.0, 0.05 - self._level / self._rate)
