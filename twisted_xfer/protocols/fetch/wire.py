"""The bytes of a fetch: ``get NAME``, the size, a word of readiness, the file, its MD5. Pure.

No message has an end. Each is followed by a turn of the other side, so what came when nothing more
comes is the message: the readers are told of silence by whoever has a clock.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError

#: PATH_MAX and a verb: the scripts read 1024 bytes at most.
MAX_COMMAND: Final = 4096 + 16
#: Digits of 2**63 - 1, the largest file there is.
MAX_DIGITS: Final = 19
#: Hex digits of an MD5.
DIGEST_SIZE: Final = 32
READY: Final = b"ready to recv file"


class Asked(NamedTuple):
    """The client wants this file: a path as bytes."""

    name: bytes


class Ready(NamedTuple):
    """The client has the size; whatever it said."""


class Size(NamedTuple):
    """The server has the file."""

    size: int


class Chunk(NamedTuple):
    """Bytes of the file."""

    data: bytes


class Digest(NamedTuple):
    """The file is complete; its MD5 in hex, in lower case, or empty for servers that send none."""

    md5: str


Reply: TypeAlias = Size | Chunk | Digest


def command(name: bytes) -> bytes:
    """What a client asks with.

    Raises:
        LocalProtocolError: a name that a server would not understand: the scripts split at blanks.
    """
    if not name or len(name.split()) != 1 or name.strip() != name or len(name) + 4 > MAX_COMMAND:
        raise LocalProtocolError(detail="a name without blanks is needed")
    return b"get " + name


class CommandReader:
    """The server's side."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._busy = False

    @property
    def pending(self) -> int:
        """Bytes that no event was made of yet."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    def next_event(self) -> Asked | Ready | None:
        """The next event; a command that ends with a line end needs no silence.

        Raises:
            RemoteProtocolError: longer than MAX_COMMAND, or no name in it.
        """
        if self._busy:
            if len(self._buffer) < len(READY) and READY.startswith(self._buffer):
                return None
            self._buffer.clear()
            return Ready()
        at = self._buffer.find(b"\n")
        if (at if at >= 0 else len(self._buffer)) > MAX_COMMAND:
            raise RemoteProtocolError(detail="command too long", limit=MAX_COMMAND)
        if at < 0:
            return None
        name = _name_in(bytes(self._buffer[: at + 1]))
        del self._buffer[: at + 1]
        return Asked(name)

    def silence(self) -> Asked:
        """Nothing more came: what is there is a command. It stays until ``answered``, as more may come.

        Raises:
            RemoteProtocolError: there is no name in it.
        """
        return Asked(_name_in(bytes(self._buffer)))

    def begin(self) -> None:
        """The size was sent: what comes next is the client's readiness."""
        self._buffer.clear()
        self._busy = True

    def finish(self) -> None:
        """The file was sent: what comes next is a command, and what came until now was still readiness."""
        self._buffer.clear()
        self._busy = False


def _name_in(raw: bytes) -> bytes:
    """The second word and what follows: the verb counts for nothing, and blanks may be in a name."""
    words = raw.strip().split(None, 1)
    if len(words) != 2:
        raise RemoteProtocolError(detail="not a command of two words")
    return words[1]


class ReplyReader:
    """The client's side, for one file. ``digest``: whether the server sends an MD5 at the end.

    Bounded: MAX_DIGITS bytes of a size, one read of the file, DIGEST_SIZE bytes of a digest.
    """

    def __init__(self, *, digest: bool) -> None:
        self._buffer = bytearray()
        self._digest = digest
        self._left: int | None = None
        self._done = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    @property
    def begun(self) -> bool:
        """Whether any digit of the size came."""
        return bool(self._buffer) or self._left is not None

    def silence(self) -> Size:
        """Nothing more came: what is there is the size.

        Raises:
            RemoteProtocolError: it is no number.
        """
        raw = bytes(self._buffer)
        if not raw.isdigit() or len(raw) > MAX_DIGITS:
            raise RemoteProtocolError(detail="not a size")
        self._buffer.clear()
        self._left = int(raw)
        return Size(self._left)

    def next_event(self) -> Reply | None:
        """The next event after the size.

        Raises:
            RemoteProtocolError: no size, no digest, or more than was announced.
        """
        buffer = self._buffer
        if self._left is None:
            if buffer and (not buffer.isdigit() or len(buffer) > MAX_DIGITS):
                raise RemoteProtocolError(detail="not a size")
            return None
        if self._left and buffer:
            data = bytes(buffer[: self._left])
            del buffer[: len(data)]
            self._left -= len(data)
            return Chunk(data)
        if self._left:
            return None
        if self._done:
            if buffer:
                raise RemoteProtocolError(detail="more bytes than announced")
            return None
        if self._digest and len(buffer) < DIGEST_SIZE:
            return None
        self._done = True
        if not self._digest:
            return Digest("")
        text = bytes(buffer[:DIGEST_SIZE]).lower()
        del buffer[:DIGEST_SIZE]
        if any(byte not in b"0123456789abcdef" for byte in text):
            raise RemoteProtocolError(detail="not an MD5")
        return Digest(text.decode())
