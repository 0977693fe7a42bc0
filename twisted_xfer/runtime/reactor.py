"""Twisted's epoll reactor with less in the way of short events.

Twisted runs every event in a log context of its own, for the sake of ``log.msg``, the old way to
log, and looks for timed calls and for threads between any two. Both cost about as much as reading a
command does; nothing here logs in the old way, and timed calls show when there are new ones.
"""

from __future__ import annotations

import select
from typing import Any, Final

from twisted.internet import epollreactor, main
from twisted.logger import Logger

_log = Logger()
#: Readable, and nothing else.
_READABLE: Final = select.EPOLLIN
#: Waiting for longer than that takes more than one wait, in seconds.
_LONGEST: Final = 3600.0

#: What tells whether there is something else to do; a Twisted without them runs as it likes.
_NEEDED: Final = ("threadCallQueue", "_justStopped", "_newTimedCalls", "_pendingTimedCalls")


class XferReactor(epollreactor.EPollReactor):
    """What the daemon runs on, unless twistd was told of another.

    What a protocol says by ``log.msg`` lacks the connection's name in front; ``twisted.logger`` never
    had it.
    """

    def doPoll(self, timeout: float | None) -> None:
        """Wait for at most ``timeout`` seconds (None: for ever), and tell whoever has an event."""
        selectables = self._selectables
        act: Any = self._doReadOrWrite
        disconnect: Any = self._disconnectSelectable
        for descriptor, event in self._poller.poll(-1 if timeout is None else timeout, len(selectables)):
            # One that was told before may have closed it meanwhile.
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue
            try:
                if event == _READABLE:
                    try:
                        why = selectable.doRead()
                    except Exception as error:  # noqa: BLE001 - whoever breaks is disconnected, as Twisted has it
                        _log.failure("{selectable} broke while it was read", selectable=selectable)
                        why = error
                    if why:
                        disconnect(selectable, why, isRead=True)
                else:
                    act(selectable, descriptor, event)
            except Exception:  # noqa: BLE001 - one connection's trouble must not reach another's
                _log.failure("{selectable} could not be told of an event", selectable=selectable)

    doIteration = doPoll

    def mainLoop(self) -> None:
        """Run until stopped."""
        if not all(hasattr(self, name) for name in _NEEDED):
            super().mainLoop()
            return
        while self._started:
            try:
                self.runUntilCurrent()
                timeout = self.timeout()
                self.doIteration(timeout if self.running else 0)
                self._go_on()
            except Exception:  # noqa: BLE001 - the daemon goes on
                _log.failure("unexpected error in the reactor")

    def _go_on(self) -> None:
        """Wait for events as long as there is nothing else to do."""
        while self.running and not (self._newTimedCalls or self.threadCallQueue or self._justStopped):
            timeout = _LONGEST
            if self._pendingTimedCalls:
                # The first one may have been put off, or cancelled, and another have taken its place.
                timeout = self._pendingTimedCalls[0].time - self.seconds()
                if timeout <= 0:
                    return
                if timeout > _LONGEST:  # noqa: PLR1730 - one call less for each event
                    timeout = _LONGEST
            self.doIteration(timeout)


def install() -> None:
    """Make a reactor and install it. Raises ReactorAlreadyInstalledError."""
    main.installReactor(XferReactor())  # type: ignore[no-untyped-call]
