"""Waiting until the peer's kernel has what was written.

Scripts that take one ``recv`` for one message break when two messages stick together. Nothing on
the wire keeps them apart but time: the second message is written only when the kernel's send queue
is empty, so all of the first was acknowledged, and a moment later, so it was probably read.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPullProducer, IReactorTime, ISSLTransport
from zope.interface import implementer

#: Seconds after the queue is empty, in which a waiting peer reads: with it, none of a hundred sent
#: messages stuck together; without, one did.
PAUSE: Final = 0.02
#: Seconds between two looks at the queue, for a start; they double up to LONGEST.
SHORTEST: Final = 0.001
LONGEST: Final = 0.05
#: A peer that acknowledges nothing for so long is not waited for: going on may stick, waiting would hang.
WITHIN: Final = 5.0

#: Asks how many bytes of a transport the peer's kernel has not acknowledged.
Queued: TypeAlias = Callable[[Any], int]


def kernel_queue(transport: Any) -> int:
    """Bytes in the kernel's send queue (Linux's TIOCOUTQ); 0 where that cannot be asked."""
    try:
        number = transport.getHandle().fileno()
        answer = fcntl.ioctl(number, termios.TIOCOUTQ, b"\0\0\0\0")
    except (AttributeError, OSError, TypeError, ValueError):
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count


def drained(
    transport: Any, data: bytes, clock: IReactorTime, queued: Queued = kernel_queue, within: float = WITHIN
) -> Deferred[None]:
    """Write ``data``; fires PAUSE seconds after the peer's kernel has it, at most ``within`` seconds later.

    In TLS it only pauses: there a read gives one record, and never two writes at once. The
    transport must have no producer. Cancelling leaves it as it was.
    """
    drain = _Drain(transport, data, clock, queued, within)
    drain.begin()
    return drain.done


@implementer(IPullProducer)
class _Drain:
    """One wait. As a pull producer it is asked for more once the transport's own buffer is empty."""

    def __init__(
        self, transport: Any, data: bytes, clock: IReactorTime, queued: Queued, within: float
    ) -> None:
        self._transport = transport
        self._data = data
        self._clock = clock
        self._queued = queued
        self._every = SHORTEST
        self._asked = 0
        self._registered = False
        self._deadline: IDelayedCall | None = clock.callLater(within, self._finish)
        self._next: IDelayedCall | None = None
        self.done: Deferred[None] = Deferred(self._cancelled)

    def begin(self) -> None:
        """Write."""
        if ISSLTransport.providedBy(self._transport):
            self._transport.write(self._data)
            self._later(PAUSE, self._finish)
            return
        # The reactor writes later: being asked a second time says that all of it is with the kernel.
        self._transport.write(self._data)
        self._registered = True
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """First at once, then when the transport's own buffer is empty."""
        self._asked += 1
        if self._registered and self._asked > 1:
            self._unregister()
            self._look()

    def stopProducing(self) -> None:
        """The connection is down; whoever waits is told by it."""
        self._registered = False
        self._clean()

    def _look(self) -> None:
        if self._queued(self._transport) == 0:
            self._later(PAUSE, self._finish)
            return
        self._later(self._every, self._look)
        self._every = min(self._every * 2, LONGEST)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._next = self._clock.callLater(seconds, call)

    def _unregister(self) -> None:
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def _finish(self) -> None:
        self._clean()
        self.done.callback(None)

    def _cancelled(self, _done: object) -> None:
        self._clean()

    def _clean(self) -> None:
        self._unregister()
        for call in (self._deadline, self._next):
            if call is not None and call.active():
                call.cancel()
