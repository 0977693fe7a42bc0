"""What a thread does with a lent line: file to line, line to file, hashed on the way.

What is hashed is what is sent, and what is stored: one buffer in between, which stays in the cache.
sendfile saves the sender a copy, but the receiver then reads single pages: measured, a sixth more for
both ends together.
A call moves at most a segment, or some where that takes no time, and waits only for a line that has just
moved a lot, so that no thread is anybody's for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from twisted_xfer.errors import ConnectionLost, RemoteProtocolError
from twisted_xfer.protocols.xfer.content import SEGMENT, Hasher, from_system, store
from twisted_xfer.protocols.xfer.line import Line
from twisted_xfer.protocols.xfer.wire.frames import HEADER, Control, FrameType
from twisted_xfer.protocols.xfer.wire.messages import Segment, read_message
from twisted_xfer.values import Shown

#: One piece; measured: smaller ones cost more calls, and larger ones no less. In TLS, whose records have
#: to stay in the processor's cache as well, larger ones cost more.
PIECE: Final = 512 * 1024
SECURE_PIECE: Final = 256 * 1024
#: The most that one call moves, and that it moves behind each SEGMENT that it has compared itself.
BATCH: Final = 16 * 1024 * 1024
#: So many of them at either end, and none in a call that has lasted so many seconds: the reactor's turn costs a
#: millisecond.
PROOFS: Final = 3
BRIEF: Final = 0.05
#: One whose JSON is longer than any of ours is left to the reactor.
MAX_SEGMENT: Final = 1024
#: A line that has moved so much in one call is waited for, so long at a time and so long in all.
BRISK: Final = 1024 * 1024
PATIENCE: Final = 0.02
WAITS: Final = 10
#: Content begins at a page; its header stands right before it.
_START: Final = 4096


def make_buffer(*, secure: bool) -> memoryview:
    """A buffer for either direction, which holds one piece."""
    return memoryview(bytearray(_START + (SECURE_PIECE if secure else PIECE)))


class _Waiting:
    """How long a call still waits for its line."""

    __slots__ = ("_left", "_line", "_reading")

    def __init__(self, line: Line, *, reading: bool) -> None:
        self._line, self._reading, self._left = line, reading, WAITS

    def worth(self, moved: int) -> bool:
        """Wait, if that is worth it; whether there may be more now."""
        if moved < BRISK or not self._left:
            return False
        self._left -= 1
        return self._line.wait(PATIENCE, reading=self._reading)


@attrs.define(eq=False, repr=False)
class Outflow(Shown):
    """One file on its way out. ``stop`` may be set by the reactor at any time."""

    fd: int
    stream: int
    hasher: Hasher
    position: int
    #: The longest DATA frame that the peer takes.
    max_data: int
    buffer: memoryview
    #: Seconds, as threads may ask for them.
    clock: Callable[[], float]
    #: The offset of the last SEGMENT that was sent on the way.
    said: int = 0
    #: What was taken from the file and not by the line: header and content of one frame.
    pending: memoryview = attrs.field(factory=lambda: memoryview(b""))
    short: bool = False
    stop: bool = False

    def push(self, line: Line, until: int) -> None:
        """Send from ``position`` towards ``until`` as DATA frames, with a SEGMENT behind each whole segment but the last.

        Done early when the line is full, at ``stop``, when the file ends (``short``), or at the end of a
        segment when it has taken long. Raises ConnectionLost, StorageFailure.
        """
        first, began, most = self.position, self.clock(), len(self.buffer) - _START
        waiting = _Waiting(line, reading=False)
        while self._flush(line) or waiting.worth(self.position - first):
            if self.pending:
                continue
            if self.position >= until or self.stop or self.short:
                return
            left = SEGMENT - self.position % SEGMENT
            if left == SEGMENT and self.position not in {first, self.said}:
                if self.clock() - began >= BRIEF:
                    return
                self._say_segment()
                continue
            self._load(min(most, self.max_data, left, until - self.position))

    def _say_segment(self) -> None:
        segment = Segment(stream=self.stream, offset=self.position, digest=self.hasher.digest())
        self.pending, self.said = memoryview(segment.encode()), self.position

    def _flush(self, line: Line) -> bool:
        """Send what is pending; whether all of it is gone."""
        try:
            while self.pending:
                self.pending = self.pending[line.send(self.pending) :]
        except BlockingIOError:
            return False
        return True

    def _load(self, wanted: int) -> None:
        content = self.buffer[_START : _START + wanted]
        try:
            count = os.preadv(self.fd, [content], self.position)
        except OSError as error:
            raise from_system(error) from error
        if not count:
            self.short = True
            return
        self.hasher.update(content[:count])
        HEADER.pack_into(self.buffer, _START - HEADER.size, FrameType.DATA, 0, 0, self.stream, count)
        self.pending = self.buffer[_START - HEADER.size : _START + count]
        self.position += count

    def rest(self) -> bytes:
        """What is pending, which has to go before anything else."""
        rest, self.pending = bytes(self.pending), memoryview(b"")
        return rest


@attrs.define(eq=False, repr=False)
class Inflow(Shown):
    """One file on its way in. ``left`` is what is left of the DATA frame under way."""

    fd: int
    stream: int
    hasher: Hasher
    position: int
    left: int
    max_data: int
    buffer: memoryview
    #: Seconds, as threads may ask for them.
    clock: Callable[[], float]
    #: Where a SEGMENT proved last what is stored; 0 if none did in this call.
    verified: int = 0
    #: What came from the line, and is not of this stream's content.
    unread: bytes = b""
    received: int = 0
    ended: bool = False

    def pull(self, line: Line, pieces: Sequence[bytes], room: int) -> None:
        """Store ``pieces``, then up to ``room`` bytes of the stream's content from the line.

        Done early when nothing comes, or something else does (``unread``). What came is counted in
        ``received`` and ``left`` even if it could not be stored. Raises NoSpace, ReadOnly,
        StorageFailure.
        """
        if pieces:
            store(self.fd, self.position, pieces, self.hasher)
            self.position += sum(map(len, pieces))
        waiting = _Waiting(line, reading=True)
        began, most, proofs = self.clock(), BATCH, PROOFS
        while self.received < min(room, most) and not self.unread and not self.ended:
            stored = self._piece(line, room - self.received)
            if proofs and self._proved(line, began):
                # One more than a segment, to come to the next SEGMENT.
                most, proofs = self.received + BATCH + 1, proofs - 1
            elif not stored and not waiting.worth(self.received):
                return

    def _piece(self, line: Line, room: int) -> bool:
        """One buffer full, stored; False when nothing came."""
        count = 0
        most = min(len(self.buffer) - _START, room)
        try:
            while count < most:
                if not self.left and not self._next_frame(line, room - count):
                    break
                got = line.recv_into(self.buffer[count : min(most, count + self.left)])
                if not got:
                    self.ended = True
                    break
                count += got
                self.left -= got
        except BlockingIOError:
            pass
        except ConnectionLost:
            # The reactor will find that too, and says what it means.
            self.ended = True
        if not count:
            return False
        self.received += count
        store(self.fd, self.position, [self.buffer[:count]], self.hasher)
        self.position += count
        return True

    def _proved(self, line: Line, began: float) -> bool:
        """Whether ``unread`` begins a SEGMENT that all there is agrees with; else it is left to the reactor, which can fail."""
        if len(self.unread) < HEADER.size or self.clock() - began >= BRIEF:
            return False
        kind, flags, reserved, stream, length = HEADER.unpack(self.unread)
        if (kind, flags, reserved, stream) != (FrameType.SEGMENT, 0, 0, self.stream) or length > MAX_SEGMENT:
            return False
        payload = self._read(line, length)
        self.unread += payload
        if len(payload) < length:
            return False
        try:
            said = read_message(Control(FrameType.SEGMENT, stream, payload))
        except RemoteProtocolError:
            return False
        if said != Segment(stream=stream, offset=self.position, digest=self.hasher.digest()):
            return False
        self.unread, self.verified = b"", self.position
        return True

    def _read(self, line: Line, size: int) -> bytes:
        """So many bytes, or what has come of them."""
        view = memoryview(bytearray(size))
        got = 0
        try:
            while got < size:
                count = line.recv_into(view[got:])
                if not count:
                    self.ended = True
                    break
                got += count
        except BlockingIOError:
            pass
        except ConnectionLost:
            self.ended = True
        return bytes(view[:got])

    def _next_frame(self, line: Line, room: int) -> bool:
        """Read a header; False when it is not more of the same content, and then it is ``unread``."""
        header = self._read(line, HEADER.size)
        if len(header) == HEADER.size:
            kind, flags, reserved, stream, length = HEADER.unpack(header)
            same = kind == FrameType.DATA and not flags and not reserved and stream == self.stream
            if same and 0 < length <= min(self.max_data, room):
                self.left = length
                return True
        self.unread = header
        if not header and not self.ended:
            raise BlockingIOError
        return False
