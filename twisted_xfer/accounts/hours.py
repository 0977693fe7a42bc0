"""When an account may log in: hours of the week, in the daemon's local time."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
#: Windows of one account: a few for each day.
MAX_WINDOWS: Final = 50
_WINDOW: Final = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<to>\d{1,2}:\d{2})",
    re.ASCII,
)


class Window(NamedTuple):
    """Minutes of the day from ``start`` up to, without, ``end``, on ``days`` (Monday is 0).

    One whose ``end`` is not after its ``start`` goes on past midnight, into the day after.
    """

    days: frozenset[int]
    start: int
    end: int


def parse_hours(texts: tuple[str, ...]) -> tuple[Window, ...]:
    """Windows from ``"mon-fri 08:00-18:00"``, ``"sat 22:00-02:00"`` or ``"09:00-17:00"`` (every day).

    Raises:
        ValueError: another form, a day or time that is none, or over MAX_WINDOWS.
    """
    if len(texts) > MAX_WINDOWS:
        raise ValueError("too many")
    return tuple(_window(text) for text in texts)


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(text)
    days = frozenset(range(7))
    if found["first"]:
        first = DAYS.index(found["first"])
        last = DAYS.index(found["last"] or found["first"])
        days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
    return Window(days, _minutes(found["from"]), _minutes(found["to"]))


def _minutes(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if minutes > 59 or hours * 60 + minutes > _DAY_MINUTES:
        raise ValueError(text)
    return hours * 60 + minutes


def within(windows: tuple[Window, ...], weekday: int, minute: int) -> bool:
    """Whether that minute of that day (Monday is 0) lies in one of ``windows``; in none of none."""
    yesterday = (weekday - 1) % 7
    for window in windows:
        if window.start < window.end:
            if weekday in window.days and window.start <= minute < window.end:
                return True
        elif (weekday in window.days and minute >= window.start) or (
            yesterday in window.days and minute < window.end
        ):
            return True
    return False
