"""Bytes of the control connection to commands: the server's reader.

Three outcomes: a command, a rejection (the line was taken, the session goes on), or None when
more bytes are needed. No bytes whatever make it raise.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from twisted_xfer.protocols.ftp.wire.replies import (
    BAD_BYTES,
    LINE_TOO_LONG,
    NO_ARGUMENT,
    SURPLUS_ARGUMENT,
    unknown_reply,
)
from twisted_xfer.protocols.ftp.wire.verbs import MAX_VERB, VERBS, Verb

#: A path of PATH_MAX (4096), a verb, SITE and a timestamp before it, CRLF; RFC 959 has no number.
MAX_LINE: Final = 4096 + 64
#: Consumed bytes stay in front of the buffer up to here, so that commands do not move the rest each time.
_COMPACT_AT: Final = 8192

_IAC: Final = b"\xff"
#: C0 controls and DEL: never part of a verb or of an argument that is no path.
_CONTROLS: Final = bytes(range(32)) + b"\x7f"
#: What is left in front of ABOR when a Telnet Synch lost a byte to the urgent channel: IAC IP [IAC] DM.
_SYNCH: Final = b"\xff\xf2\xf4"
#: A line of ABOR, with a Telnet Synch in front of it or not, or else one of QUIT.
_ABORT: Final = re.compile(rb"^[\xff\xf2\xf4]*(?:(?P<abort>ABOR)|QUIT) *\r?\n", re.MULTILINE | re.IGNORECASE)


class Reason(enum.Enum):
    """Why a line is no command."""

    LINE_TOO_LONG = "line too long"
    UNKNOWN = "unknown command"
    SYNTAX = "argument missing"
    SURPLUS = "argument too many"
    BAD_BYTES = "control bytes"


class Command(NamedTuple):
    """A command that the table knows, with an argument of the right arity.

    ``argument`` is raw bytes: a path exactly as sent (CR NUL already read as CR, RFC 2640
    section 3.1); for verbs without a path, outer spaces are gone, for those with one somewhere behind
    the leading ones.
    """

    verb: Verb
    argument: bytes

    def __repr__(self) -> str:
        shown = "***" if self.verb.secret else repr(self.argument)
        return f"Command({self.verb.name.decode('ascii')}, {shown})"


class Rejected(NamedTuple):
    """A line that is no command; ``verb`` is what stood in its place, upper-case and cut short."""

    reason: Reason
    verb: bytes = b""

    @property
    def reply(self) -> bytes:
        """What to answer."""
        if self.reason is Reason.UNKNOWN:
            return unknown_reply(self.verb)
        return _REPLIES[self.reason]


_REPLIES: Final = {
    Reason.LINE_TOO_LONG: LINE_TOO_LONG,
    Reason.BAD_BYTES: BAD_BYTES,
    Reason.SYNTAX: NO_ARGUMENT,
    Reason.SURPLUS: SURPLUS_ARGUMENT,
}


def match(table: Mapping[bytes, Verb], line: bytes) -> Command | Rejected:
    """One line without its end to a command of ``table``; also for what follows SITE."""
    name, _, argument = line.partition(b" ")
    verb = table.get(name) or table.get(name.upper()) or table.get(name.lstrip(_SYNCH).upper())
    if verb is None:
        shown = name[:MAX_VERB].upper()
        readable = shown.translate(None, _CONTROLS)
        return Rejected(Reason.UNKNOWN if len(readable) == len(shown) else Reason.BAD_BYTES, readable)
    if not argument:
        return Rejected(Reason.SYNTAX, verb.name) if verb.argument == "required" else Command(verb, argument)
    if len(argument.translate(None, _CONTROLS)) != len(argument):
        if not (verb.path or verb.raw):
            return Rejected(Reason.BAD_BYTES, verb.name)
        # RFC 2640 section 3.1: a CR within a path is sent as CR NUL. No other NUL or CR can be meant.
        pieces = argument.split(b"\r\0")
        if any(b"\0" in piece or b"\r" in piece for piece in pieces):
            return Rejected(Reason.BAD_BYTES, verb.name)
        argument = b"\r".join(pieces)
    if not (verb.path or verb.secret):
        # Behind a time or a mode comes a path, and blanks at its end are of it.
        argument = argument.lstrip(b" ") if verb.raw else argument.strip(b" ")
    rule = verb.argument
    if rule == "required" and not argument:
        return Rejected(Reason.SYNTAX, verb.name)
    if rule == "none" and argument:
        return Rejected(Reason.SURPLUS, verb.name)
    return Command(verb, argument)


def strip_telnet(data: bytes) -> tuple[bytes, bytes]:
    """Take Telnet commands out (RFC 854); what is cut off in the middle of one comes second.

    IAC IAC is one byte 255. IAC before a byte that is no Telnet command stays as it is: clients
    with one-byte charsets often do not double the letter 255.
    """
    out: list[bytes] = []
    start = 0
    while (at := data.find(_IAC, start)) >= 0:
        out.append(data[start:at])
        rest = data[at + 1 : at + 3]
        code = rest[0] if rest else 251
        if code == 255:
            out.append(_IAC)
            start = at + 2
        elif code < 240:
            out.append(_IAC)
            start = at + 1
        elif code < 251:
            start = at + 2
        elif len(rest) < 2:
            return b"".join(out), data[at:]
        else:
            start = at + 3
    out.append(data[start:])
    return b"".join(out), b""


def _without_telnet(line: bytes) -> bytes:
    """A line as it is without Telnet: commands (a Synch before ABOR, say) stand in front of the verb.

    Behind it only IAC IAC means something. What looks like a command there is a name in a charset
    with a letter 255 (cp1251, koi8-r) from a client that does not double it: those have been seen,
    and Telnet commands within a path have not.
    """
    verb, blank, argument = line.partition(b" ")
    return strip_telnet(verb)[0] + blank + argument.replace(_IAC + _IAC, _IAC)


class ServerWire:
    """The reader. Feed it with receive_data, pull with next_command until None.

    A line that did not end holds at most ``max_line`` bytes; whole lines that were not pulled
    yet are bounded by the caller, who stops reading the network while it does not pull.
    """

    __slots__ = ("_buffer", "_line", "_max_line", "_scanned", "_start", "_swallowing", "_verbs")

    def __init__(self, verbs: Mapping[bytes, Verb] = VERBS, max_line: int = MAX_LINE) -> None:
        self._verbs = verbs
        self._max_line = max_line
        self._buffer = bytearray()
        #: One whole line, which came by itself, as most do: it needs no buffer.
        self._line = b""
        self._start = 0
        self._scanned = 0
        self._swallowing = False

    @property
    def pending(self) -> int:
        """Bytes received that no command was made of yet."""
        return len(self._buffer) - self._start + len(self._line)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self._swallowing:
            end = data.find(b"\n")
            if end < 0:
                return
            self._swallowing = False
            data = data[end + 1 :]
        if self._line:
            self._buffer += self._line
            self._line = b""
        elif not self._buffer and data.find(b"\n") == len(data) - 1:
            # Also for no data at all: -1 either way, and nothing to keep.
            self._line = data
            return
        self._buffer += data

    def next_command(self) -> Command | Rejected | None:
        """The next command or rejection; None when a whole line is not there yet."""
        line = self._line
        if line:
            self._line = b""
            return self._take(line[:-1])
        buffer = self._buffer
        if not buffer:
            return None
        start = self._start
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if len(buffer) - start > self._max_line:
                verb = bytes(buffer[start : start + MAX_VERB]).partition(b" ")[0].upper()
                self._drop()
                self._swallowing = True
                return Rejected(Reason.LINE_TOO_LONG, verb.translate(None, _CONTROLS))
            if start:
                del buffer[:start]
                self._start = 0
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[start:end])
        self._start = self._scanned = end = end + 1
        if end == len(buffer):
            buffer.clear()
            self._start = self._scanned = 0
        elif end > _COMPACT_AT:
            del buffer[:end]
            self._start = self._scanned = 0
        return self._take(line)

    def _take(self, line: bytes) -> Command | Rejected:
        """A whole line, without its LF."""
        if len(line) > self._max_line:
            verb = line[:MAX_VERB].partition(b" ")[0].upper()
            return Rejected(Reason.LINE_TOO_LONG, verb.translate(None, _CONTROLS))
        line = line.removesuffix(b"\r")
        if 0xFF in line:
            line = _without_telnet(line)
        return match(self._verbs, line)

    def take_abort(self) -> Command | None:
        """The first ABOR among the lines that were not pulled yet, taken out of its turn; None without.

        One that stands behind QUIT does not count.
        """
        if self._line:
            self._buffer += self._line
            self._line = b""
        found = _ABORT.search(self._buffer, self._start)
        span = found.span() if found is not None and found.lastgroup == "abort" else None
        # A bytearray that a match looks at cannot shrink.
        del found
        if span is None:
            return None
        command = self._take(bytes(self._buffer[span[0] : span[1] - 1]))
        del self._buffer[span[0] : span[1]]
        self._scanned = self._start
        return command if isinstance(command, Command) else None

    def clear(self) -> int:
        """Drop what is buffered; how many bytes it was.

        After AUTH TLS anything but 0 means that somebody put commands in front of the handshake.
        """
        dropped = self.pending
        self._drop()
        self._swallowing = False
        return dropped

    def _drop(self) -> None:
        self._buffer.clear()
        self._line = b""
        self._start = self._scanned = 0
