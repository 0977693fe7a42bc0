"""One connection as either side sees it: preamble, frames, handshake, then messages."""

from __future__ import annotations

from typing import Final, Literal

from twisted_xfer.errors import RemoteProtocolError, Unsupported
from twisted_xfer.protocols.xfer.wire.frames import (
    MAX_CONTROL,
    MAX_EARLY,
    PREAMBLE,
    Control,
    Data,
    FrameReader,
    FrameType,
    Inline,
    Packed,
)
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import MAX_WINDOW, Hello, Select, read_message
from twisted_xfer.protocols.xfer.wire.states import CALLER_STEPS, HANDSHAKE, Phase, Step

_STEPS: Final[dict[FrameType, Step]] = {
    FrameType.SELECT: Step.SELECT,
    FrameType.AUTH: Step.AUTH,
    FrameType.CHALLENGE: Step.CHALLENGE,
    FrameType.RESPONSE: Step.RESPONSE,
    FrameType.AUTHENTICATED: Step.AUTHENTICATED,
}
#: A record of TLS that says why there will be none.
_ALERT: Final = b"\x15"
_IN_TLS: Final = "it speaks TLS, or takes no connection from here for now"
#: What may come at any time.
_ANYTIME: Final = frozenset({FrameType.ERROR, FrameType.PING, FrameType.PONG})
#: What may come once the handshake is over.
_AFTERWARDS: Final = frozenset(FrameType) - {FrameType.HELLO} - frozenset(_STEPS)
#: A member looked up in its enumeration costs five times as much, and this one is for each message.
_READY: Final = Phase.READY

Event = Message | Data | Inline | Packed

#: Compressions that can be negotiated.
ZSTD: Final = "zstd"
NONE: Final = "none"
#: What a HELLO may offer beyond the least: entries that only ask, patterns in a GET, HOLE, JOIN, PACKED in
#: place of INLINE, FILES.
DRY_RUN: Final = "dry-run"
FILTER: Final = "filter"
HOLES: Final = "holes"
JOIN: Final = "join"
PACKED_SMALL: Final = "packed-small"
TOGETHER: Final = "files"
FEATURES: Final = (DRY_RUN, FILTER, HOLES, JOIN, PACKED_SMALL, TOGETHER)


def negotiate(caller: Hello, listener: Hello) -> Select:
    """The listener's choice: its own order of preference among what both can.

    Raises:
        Unsupported: there is nothing that both can.
    """
    versions = set(caller.versions) & set(listener.versions)
    hashes = [name for name in listener.hashes if name in caller.hashes]
    compressions = [name for name in listener.compressions if name in caller.compressions]
    if not versions or not hashes or not compressions:
        raise Unsupported(None, "nothing in common")
    return Select(
        version=max(versions),
        hash=hashes[0],
        compression=compressions[0],
        max_data=min(caller.max_data, listener.max_data),
        window=min(caller.window, listener.window, MAX_WINDOW),
    )


def check_select(select: Select, caller: Hello, listener: Hello) -> None:
    """A caller's look at the listener's choice.

    Raises:
        RemoteProtocolError: it chose what was not offered.
    """
    fair = (
        select.version in caller.versions
        and select.hash in caller.hashes
        and select.compression in caller.compressions
        and select.max_data <= min(caller.max_data, listener.max_data)
        and select.window <= min(caller.window, listener.window)
    )
    if not fair:
        raise RemoteProtocolError(detail="SELECT of what was not offered")


