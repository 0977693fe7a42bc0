"""Bytes of the control connection to replies: the client's reader, and what stands in replies."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire.server import strip_telnet
from twisted_xfer.protocols.ftp.wire.timestamps import parse_time
from twisted_xfer.sansio.buffer import ByteBuffer

#: A 257 reply holds a path of at most PATH_MAX (4096) with each quote doubled.
MAX_REPLY_LINE: Final = 8192
#: A reply in all: FEAT and HELP of any server are a tenth of it; STAT of a huge directory is refused.
MAX_REPLY: Final = 64 * 1024

_CODE: Final = re.compile(rb"([1-5][0-9][0-9])([ -]|$)")
_HOST_PORT: Final = re.compile(rb"(?<![0-9])" + rb",".join([rb"([0-9]{1,3})"] * 6) + rb"(?![0-9])")
_PORT_229: Final = re.compile(rb"\(([!-~])\1\1([0-9]{1,5})\1\)")


class Reply(NamedTuple):
    """A reply; ``lines`` is the text of each line without code and line end, as raw bytes.

    Lines in the middle keep what is in front of them, but a repeated ``code-``, as some servers
    send it, is taken off.
    """

    code: int
    lines: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """All lines as one text."""
        return b"\n".join(self.lines)

    @property
    def last(self) -> bytes:
        """The line that ends the reply."""
        return self.lines[-1]

    @property
    def preliminary(self) -> bool:
        """1yz: another reply follows."""
        return self.code < 200

    @property
    def ok(self) -> bool:
        """2yz."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4yz: the same may work later."""
        return 400 <= self.code < 500


class ReplyReader:
    """The reader. Feed it with receive_data, pull with next_reply until None.

    Holds at most one network read on top of MAX_REPLY_LINE and MAX_REPLY bytes.
    """

    __slots__ = ("_buffer", "_code", "_lines", "_size", "_telnet")

    def __init__(self) -> None:
        self._buffer = ByteBuffer(MAX_REPLY + MAX_REPLY_LINE)
        self._telnet = b""
        self._code = b""
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of replies that are not whole yet."""
        return len(self._buffer) + len(self._telnet) + self._size

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the network.

        Raises:
            RemoteProtocolError: more waits than any reply may have.
        """
        if self._telnet or b"\xff" in data:
            data, self._telnet = strip_telnet(self._telnet + data)
        self._buffer.append(data)

    def next_reply(self) -> Reply | None:
        """The next reply; None when it is not whole yet.

        Raises:
            RemoteProtocolError: no code where one must be, or over a limit. The connection is of
                no more use then.
        """
        while (line := self._buffer.take_line(MAX_REPLY_LINE)) is not None:
            self._size += len(line)
            if self._size > MAX_REPLY:
                raise RemoteProtocolError(detail="reply too long", limit=MAX_REPLY)
            line = line.removesuffix(b"\n").removesuffix(b"\r")
            if not self._code:
                found = _CODE.match(line)
                if found is None:
                    raise RemoteProtocolError(line[:40], "reply without a code")
                self._lines.append(line[4:])
                if found[2] == b"-":
                    self._code = found[1]
                    continue
                return self._finish(found[1])
            if line[:3] == self._code and line[3:4] in {b" ", b""}:
                self._lines.append(line[4:])
                return self._finish(self._code)
            self._lines.append(line[4:] if line.startswith(self._code + b"-") else line)
        return None

    def clear(self) -> int:
        """Drop what is buffered, as before a TLS handshake; how many bytes it was."""
        dropped = self.pending
        self._buffer.clear()
        self._telnet = self._code = b""
        self._lines = []
        self._size = 0
        return dropped

    def _finish(self, code: bytes) -> Reply:
        reply = Reply(int(code), tuple(self._lines))
        self._lines = []
        self._code = b""
        self._size = 0
        return reply


def parse_227(text: bytes) -> tuple[str, int]:
    """Host and port of a PASV reply, with or without parentheses (RFC 1123 section 4.1.2.6).

    Raises:
        RemoteProtocolError: there is no such thing in it.
    """
    found = _HOST_PORT.search(text)
    numbers = [int(number) for number in found.groups()] if found is not None else [256]
    if max(numbers) > 255 or not any(numbers[4:]):
        raise RemoteProtocolError(text[:80], "no address in the reply to PASV")
    return ".".join(map(str, numbers[:4])), numbers[4] << 8 | numbers[5]


def parse_229(text: bytes) -> int:
    """The port of an EPSV reply (RFC 2428 section 3).

    Raises:
        RemoteProtocolError: there is no such thing in it.
    """
    found = _PORT_229.search(text)
    if found is None or not 1 <= (port := int(found[2])) <= 65535:
        raise RemoteProtocolError(text[:80], "no port in the reply to EPSV")
    return port


def parse_257(text: bytes) -> bytes:
    """The path of a PWD or MKD reply, doubled quotes made single (RFC 959 appendix II).

    Raises:
        RemoteProtocolError: no quoted path in it.
    """
    start = text.find(b'"')
    at = start + 1 if start >= 0 else len(text)
    while (at := text.find(b'"', at)) >= 0:
        if text[at + 1 : at + 2] != b'"':
            return text[start + 1 : at].replace(b'""', b'"')
        at += 2
    raise RemoteProtocolError(text[:80], "no path in the reply")


def parse_213_size(text: bytes) -> int:
    """Bytes of a SIZE reply.

    Raises:
        RemoteProtocolError: not a number below 2**63.
    """
    digits = text.strip(b" ")
    if not digits.isdigit() or len(digits) > 19 or (size := int(digits)) >= 2**63:
        raise RemoteProtocolError(text[:80], "no size in the reply")
    return size


def parse_213_time(text: bytes) -> int:
    """Nanoseconds of an MDTM reply.

    Raises:
        RemoteProtocolError: not a time.
    """
    return parse_time(text.strip(b" "))


def parse_feat(reply: Reply) -> dict[bytes, bytes]:
    """Feature to parameters of a FEAT reply, both without outer blanks; names are upper-case.

    A feature that comes twice (AUTH TLS, AUTH SSL) has its parameters joined with ``;``.
    """
    features: dict[bytes, bytes] = {}
    for line in reply.lines[1:-1]:
        name, _, value = line.strip(b" \t").partition(b" ")
        name = name.upper()
        if name:
            features[name] = b";".join(filter(None, (features.get(name, b""), value.strip(b" "))))
    return features
