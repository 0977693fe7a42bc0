"""A reactor that a test turns by hand: time stands still, descriptors are asked only when told to.

Sockets (socketpair, loopback) and pumps work as they do in the daemon, without a reactor that runs
and without a real sleep.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IReadWriteDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

#: Turns after which settle() gives up: what is not quiet by then never will be.
MAX_TURNS: Final = 100_000
_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


@implementer(IReactorFDSet)
class SteppedReactor(Clock):
    """``task.Clock`` with descriptors: ``advance`` moves time, ``turn`` and ``settle`` move bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: set[IReadDescriptor] = set()
        self._writers: set[IWriteDescriptor] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        self._readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        self._writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """See IReactorFDSet."""
        self._readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """See IReactorFDSet."""
        self._writers.discard(writer)

    def removeAll(self) -> list[Any]:
        """See IReactorFDSet."""
        everything = [*self._readers, *(self._writers - self._readers)]
        self._readers.clear()
        self._writers.clear()
        return everything

    def getReaders(self) -> list[IReadDescriptor]:
        """See IReactorFDSet."""
        return list(self._readers)

    def getWriters(self) -> list[IWriteDescriptor]:
        """See IReactorFDSet."""
        return list(self._writers)

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:  # noqa: A002 - Twisted's name
        """Call in the next turn. Not for real threads: tests use inline calls."""
        self.callLater(0, callable, *args, **kwargs)

    def turn(self) -> bool:
        """Due calls, then whatever is ready now; whether anything happened."""
        due = self._call_due()
        ready = self._ready()
        for descriptor, events in ready:
            self._serve(descriptor, events)
        return due or bool(ready)

    def advance(self, amount: float) -> None:
        """Move the clock, and call what is due by then.

        Raises:
            RuntimeError: calls that are due at once make others, without end.
        """
        self.rightNow += amount
        for _ in range(MAX_TURNS):
            if not self._call_due():
                return
        raise RuntimeError(f"still busy after {MAX_TURNS} turns: {self.getDelayedCalls()}")

    def _call_due(self) -> bool:
        """As a reactor does: what these calls add for now waits for the next turn."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        for call in sorted(due, key=lambda call: call.getTime()):
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def settle(self) -> None:
        """Turn until nothing more happens at this moment of the clock.

        Raises:
            RuntimeError: it never ends.
        """
        for _ in range(MAX_TURNS):
            if not self.turn():
                return
        raise RuntimeError(f"still busy after {MAX_TURNS} turns: {self._readers | self._writers}")

    def _ready(self) -> list[tuple[Any, int]]:
        poll = select.poll()
        by_number: dict[int, Any] = {}
        wanted: dict[int, int] = {}
        for descriptors, mask in ((self._readers, select.POLLIN), (self._writers, select.POLLOUT)):
            for descriptor in descriptors:
                number = descriptor.fileno()
                if number >= 0:
                    by_number[number] = descriptor
                    wanted[number] = wanted.get(number, 0) | mask
        for number, mask in wanted.items():
            poll.register(number, mask)
        return [(by_number[number], events) for number, events in poll.poll(0)]

    def _serve(self, descriptor: IReadWriteDescriptor, events: int) -> None:
        reason: Any = None
        if descriptor in self._readers and events & (select.POLLIN | _BROKEN):
            reason = descriptor.doRead()
        if not reason and descriptor in self._writers and events & (select.POLLOUT | _BROKEN):
            reason = descriptor.doWrite()
        if reason:
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
            descriptor.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]
