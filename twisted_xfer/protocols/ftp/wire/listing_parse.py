"""Listings of other servers to entries: MLSD by RFC 3659, LIST as Unix and MS-DOS servers write it.

A name is refused when it is more than one component: whoever joins it to a directory must not
leave that directory.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final, NamedTuple

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire.timestamps import parse_time

#: A line: PATH_MAX for a name and one for a symlink's target, and room for the columns.
MAX_LISTING_LINE: Final = 2 * 4096 + 256

_NS: Final = 1_000_000_000
_MAX_SIZE: Final = 2**63 - 1
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_UNIX: Final = re.compile(
    rb"([-dlbcpsD])([-rwxsStTlL]{9})[.+@]?[ ]+[0-9]+[ ]+(?:[^ ]+[ ]+){1,2}?([0-9]{1,19})[ ]+"
    rb"(?:([A-Za-z]{3})[ ]+([0-9]{1,2})|([0-9]{1,2})[ ]+([A-Za-z]{3}))[ ]+"
    rb"(?:([0-9]{4})|([0-9]{1,2}):([0-9]{2}))[ ](.+)",
    re.DOTALL,
)
_DOS: Final = re.compile(
    rb"([0-9]{2})-([0-9]{2})-([0-9]{4}|[0-9]{2})[ ]+([0-9]{1,2}):([0-9]{2})[ ]?([AaPp][Mm])?[ ]+"
    rb"(?:(<(?:DIR|JUNCTION)>)|([0-9]{1,19}))[ ]+(.+)",
    re.DOTALL | re.IGNORECASE,
)


class ParsedEntry(NamedTuple):
    """One entry as a server told it; None where it did not.

    ``kind`` is ``file``, ``dir``, ``symlink``, ``other``, or for MLSD ``cdir`` and ``pdir``;
    ``mtime_ns`` of LIST is without a zone and good to a minute or a day, as ``exact`` tells.
    ``perm`` is MLSD's fact, in lower case.
    """

    name: bytes
    kind: str
    size: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    unique: str = ""
    target: bytes | None = None
    perm: str | None = None
    exact: bool = False


def _plain(name: bytes) -> bytes:
    if not name or name in {b".", b".."} or b"/" in name or b"\0" in name:
        raise RemoteProtocolError(name[:80], "not a plain name in a listing")
    return name


def _line(raw: bytes) -> bytes:
    if len(raw) > MAX_LISTING_LINE:
        raise RemoteProtocolError(detail="listing line too long", limit=MAX_LISTING_LINE)
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def _size(text: bytes) -> int | None:
    return value if text.isdigit() and len(text) <= 19 and (value := int(text)) <= _MAX_SIZE else None


_TYPES: Final = {b"file": "file", b"dir": "dir", b"cdir": "cdir", b"pdir": "pdir"}


def parse_mlsd(raw: bytes) -> ParsedEntry:
    """One line of MLSD, or of MLST without its leading space.

    Raises:
        RemoteProtocolError: no facts, a name that is no plain name (except for cdir, pdir), or a
            line over MAX_LISTING_LINE. A fact of a wrong form counts as not told.
    """
    head, space, name = _line(raw).partition(b" ")
    if not space or (head and not head.endswith(b";")):
        raise RemoteProtocolError(raw[:80], "not a line of MLSD")
    facts: dict[bytes, bytes] = {}
    for fact in head.split(b";"):
        key, _, value = fact.partition(b"=")
        facts[key.lower()] = value
    kind_text = facts.get(b"type", b"file")
    kind = _TYPES.get(kind_text.lower(), "other")
    target = None
    if kind_text.lower().startswith((b"os.unix=slink", b"os.unix=symlink")):
        kind = "symlink"
        target = kind_text.partition(b":")[2] or None
    mode_text = facts.get(b"unix.mode", b"")
    perm = facts.get(b"perm")
    try:
        mtime_ns = parse_time(facts[b"modify"])
    except (KeyError, RemoteProtocolError):
        mtime_ns = None
    return ParsedEntry(
        name=name if kind in {"cdir", "pdir"} else _plain(name),
        kind=kind,
        size=_size(facts.get(b"size", b"")),
        mtime_ns=mtime_ns,
        mode=int(mode_text, 8) & 0o7777 if re.fullmatch(rb"[0-7]{1,6}", mode_text) else None,
        unique=facts.get(b"unique", b"").decode("utf-8", "replace"),
        target=target,
        perm=None if perm is None else perm.decode("ascii", "replace").lower(),
        exact=mtime_ns is not None,
    )


def parse_list(raw: bytes, now_s: int) -> ParsedEntry | None:
    """One line of LIST; ``now_s`` gives the year to times that have none.

    None for what is no entry: an empty line, ``total``, ``.`` and ``..``.

    Raises:
        RemoteProtocolError: a line of neither style, one over the limit, or a name with a slash.
    """
    line = _line(raw)
    if not line.strip() or re.fullmatch(rb"[Tt]otal [0-9]+", line):
        return None
    entry = _unix(line, now_s) or _dos(line)
    if entry is None:
        raise RemoteProtocolError(raw[:80], "not a line of LIST")
    if entry.name in {b".", b".."}:
        return None
    _plain(entry.name)
    return entry


def _unix(line: bytes, now_s: int) -> ParsedEntry | None:
    found = _UNIX.fullmatch(line)
    if found is None:
        return None
    letter, bits, size, month_a, day_a, day_b, month_b, year, hour, minute, name = found.groups()
    kind = {b"-": "file", b"d": "dir", b"l": "symlink"}.get(letter, "other")
    target = None
    if kind == "symlink":
        name, arrow, rest = name.partition(b" -> ")
        target = rest if arrow else None
    month = _MONTHS.get((month_a or month_b).lower(), 0)
    day = int(day_a or day_b)
    if year is not None:
        mtime_ns = _time(int(year), month, day, 0, 0)
    else:
        this_year = dt.date.fromordinal(now_s // 86400 + 719163).year
        mtime_ns = _time(this_year, month, day, int(hour), int(minute))
        # A day of grace: the server's zone is not known, and its clock may be ahead.
        if mtime_ns is None or mtime_ns > (now_s + 86400) * _NS:
            mtime_ns = _time(this_year - 1, month, day, int(hour), int(minute))
    return ParsedEntry(name, kind, _size(size), mtime_ns, _mode(bits), target=target)


def _mode(bits: bytes) -> int:
    mode = 0
    for at, letter in enumerate(bits):
        if letter in b"rwxst":
            mode |= 0o400 >> at
        if letter in b"sStT" and at % 3 == 2:
            mode |= 0o4000 >> at // 3
    return mode


def _dos(line: bytes) -> ParsedEntry | None:
    found = _DOS.fullmatch(line)
    if found is None:
        return None
    month, day, year_text, hour_text, minute, half, directory, size, name = found.groups()
    year = int(year_text)
    if year < 100:
        # The pivot of IIS and of POSIX strptime: 70-99 are of the last century.
        year += 1900 if year >= 70 else 2000
    hour = int(hour_text)
    if half is not None:
        hour = hour % 12 + (12 if half.lower() == b"pm" else 0)
    mtime_ns = _time(year, int(month), int(day), hour, int(minute))
    return ParsedEntry(name, "dir" if directory else "file", None if directory else _size(size), mtime_ns)


def _time(year: int, month: int, day: int, hour: int, minute: int) -> int | None:
    try:
        moment = dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * _NS
