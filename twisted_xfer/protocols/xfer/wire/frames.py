"""Frames: a header of 12 bytes and a payload, out of a stream that may be cut anywhere."""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError

#: What each side sends first: name, major version, and bytes that a text-mode transfer would break.
PREAMBLE: Final = b"XFER\x01\r\n\x1a"
HEADER: Final = struct.Struct(">BBHII")
_HEADER_SIZE: Final = HEADER.size
#: One JSON object; the longest legal path in it, base64 and all, takes a tenth.
MAX_CONTROL: Final = 64 * 1024
#: Before somebody is authenticated nothing longer has to be said.
MAX_EARLY: Final = 4 * 1024
#: A file that rides inside its offer.
MAX_INLINE: Final = 64 * 1024
#: Content of one PACKED frame, and so what unpacking it may take. The frame itself is always shorter.
MAX_PACKED: Final = 1024 * 1024
#: What ``max_data`` may be negotiated to, and what it is if nobody asks for less.
DEFAULT_MAX_DATA: Final = 4 * 1024 * 1024
LEAST_MAX_DATA: Final = 4 * 1024
#: Streams are numbered by entries; 31 bits fit every language's integers.
MAX_STREAM: Final = 2**31 - 1
#: Unknown frames with this flag may not be skipped.
CRITICAL: Final = 1


class FrameType(enum.IntEnum):
    """The first byte of a frame."""

    HELLO = 0x01
    SELECT = 0x02
    AUTH = 0x03
    CHALLENGE = 0x04
    RESPONSE = 0x05
    AUTHENTICATED = 0x06
    ENTRY = 0x10
    END_OF_OFFER = 0x11
    TAKE = 0x12
    SKIP = 0x13
    REFUSE = 0x14
    RESTART = 0x15
    DATA = 0x20
    SEGMENT = 0x21
    END = 0x22
    DONE = 0x23
    ACK = 0x24
    INLINE = 0x25
    HOLE = 0x26
    PACKED = 0x27
    FILES = 0x28
    STORED = 0x29
    PING = 0x30
    PONG = 0x31
    ABORT = 0x32
    ERROR = 0x33
    GET = 0x40
    LIST = 0x41
    REMOVE = 0x42


_KNOWN: Final = {int(kind): kind for kind in FrameType}
#: What is no control frame, and its longest; of DATA it is negotiated.
_RAW: Final[dict[FrameType, int]] = {
    FrameType.DATA: 0,
    FrameType.INLINE: MAX_INLINE,
    FrameType.PACKED: MAX_PACKED,
}
#: A member looked up in its enumeration costs five times as much, and these are for each frame.
_DATA: Final = FrameType.DATA
_INLINE: Final = FrameType.INLINE
#: What a PACKED frame begins with: how much content is in it.
_PACKED: Final = struct.Struct(">I")


class Control(NamedTuple):
    """A whole control frame; ``payload`` is its JSON, not read yet."""

    type: FrameType
    stream: int
    payload: bytes


class Inline(NamedTuple):
    """The whole content of a small file."""

    stream: int
    data: bytes


class Data(NamedTuple):
    """Some bytes of a DATA frame, in order; one frame may come as many of these."""

    stream: int
    data: bytes


class Packed(NamedTuple):
    """``size`` bytes of content, compressed into ``data``: to be unpacked by whoever stores it."""

    stream: int
    size: int
    data: bytes


Frame = Control | Inline | Data | Packed
#: What is no control frame.
CONTENT: Final = (Data, Inline, Packed)


def encode_packed(stream: int, size: int, data: bytes) -> bytes:
    """A PACKED frame.

    Raises:
        LocalProtocolError: it is not shorter than its content, or that is too long.
    """
    length = _PACKED.size + len(data)
    if not length < size <= MAX_PACKED:
        raise LocalProtocolError(None, "packed content out of bounds", size=size, packed=length)
    return HEADER.pack(FrameType.PACKED, 0, 0, stream, length) + _PACKED.pack(size) + data


def encode_frame(kind: FrameType, stream: int, payload: bytes) -> bytes:
    """A control or INLINE frame.

    Raises:
        LocalProtocolError: the payload is too long or the stream has no such number.
    """
    if len(payload) > MAX_CONTROL or not 0 <= stream <= MAX_STREAM:
        raise LocalProtocolError(kind.name, "frame out of bounds", size=len(payload), stream=stream)
    return HEADER.pack(kind, 0, 0, stream, len(payload)) + payload


def inline_header(stream: int, size: int) -> bytes:
    """The header of an INLINE frame, behind which exactly ``size`` bytes have to be sent.

    Raises:
        LocalProtocolError: that is too long or the stream has no such number.
    """
    if size > MAX_INLINE or not 0 <= stream <= MAX_STREAM:
        raise LocalProtocolError(_INLINE.name, "frame out of bounds", size=size, stream=stream)
    return HEADER.pack(_INLINE, 0, 0, stream, size)


def numbered(number: int) -> int:
    """A stream number of our own.

    Raises:
        LocalProtocolError: they are used up.
    """
    if not 1 <= number <= MAX_STREAM:
        raise LocalProtocolError(None, "stream numbers are used up")
    return number


def data_header(stream: int, size: int) -> bytes:
    """The header of a DATA frame, behind which exactly ``size`` bytes have to be sent."""
    return HEADER.pack(FrameType.DATA, 0, 0, stream, size)


