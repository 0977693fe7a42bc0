"""One listener's way from the bus: ordered, bounded, and shielded."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.interfaces import Event, IEventListener

#: Events that wait for one slow listener. At about 1 KiB each this bounds a stuck listener to some
#: MiB; what a peer causes beyond drops the oldest, as the newest say more about what goes on now.
MAX_WAITING: Final = 4096
#: A listener that fails on everything is logged the first time and once for so many failures.
LOG_EVERY: Final = 100


class Lane:
    """Hands events to one listener in order, one at a time.

    Attributes:
        name: the listener's, for logs.
        failures: events on which the listener failed.
        dropped: events that it never heard because too many waited.
    """

    __slots__ = ("_busy", "_idle_calls", "_on_failure", "_waiting", "dropped", "failures", "listener", "name")

    def __init__(
        self,
        name: str,
        listener: IEventListener,
        on_failure: Callable[[Lane, Event, BaseException], None],
    ) -> None:
        self.name = name
        self.listener = listener
        self.failures = 0
        self.dropped = 0
        self._on_failure = on_failure
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._idle_calls: list[Callable[[], None]] = []

    @property
    def idle(self) -> bool:
        """Whether the listener has heard everything."""
        return not self._busy

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, at once or when the listener has heard everything that waits."""
        if self._busy:
            self._idle_calls.append(call)
        else:
            call()

    def offer(self, event: Event) -> None:
        """The listener hears ``event`` now, or when it is done with those before. Never raises."""
        if self._busy:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
            return
        self._busy = True
        self._run(event)

    def stop(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _run(self, event: Event) -> None:
        """Hand on ``event`` and all that wait, until an answer is not there yet.

        A loop and not a chain of callbacks: a queue of answers that are there at once must not
        become a recursion of that depth.
        """
        while True:
            try:
                answer: Any = self.listener.on_event(event)
            except Exception as error:  # noqa: BLE001 - a stranger's listener may fail in any way
                self._failed(event, error)
                answer = None
            if answer is not None:
                answered = self._settle(event, answer)
                if not answered:
                    return
            if not self._waiting:
                break
            event = self._waiting.popleft()
        self._run_out()

    def _settle(self, event: Event, answer: Any) -> bool:
        """Whether ``answer`` is there already; if not, the lane goes on when it is."""
        if inspect.iscoroutine(answer):
            answer = Deferred.fromCoroutine(answer)
        if not isinstance(answer, Deferred):
            return True
        within, done_within = True, False

        def done(result: object) -> None:
            nonlocal done_within
            if isinstance(result, Failure):
                self._failed(event, result.value or RuntimeError("no reason"))
            if within:
                done_within = True
            elif self._waiting:
                self._run(self._waiting.popleft())
            else:
                self._run_out()

        answer.addBoth(done)
        within = False
        return done_within

    def _run_out(self) -> None:
        self._busy = False
        calls, self._idle_calls = self._idle_calls, []
        for call in calls:
            call()

    def _failed(self, event: Event, error: BaseException) -> None:
        self.failures += 1
        if self.failures % LOG_EVERY == 1:
            self._on_failure(self, event, error)
