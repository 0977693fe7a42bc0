"""SIGHUP: reread what may change while the daemon runs, without cutting anything."""

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
    """Things that can be reread, by name.

    Args:
        call_from_thread: the reactor's, which is also what a signal handler may call.
    """

    def __init__(self, call_from_thread: Callable[..., Any], log: Logger | None = None) -> None:
        self._call = call_from_thread
        self._log = log or Logger(namespace="xfer")
        self._all: list[tuple[str, Callable[[], object]]] = []
        self._before: Any = None
        self._installed = False

    def add(self, name: str, reload: Callable[[], object]) -> None:
        """Call ``reload`` at each SIGHUP; it may answer later."""
        self._all.append((name, reload))

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

    def install(self) -> None:
        """Listen to SIGHUP; nothing where there is none, or outside of the main thread."""
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.signal(signal.SIGHUP, self._on_signal)
        self._installed = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._call(self.reload)

    def uninstall(self) -> None:
        """Give SIGHUP back. May be called twice."""
        if self._installed:
            self._installed = False
            signal.signal(signal.SIGHUP, self._before)