def _read_packed(stream: int, payload: bytes) -> Packed:
    """Raises RemoteProtocolError."""
    if not stream or len(payload) <= _PACKED.size:
        raise RemoteProtocolError(detail="empty or unnumbered PACKED")
    (size,) = _PACKED.unpack_from(payload)
    if not len(payload) < size <= MAX_PACKED:
        raise RemoteProtocolError(detail="packed content out of bounds", limit=MAX_PACKED)
    return Packed(stream, size, payload[_PACKED.size :])


class FrameReader:
    """The reader: feed with receive_data, pull with next_frame until None.

    What the peer controls is bounded here: a control frame by ``max_control``, DATA by
    ``max_data``, INLINE by MAX_INLINE, PACKED by MAX_PACKED, a skipped frame by MAX_CONTROL. DATA is passed on as it
    comes, so the buffer never holds more than one other frame and what was fed last.
    """

    __slots__ = ("_buffer", "_data_left", "_data_stream", "_fresh", "_skip", "max_control", "max_data", "raw")

    def __init__(self, max_control: int = MAX_EARLY, max_data: int = DEFAULT_MAX_DATA) -> None:
        self.max_control = max_control
        self.max_data = max_data
        #: Whether DATA and INLINE may come at all: not before somebody is authenticated.
        self.raw = False
        self._buffer = bytearray()
        self._fresh = b""
        self._data_left = 0
        self._data_stream = 0
        self._skip = 0

    @property
    def pending(self) -> int:
        """Bytes fed that no frame was made of yet."""
        return len(self._buffer) + len(self._fresh)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream could end here without cutting a frame."""
        return not self.pending and not self._data_left and not self._skip

    def receive_data(self, data: bytes) -> None:
        """Take bytes; whoever reads the network bounds how many before they are pulled."""
        if self._data_left and not self._buffer and not self._fresh:
            # Content goes through without a copy.
            self._fresh = data
            return
        if self._fresh:
            self._buffer += self._fresh
            self._fresh = b""
        self._buffer += data

    def pass_content(self, data: bytes) -> int:
        """The stream whose content all of ``data`` is, or 0: then it is for receive_data.

        For the many small pieces in which TLS hands out a large frame.
        """
        if self._data_left > len(data) and not self._buffer and not self._fresh:
            self._data_left -= len(data)
            return self._data_stream
        return 0

    def content_left(self) -> tuple[int, int]:
        """Stream and length of content that comes next, nothing being buffered; zeros if something else does.

        For whoever reads the network past this, and says so with ``content_passed``.
        """
        if self._data_left and not self._buffer and not self._fresh:
            return self._data_stream, self._data_left
        return 0, 0

    def content_passed(self, left: int) -> None:
        """All but ``left`` bytes of the content went past, of this or a later frame of the same stream."""
        self._data_left = left

    def next_frame(self) -> Frame | None:
        """The next frame, or some bytes of DATA; None when more is needed.

        Raises:
            RemoteProtocolError: a limit or a rule of the header is broken.
        """
        buffer = self._buffer
        while True:
            if self._data_left:
                return self._more_data()
            if self._skip:
                cut = min(self._skip, len(buffer))
                del buffer[:cut]
                self._skip -= cut
                if self._skip:
                    return None
            if len(buffer) < _HEADER_SIZE:
                return None
            number, flags, reserved, stream, length = HEADER.unpack_from(buffer)
            if reserved or stream > MAX_STREAM:
                raise RemoteProtocolError(detail="bad frame header")
            kind = _KNOWN.get(number)
            if kind is None:
                if flags & CRITICAL:
                    raise RemoteProtocolError(detail="unknown critical frame", type=number)
                if length > self.max_control:
                    raise RemoteProtocolError(detail="frame too long", limit=self.max_control)
                del buffer[:_HEADER_SIZE]
                self._skip = length
                continue
            most = _RAW.get(kind)
            if most is None:
                limit = self.max_control
            elif self.raw:
                limit = most or self.max_data
            else:
                raise RemoteProtocolError(detail="content before authentication")
            if length > limit:
                raise RemoteProtocolError(detail="frame too long", limit=limit)
            if kind is _DATA:
                if not length or not stream:
                    raise RemoteProtocolError(detail="empty or unnumbered DATA")
                del buffer[:_HEADER_SIZE]
                self._data_left, self._data_stream = length, stream
                continue
            end = _HEADER_SIZE + length
            if len(buffer) < end:
                return None
            payload = bytes(buffer[_HEADER_SIZE:end])
            del buffer[:end]
            # tuple.__new__ halves the cost of a named tuple.
            if most is None:
                return tuple.__new__(Control, (kind, stream, payload))
            if kind is _INLINE:
                return tuple.__new__(Inline, (stream, payload))
            return _read_packed(stream, payload)

    def _more_data(self) -> Data | None:
        buffer = self._buffer
        if self._fresh:
            data, self._fresh = self._fresh, b""
            if len(data) > self._data_left:
                buffer += data[self._data_left :]
                data = data[: self._data_left]
            self._data_left -= len(data)
            return Data(self._data_stream, data)
        if not buffer:
            return None
        if len(buffer) <= self._data_left:
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(buffer[: self._data_left])
            del buffer[: self._data_left]
        self._data_left -= len(data)
        return Data(self._data_stream, data)
