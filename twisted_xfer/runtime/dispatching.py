"""Handing events of the reactor to who they are for, at little cost.

Twisted's reactors run every event in a log context of its own, for the sake of ``log.msg``, the old
way to log. Nothing here uses it, and it costs more than reading a command does.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

_log = Logger()
#: What is needed of the reactor besides what it promises; where one is missing all stays as it was.
_NEEDED: Final = ("_poller", "_selectables", "_doReadOrWrite")


def dispatch_swiftly(reactor: object) -> bool:
    """Have ``reactor`` call whoever has an event without a log context; whether it does.

    Only Twisted's own epoll reactor is changed, and only its one instance. What a protocol says by
    ``log.msg`` then lacks the connection's name in front; ``twisted.logger`` never had it.
    """
    if type(reactor) is not EPollReactor or not all(hasattr(reactor, name) for name in _NEEDED):
        return False
    target: Any = reactor
    target.doIteration = target.doPoll = _Dispatching(target)
    return True


class _Dispatching:
    """The reactor's ``doIteration``."""

    __slots__ = ("_act", "_poll", "_selectables")

    def __init__(self, reactor: Any) -> None:
        self._poll = reactor._poller.poll  # noqa: SLF001
        self._selectables = reactor._selectables  # noqa: SLF001
        self._act = reactor._doReadOrWrite  # noqa: SLF001

    def __call__(self, timeout: float | None) -> None:
        """Wait for at most ``timeout`` seconds (None: for ever), and tell whoever has an event."""
        selectables, act = self._selectables, self._act
        for descriptor, event in self._poll(-1 if timeout is None else timeout, len(selectables)):
            # One that was told before may have closed it meanwhile.
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue
            try:
                act(selectable, descriptor, event)
            except Exception:  # noqa: BLE001 - one connection's trouble must not reach another's
                _log.failure("an event of {selectable} could not be handled", selectable=selectable)
