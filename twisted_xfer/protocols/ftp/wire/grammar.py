"""Arguments of commands, each parsed once, with exact bounds.

Every parser returns a value or raises RemoteProtocolError with a ``detail`` for the 501 reply.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire.globs import Glob, ListArgument, parse_list_argument, split_glob
from twisted_xfer.protocols.ftp.wire.timestamps import format_time, parse_time

__all__ = [
    "MAX_OFFSET",
    "Glob",
    "ListArgument",
    "format_227",
    "format_229",
    "format_eprt",
    "format_port",
    "format_time",
    "parse_allo",
    "parse_chmod",
    "parse_eprt",
    "parse_epsv",
    "parse_facts",
    "parse_host_port",
    "parse_idle",
    "parse_list_argument",
    "parse_mdtm",
    "parse_mfmt",
    "parse_mode",
    "parse_rest",
    "parse_structure",
    "parse_time",
    "parse_type",
    "parse_utf8",
    "parse_utime",
    "same_address",
    "split_glob",
]

#: Offsets and sizes end where off_t does.
MAX_OFFSET: Final = 2**63 - 1
#: What a site may be asked to wait, in seconds: a day.
MAX_IDLE: Final = 86400
_MAX_MODE: Final = 0o777
_OCTAL: Final = frozenset(b"01234567")


def _decimal(text: bytes, most: int, what: str, least: int = 0) -> int:
    """Plain ASCII digits within bounds: no sign, space or underscore that int() would take."""
    # 19 digits hold MAX_OFFSET; a longer text is refused before int() works on it.
    if not text.isdigit() or len(text) > 19 or not least <= (value := int(text)) <= most:
        raise RemoteProtocolError(detail=f"{what} must be a number from {least} to {most}")
    return value


def parse_host_port(argument: bytes) -> tuple[str, int]:
    """``h1,h2,h3,h4,p1,p2`` of PORT to a dotted address and a port (RFC 959 section 5.3.2)."""
    pieces = argument.split(b",")
    if len(pieces) != 6 or any(len(piece) > 3 for piece in pieces):
        raise RemoteProtocolError(detail="address is not h1,h2,h3,h4,p1,p2")
    numbers = [_decimal(piece, 255, "each part") for piece in pieces]
    port = numbers[4] << 8 | numbers[5]
    if port == 0:
        raise RemoteProtocolError(detail="port 0")
    return ".".join(map(str, numbers[:4])), port


def format_port(host: str, port: int) -> bytes:
    """The argument of PORT."""
    return b"%b,%d,%d" % (host.replace(".", ",").encode("ascii"), port >> 8, port & 255)


def parse_eprt(argument: bytes) -> tuple[str, int]:
    """``|1|132.235.1.2|6275|`` of EPRT with any delimiter (RFC 2428 section 2).

    Raises:
        RemoteProtocolError: with field ``reply`` 522 when it is only the protocol that is unknown.
    """
    delimiter = argument[:1]
    pieces = argument.split(delimiter) if delimiter else []
    if len(pieces) != 5 or pieces[4] or not 33 <= delimiter[0] <= 126:
        raise RemoteProtocolError(detail="address is not |protocol|host|port|")
    _, protocol, host, number, _ = pieces
    if protocol not in {b"1", b"2"}:
        _decimal(protocol, MAX_OFFSET, "network protocol")
        raise RemoteProtocolError(detail="network protocol not supported, use (1,2)", reply=522)
    port = _decimal(number, 65535, "port", 1)
    try:
        text = host.decode("ascii")
        address = ipaddress.IPv4Address(text) if protocol == b"1" else ipaddress.IPv6Address(text)
    except ValueError:
        raise RemoteProtocolError(detail="host is not an address of that protocol") from None
    if "%" in text:
        raise RemoteProtocolError(detail="address with a scope")
    return str(address), port


def format_eprt(host: str, port: int) -> bytes:
    """The argument of EPRT."""
    return b"|%d|%b|%d|" % (2 if ":" in host else 1, host.encode("ascii"), port)


def parse_epsv(argument: bytes) -> int | Literal["ALL"] | None:
    """EPSV: None, a protocol number (1 is IPv4, 2 IPv6, others are for 522), or ``ALL``."""
    if not argument:
        return None
    if argument.upper() == b"ALL":
        return "ALL"
    return _decimal(argument, 65535, "network protocol", 1)


def same_address(one: str, other: str) -> bool:
    """Whether two addresses are one; IPv4 within IPv6 counts as IPv4. False for what is none."""
    try:
        return _address(one) == _address(other)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text)
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def format_227(host: str, port: int) -> bytes:
    """The reply to PASV; ``host`` is a dotted IPv4 address."""
    return b"227 Entering Passive Mode (%b).\r\n" % format_port(host, port)


def format_229(port: int) -> bytes:
    """The reply to EPSV (RFC 2428 section 3)."""
    return b"229 Entering Extended Passive Mode (|||%d|).\r\n" % port


_TYPES: Final[dict[bytes, Literal["A", "I"]]] = {
    b"A": "A",
    b"A N": "A",
    b"I": "I",
    b"L 8": "I",
    b"L8": "I",
}


def parse_type(argument: bytes) -> Literal["A", "I"] | None:
    """TYPE: text, binary, or None for what is for 504 (E, A T, A C, L of another size).

    Raises:
        RemoteProtocolError: no type of RFC 959 at all.
    """
    text = argument.upper()
    if (kind := _TYPES.get(text)) is not None:
        return kind
    if text[:1] in {b"A", b"E", b"I", b"L"} and (len(text) == 1 or text[1:2] == b" " or text[1:].isdigit()):
        return None
    raise RemoteProtocolError(detail="no such type")


def _letter(argument: bytes, supported: bytes, known: frozenset[bytes], what: str) -> bool:
    letter = argument.upper()
    if letter not in known:
        raise RemoteProtocolError(detail=f"no such {what}")
    return letter == supported


def parse_mode(argument: bytes) -> bool:
    """MODE: True for stream, False for block and compressed (504)."""
    return _letter(argument, b"S", frozenset({b"S", b"B", b"C", b"Z"}), "mode")


def parse_structure(argument: bytes) -> bool:
    """STRU: True for file, False for record and page (504)."""
    return _letter(argument, b"F", frozenset({b"F", b"R", b"P"}), "structure")


def parse_rest(argument: bytes) -> int:
    """REST: an offset in bytes (RFC 3659 section 5)."""
    return _decimal(argument, MAX_OFFSET, "offset")


def parse_allo(argument: bytes) -> int:
    """ALLO ``n [R m]``: n, in bytes."""
    size, _, record = argument.partition(b" ")
    if record:
        word, _, length = record.strip(b" ").partition(b" ")
        if word.upper() != b"R":
            raise RemoteProtocolError(detail="ALLO takes a size, and R with a record size")
        _decimal(length.strip(b" "), MAX_OFFSET, "record size")
    return _decimal(size, MAX_OFFSET, "size")


def parse_mfmt(argument: bytes) -> tuple[int, bytes]:
    """MFMT ``YYYYMMDDHHMMSS path``: nanoseconds and the path."""
    stamp, space, path = argument.partition(b" ")
    if not space or not path:
        raise RemoteProtocolError(detail="a time and a path are needed")
    return parse_time(stamp), path


def parse_mdtm(argument: bytes) -> tuple[int | None, bytes]:
    """MDTM ``path``, or ``YYYYMMDDHHMMSS path`` as some clients set times.

    A file may have such a name: whoever answers tries the whole argument as a path first.
    """
    stamp, space, path = argument.partition(b" ")
    if space and path and len(stamp) == 14 and stamp.isdigit():
        return parse_time(stamp), path
    return None, argument


def parse_chmod(argument: bytes) -> tuple[int, bytes]:
    """SITE CHMOD ``mode path``: 1-4 octal digits up to 0777, so no set-id and no sticky bit."""
    digits, space, path = argument.partition(b" ")
    if not space or not path or not 1 <= len(digits) <= 4 or not _OCTAL.issuperset(digits):
        raise RemoteProtocolError(detail="an octal mode and a path are needed")
    mode = int(digits, 8)
    if mode > _MAX_MODE:
        raise RemoteProtocolError(detail="mode above 0777")
    return mode, path


def parse_utime(argument: bytes) -> tuple[int, bytes]:
    """SITE UTIME: modification time in nanoseconds, and the path.

    Both forms that clients send: ``YYYYMMDDhhmm[ss] path``, and
    ``path access modification creation UTC`` with three times.
    """
    words = argument.rstrip(b" ").rsplit(b" ", 4)
    if len(words) == 5 and words[4].upper() == b"UTC" and all(map(_is_stamp, words[1:4])):
        return _stamp(words[2]), words[0]
    stamp, _, path = argument.partition(b" ")
    if not path or not _is_stamp(stamp):
        raise RemoteProtocolError(detail="a time and a path are needed")
    return _stamp(stamp), path


def _is_stamp(text: bytes) -> bool:
    return len(text) in {12, 14} and text.isdigit()


def _stamp(text: bytes) -> int:
    return parse_time(text.ljust(14, b"0"))


def parse_idle(argument: bytes, least: int = 1, most: int = MAX_IDLE) -> int | None:
    """SITE IDLE: seconds within the bounds, or None when it only asks."""
    text = argument.strip(b" ")
    return _decimal(text, most, "seconds", least) if text else None


def parse_utf8(value: bytes) -> bool:
    """OPTS UTF8 ``[ON|OFF]``: whether names are UTF-8 from now on; without a word it is ON."""
    word = value.strip(b" ").upper()
    if word not in {b"", b"ON", b"OFF", b"NLST"}:
        raise RemoteProtocolError(detail="UTF8 takes ON or OFF")
    return word != b"OFF"


def parse_facts(value: bytes, known: Sequence[str]) -> tuple[str, ...]:
    """OPTS MLST ``fact;fact;``: those of ``known`` that were named, in its order (RFC 3659 section 7.9).

    Unknown facts are passed over, and no name at all switches every fact off.
    """
    wanted: Iterable[bytes] = value.strip(b" ").lower().split(b";")
    names = frozenset(wanted)
    return tuple(fact for fact in known if fact.lower().encode("ascii") in names)
