"""Bandwidth in the configuration: ``[throttle]``, and the limits that come of it."""

from __future__ import annotations

import re
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from twisted_xfer.app.rules import Rule, setting
from twisted_xfer.runtime.throttle import Rates, Throttle

#: A terabyte per second, faster than any network card: more is a typing error.
MAX_RATE: Final = 1 << 40
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TEXT: Final = re.compile(r"([0-9]{1,15}) ?([KMG]?)(?:i?B)?")


def _rate(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    if isinstance(value, str):
        match = _TEXT.fullmatch(value.strip())
        if match is None:
            raise ValueError
        value = int(match[1]) * _UNITS[match[2]]
    if not 0 <= value <= MAX_RATE:
        raise ValueError
    return value


RATE: Final = Rule(_rate, 'bytes per second, or a size such as "500K" or "10M" (0: no limit)')


@attrs.frozen
class ThrottleSettings:
    """Bytes per second; 0 is no limit.

    ``up`` and ``down`` hold for the daemon as a whole, ``account_*`` for accounts that have no rate
    of their own, all their sessions together, ``session_*`` for each session.
    """

    up: int = setting(RATE, 0)
    down: int = setting(RATE, 0)
    account_up: int = setting(RATE, 0)
    account_down: int = setting(RATE, 0)
    session_up: int = setting(RATE, 0)
    session_down: int = setting(RATE, 0)


def make_throttle(settings: ThrottleSettings, clock: IReactorTime, workers: int) -> Throttle:
    """The limits for one of ``workers`` processes, each of which has its part of the whole."""

    def part(rate: int) -> int:
        return max(1, rate // workers) if rate else 0

    up = Rates(part(settings.up), settings.account_up, settings.session_up)
    down = Rates(part(settings.down), settings.account_down, settings.session_down)
    return Throttle(clock, up, down)
