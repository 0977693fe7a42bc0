"""``--limit-rate``: so many bytes a second."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import click
from zope.interface import implementer

from twisted_xfer.interfaces import ILimiter

_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_RATE: Final = re.compile(r"(\d{1,12})([kmg]?)\Z", re.IGNORECASE)
#: Seconds that may be saved up: what an idle moment leaves is not lost, and no burst lasts longer.
BURST: Final = 1.0


def rate(text: str) -> int:
    """Bytes a second, out of a number with k, M or G behind it for thousands. Raises click.BadParameter."""
    match = _RATE.match(text)
    found = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not found:
        raise click.BadParameter(f"{text!r}: write bytes a second, such as 500k or 2M")
    return found


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
