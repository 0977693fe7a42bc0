"""Signals: SIGHUP rereads what may change, SIGTERM stops in order, a second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.app.explain import explain_failure


class Reloads:
    """Things that can be reread, by name."""

    def __init__(self, log: Logger | None = None) -> None:
        self._log = log or Logger(namespace="xfer")
        self._all: list[tuple[str, Callable[[], object]]] = []

    def add(self, name: str, reload: Callable[[], object], *, first: bool = False) -> None:
        """Call ``reload`` at each reload(), ``first`` of all or last; it may answer later."""
        self._all.insert(0 if first else len(self._all), (name, reload))

    def reload(self) -> Deferred[Any]:
        """Reread everything; what fails is logged and keeps what it had."""
        self._log.info("xfer: reloading")
        waits = []
        for name, reload in self._all:
            wait = maybeDeferred(reload)
            wait.addCallbacks(self._good, self._bad, (name,), {}, (name,))
            waits.append(wait)
        return DeferredList(waits)

    def _good(self, _answer: object, name: str) -> None:
        self._log.info("xfer: reloaded {name}", name=name)

    def _bad(self, failure: Failure, name: str) -> None:
        self._log.error("xfer: {name} not reloaded: {reason}", name=name, reason=explain_failure(failure))


class Signals:
    """Handlers of signals, in place while a daemon runs.

    Args:
        call_from_thread: the reactor's: what a signal handler may call.
        actions: what to do, by the signal's name; names that this system lacks are left out.
    """

    def __init__(
        self, call_from_thread: Callable[..., Any], actions: dict[str, Callable[[], object]]
    ) -> None:
        self._call = call_from_thread
        self._actions = {
            int(getattr(signal, name)): action for name, action in actions.items() if hasattr(signal, name)
        }
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals over; nothing outside of the main thread, where Python allows none.

        May be called again, when somebody else has taken them meanwhile.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self._actions:
            self._before.setdefault(number, signal.signal(number, self._on_signal))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._call(self._actions[number])

    def uninstall(self) -> None:
        """Give the signals back. May be called twice."""
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
