"""A file being received: its upload, its running digest, and what waits for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.errors import AlreadyExists, QuotaExceeded, TooLarge, Vetoed, XferError
from twisted_xfer.interfaces import IUpload
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.content import CHUNK, Hasher
from twisted_xfer.protocols.xfer.placing import Policy
from twisted_xfer.protocols.xfer.wire.frames import Packed
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import Entry, Hole
from twisted_xfer.protocols.xfer.wire.peer import Open
from twisted_xfer.protocols.xfer.wire.states import EntryState

#: After these nothing of an upload may be kept.
DROPPED: Final = (QuotaExceeded, TooLarge, Vetoed, AlreadyExists)
_log: Final = Logger()


#: What a message counts in the queue beside content: so many of them wait, and no more.
MESSAGE_WEIGHT: Final = 4096


def weight(item: bytes | Packed | Message) -> int:
    """What something counts in the queue of content; a HOLE as what it is stored in at once."""
    if isinstance(item, bytes):
        return len(item)
    if isinstance(item, Packed):
        return item.size
    return CHUNK if isinstance(item, Hole) else MESSAGE_WEIGHT


@attrs.define(eq=False)
class Incoming:
    """A file being received. ``position`` is stored and hashed; ``verified`` was proved by a SEGMENT."""

    entry: Entry
    path: VirtualPath
    upload: IUpload
    hasher: Hasher
    policy: Policy
    position: int = 0
    verified: int = 0
    acked: int = 0
    resumed: int = 0
    paced: int = 0
    saved: int = 0
    queue: deque[bytes | Packed | Message] = attrs.field(factory=deque)
    working: bool = False
    over: XferError | None = None

    def batch(self, first: bytes) -> list[bytes]:
        """``first`` and what follows it in the queue, up to CHUNK: one piece of work."""
        pieces, size = [first], len(first)
        while self.queue:
            piece = self.queue[0]
            if not isinstance(piece, bytes) or size + len(piece) > CHUNK:
                break
            self.queue.popleft()
            pieces.append(piece)
            size += len(piece)
        return pieces

    def forget(self) -> int:
        """Drop what waits; how many bytes it was."""
        dropped = sum(map(weight, self.queue))
        self.queue.clear()
        return dropped


class Waiting:
    """Directories whose time is set when what was offered below them before is settled.

    Bounded by the window: each that waits is an open entry.
    """

    def __init__(self, open_entries: Mapping[int, Open]) -> None:
        self._open = open_entries
        self._waiting: list[tuple[Entry, Deferred[None]]] = []

    async def turn(self, entry: Entry) -> None:
        """Wait until nothing below is open that was offered before."""
        if self._busy(entry):
            waiter: Deferred[None] = Deferred()
            self._waiting.append((entry, waiter))
            await waiter

    def _busy(self, entry: Entry) -> bool:
        below = entry.path + b"/"
        return any(
            one.entry.stream < entry.stream
            and one.state is not EntryState.FAILED
            and one.entry.path.startswith(below)
            for one in self._open.values()
        )

    def look(self) -> None:
        """An entry was closed: let go of those that wait for none any more."""
        if not self._waiting:
            return
        ready = [pair for pair in self._waiting if not self._busy(pair[0])]
        for pair in ready:
            self._waiting.remove(pair)
        for _, waiter in ready:
            waiter.callback(None)


def put_away(upload: IUpload, reason: XferError | None) -> None:
    """Keep the part to be resumed, unless nothing of it may stay. A failure is logged: nobody waits."""

    def logged(failure: Failure) -> None:
        _log.failure("an upload could not be put away", failure)

    end = upload.abort if isinstance(reason, DROPPED) else upload.suspend

    async def work() -> None:
        await resolve(end(reason))

    Deferred.fromCoroutine(work()).addErrback(logged)