class Link:
    """Frames in, messages out, in an order that the tables allow.

    ``receive_data`` and ``next_event`` for what comes, ``encode`` for what is sent: both sides of
    the handshake move the same table. After it, order is a matter of ``peer.Sender`` and
    ``peer.Receiver``. Bounded by FrameReader; before READY by MAX_EARLY.
    """

    __slots__ = ("_greeted", "_introduced", "_reader", "compression", "features", "hellos", "phase", "side")

    def __init__(self, side: Literal["caller", "listener"]) -> None:
        self.side = side
        self.phase = Phase.OPENING
        #: Payloads of the caller's and the listener's HELLO, of which a digest is authenticated.
        self.hellos: list[bytes] = []
        #: What the peer can do beyond the least, as its HELLO says.
        self.features: frozenset[str] = frozenset()
        self.compression = NONE
        self._reader = FrameReader(MAX_EARLY)
        self._greeted = 0
        self._introduced = False

    @property
    def pending(self) -> int:
        """Bytes received that were not looked at yet."""
        return self._reader.pending

    @property
    def at_boundary(self) -> bool:
        """Whether nothing would be cut if the connection ended here."""
        return self._reader.at_boundary

    def receive_data(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            RemoteProtocolError: they do not begin with the preamble.
        """
        left = len(PREAMBLE) - self._greeted
        if left:
            head = data[:left]
            if head != PREAMBLE[self._greeted : self._greeted + len(head)]:
                raise RemoteProtocolError(detail=_IN_TLS if head[:1] == _ALERT else "not the xfer protocol")
            self._greeted += len(head)
            data = data[len(head) :]
        if data:
            self._reader.receive_data(data)

    def pass_content(self, data: bytes) -> int:
        """The stream whose content all of ``data`` is, or 0: then it is for receive_data."""
        return self._reader.pass_content(data) if self.phase is Phase.READY else 0

    def content_left(self) -> tuple[int, int]:
        """See FrameReader."""
        return self._reader.content_left() if self.phase is Phase.READY else (0, 0)

    def content_passed(self, left: int) -> None:
        """See FrameReader."""
        self._reader.content_passed(left)

    @property
    def max_data(self) -> int:
        """The longest DATA frame that may come."""
        return self._reader.max_data

    def next_event(self) -> Event | None:
        """The next message or piece of content; None when more bytes are needed.

        Raises:
            RemoteProtocolError: a rule is broken; the connection has no meaning any more.
        """
        frame = self._reader.next_frame()
        if not isinstance(frame, Control):
            if isinstance(frame, Packed) and self.compression != ZSTD:
                raise RemoteProtocolError(detail="compression that was not chosen")
            return frame
        message = read_message(frame)
        if self._plain(message):
            return message
        if isinstance(message, Hello):
            self.hellos.append(frame.payload)
            self.features = frozenset(message.features)
        self._move(message, incoming=True)
        return message

    def encode(self, message: Message) -> bytes:
        """The bytes to send for ``message``, the preamble before the first.

        Raises:
            RemoteProtocolError: the handshake does not allow it now, which is a bug of ours.
        """
        data = message.encode()
        if self._introduced and self._plain(message):
            return data
        if isinstance(message, Hello):
            self.hellos.append(message.payload())
        if not self._introduced:
            self._introduced = True
            data = PREAMBLE + data
        if not self._plain(message):
            self._move(message, incoming=False)
        return data

    def selected(self, select: Select) -> None:
        """Apply what was negotiated."""
        self._reader.max_data = select.max_data
        self.compression = select.compression

    def _plain(self, message: Message) -> bool:
        """Whether it may come now and moves no table of the handshake."""
        return message.TYPE in (_AFTERWARDS if self.phase is _READY else _ANYTIME)

    def _move(self, message: Message, *, incoming: bool) -> None:
        from_caller = incoming == (self.side == "listener")
        if isinstance(message, Hello):
            step = Step.CALLER_HELLO if from_caller else Step.LISTENER_HELLO
        elif message.TYPE in _STEPS:
            step = _STEPS[message.TYPE]
        else:
            raise RemoteProtocolError(detail="out of order", state=self.phase, event=message.TYPE.name)
        if (step in CALLER_STEPS) != from_caller:
            raise RemoteProtocolError(detail="out of order", state=self.phase, event=step)
        self.phase = HANDSHAKE.after(self.phase, step)
        if self.phase is Phase.READY:
            self._reader.max_control = MAX_CONTROL
            self._reader.raw = True
