"""Times on the wire: YYYYMMDDHHMMSS[.fff] in UTC (RFC 3659 section 2.3), and listing columns.

Times are Unix nanoseconds. The calendar is datetime's; no clock is read here.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from twisted_xfer.errors import RemoteProtocolError

_NS: Final = 1_000_000_000
_DAY: Final = 86400
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = 1 - _EPOCH
_LAST_DAY: Final = dt.date.max.toordinal() - _EPOCH
_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
#: HHMM and HH:MM of each minute of a day, so that no line formats them.
_COMPACT_MINUTES: Final = tuple(b"%02d%02d" % divmod(minute, 60) for minute in range(1440))
_CLOCK_MINUTES: Final = tuple(b" %02d:%02d" % divmod(minute, 60) for minute in range(1440))
_SECONDS: Final = tuple(b"%02d" % second for second in range(60))
#: Days remembered in formatted form; a tree seldom spans more, and over it the cache starts anew.
MAX_CACHED_DAYS: Final = 4096

_Day = tuple[bytes, bytes, bytes]
_days: dict[int, _Day] = {}


def _day(number: int) -> _Day:
    """Day ``number`` since 1970 as ``YYYYMMDD``, ``Mon DD`` and ``Mon DD  YYYY``; far ones are clamped."""
    day = dt.date.fromordinal(min(max(number, _FIRST_DAY), _LAST_DAY) + _EPOCH)
    month = b"%b %2d" % (_MONTHS[day.month - 1], day.day)
    made = (b"%04d%02d%02d" % (day.year, day.month, day.day), month, b"%b  %04d" % (month, day.year))
    if len(_days) >= MAX_CACHED_DAYS:
        _days.clear()
    _days[number] = made
    return made


def format_time(time_ns: int) -> bytes:
    """``YYYYMMDDHHMMSS`` for MDTM, MFMT and MLSD; fractions are cut off."""
    number, second = divmod(time_ns // _NS, _DAY)
    day = _days.get(number) or _day(number)
    return day[0] + _COMPACT_MINUTES[second // 60] + _SECONDS[second % 60]


def format_column(time_ns: int, now_s: int) -> bytes:
    """The 12 columns of ``ls -l``: ``Mon DD HH:MM`` within half a year, else ``Mon DD  YYYY``.

    What lies more than a day ahead has its year too, as clients would guess the wrong one.
    """
    second = time_ns // _NS
    number, rest = divmod(second, _DAY)
    day = _days.get(number) or _day(number)
    if now_s - RECENT < second <= now_s + _DAY:
        return day[1] + _CLOCK_MINUTES[rest // 60]
    return day[2]


#: Half a year in seconds, as POSIX ls has it (365.2425 days by two).
RECENT: Final = 15778476


def _number(text: bytes) -> int:
    if not text.isdigit():
        raise RemoteProtocolError(detail="time is not YYYYMMDDHHMMSS")
    return int(text)


def parse_time(text: bytes) -> int:
    """``YYYYMMDDHHMMSS`` with an optional fraction of 1-9 digits to nanoseconds.

    Second 60 is taken for a leap second, the moment before the next minute's second 0.

    Raises:
        RemoteProtocolError: another shape, or a day that no calendar has.
    """
    whole, dot, fraction = text.partition(b".")
    if len(whole) != 14 or (dot and not 1 <= len(fraction) <= 9):
        raise RemoteProtocolError(detail="time is not YYYYMMDDHHMMSS")
    nanoseconds = _number(fraction.ljust(9, b"0")) if dot else 0
    _number(whole)
    hour, minute, second = int(whole[8:10]), int(whole[10:12]), int(whole[12:14])
    if hour > 23 or minute > 59 or second > 60:
        raise RemoteProtocolError(detail="no such time of day")
    try:
        day = dt.date(int(whole[:4]), int(whole[4:6]), int(whole[6:8])).toordinal() - _EPOCH
    except ValueError:
        raise RemoteProtocolError(detail="no such day") from None
    return (day * _DAY + hour * 3600 + minute * 60 + second) * _NS + nanoseconds
