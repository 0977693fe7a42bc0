"""Delivering events at least once: into the outbox when they happen, out of it when they have arrived."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, StorageFailure
from twisted_xfer.events.json_lines import json_line
from twisted_xfer.events.outbox_store import DEFAULT_MOST, IN_MEMORY, OutboxStore, Parcel
from twisted_xfer.interfaces import Event, Eventually, IEventListener, IHoldsFile

#: Seconds before the first try after a failure; it doubles with each failure in a row.
FIRST_DELAY: Final = 1.0
#: The longest pause while nothing gets through: so soon does it go on when it can.
MAX_PAUSE: Final = 60.0
#: The longest time between two tries of one event that fails while others do not.
MAX_DELAY: Final = 600.0
#: An event that could not be delivered for so long is dropped: a day of somebody else's trouble.
MAX_AGE: Final = 86_400.0
#: Seconds a claim is longer than a delivery can take.
SPARE_LEASE: Final = 10.0
#: Failures in a row that are logged: the first, and each so manieth.
LOG_EVERY: Final = 100


class Refused(Exception):
    """The receiver will never take this event: it is dropped. The text is for the log."""


def check_outbox(path: str) -> None:
    """Refuse a file that no user could open; makes none, which would be the wrong user's.

    Raises:
        ConfigError: a directory, or in none.
    """
    directory = os.path.dirname(os.path.abspath(path))
    if path and os.path.isdir(path):
        raise ConfigError("outbox", value=path, remedy="is a directory: give a file")
    if path and not os.path.isdir(directory):
        remedy = f"there is no directory {directory}: make it, or give another file"
        raise ConfigError("outbox", value=path, remedy=remedy)


@implementer(IEventListener, IHoldsFile)
class Courier:
    """Puts events into an outbox, and delivers what is in it, in order as long as nothing fails.

    Args:
        name: for the log.
        clock: for pauses.
        wall_time: Unix seconds, as the outbox has them.
        deliver: takes a Parcel whose body is the event as a line of JSON; its answer, or failure, ends
            the delivery. It is to bound its own time.
        seconds: that bound.
        path: the file of the outbox; empty for memory, which is lost with the process.
        only: ids of events to deliver; all when empty.
        at_once: deliveries at the same time.
        most: events that may wait; past it the oldest are dropped.

    Attributes:
        delivered, failures, lost: deliveries that were done, that failed, and events dropped.
    """

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        wall_time: Callable[[], float],
        deliver: Callable[[Parcel], Eventually[None]],
        *,
        seconds: float,
        path: str = "",
        only: frozenset[str] = frozenset(),
        at_once: int = 1,
        most: int = DEFAULT_MOST,
        max_age: float = MAX_AGE,
        log: Logger | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._wall_time = wall_time
        self._deliver = deliver
        self._lease = seconds + SPARE_LEASE
        self._path = path
        self._only = only
        self._at_once = at_once
        self._most = most
        self._max_age = max_age
        self._log = log or Logger(namespace="twisted_xfer.events")
        self._store: OutboxStore | None = None
        self._running: dict[int, Deferred[Any]] = {}
        self._timer: Any = None
        self._streak = 0
        self._pause_until = clock.seconds()
        self._pumping = self._closed = False
        self.delivered = self.failures = self.lost = 0

    def start(self) -> None:
        """Soon, deliver what an earlier process left. The file is opened then: after privileges were dropped."""
        self._timer = self._clock.callLater(0, self._wake)

    def on_event(self, event: Event) -> None:
        """Put it into the outbox. Raises StorageFailure when that fails."""
        if self._closed or (self._only and event.id not in self._only):
            return
        dropped = self._opened().put(secrets.token_hex(16), json_line(event), self._wall_time())
        if dropped:
            if not self.lost:
                self._log.error("{name}: too many events wait: the oldest are dropped", name=self._name)
            self.lost += dropped
        self._pump()

    def reopen(self) -> None:
        """See IHoldsFile: this one is never moved away."""

    def close(self) -> None:
        """Deliver nothing more; what is under way is ended, and stays in the outbox."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for running in list(self._running.values()):
            running.cancel()
        store, self._store = self._store, None
        if store is None:
            return
        if not self._path and (left := store.count()):
            self._log.warn("{name}: {left} events were not delivered", name=self._name, left=left)
        store.close()

    def _opened(self) -> OutboxStore:
        if self._store is None:
            self._store = OutboxStore(self._path or IN_MEMORY, self._most)
        return self._store

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        """Deliver what is due. A loop and not a recursion: deliveries may be done at once."""
        if self._pumping or self._closed:
            return
        self._pumping = True
        try:
            while len(self._running) < self._at_once and self._clock.seconds() >= self._pause_until:
                parcel = self._opened().claim(self._wall_time(), self._lease)
                if parcel is None:
                    break
                self._send(parcel)
            self._wait()
        except StorageFailure as error:
            self._log.error("{name}: {reason}", name=self._name, reason=str(error))
            self._pause()
            self._wake_in(MAX_PAUSE)
        finally:
            self._pumping = False

    def _wait(self) -> None:
        """Come back when the next event is due, unless the end of a delivery will."""
        if self._closed or len(self._running) >= self._at_once:
            return
        due = self._opened().next_due()
        if due is not None:
            pause = max(self._pause_until - self._clock.seconds(), due - self._wall_time(), 0.01)
            self._wake_in(min(pause, MAX_PAUSE))

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)
        else:
            self._timer = self._clock.callLater(seconds, self._wake)

    def _send(self, parcel: Parcel) -> None:
        sent = maybeDeferred(self._deliver, parcel)
        self._running[parcel.id] = sent
        sent.addCallbacks(self._arrived, self._failed, callbackArgs=(parcel,), errbackArgs=(parcel,))
        sent.addErrback(self._broken).addBoth(self._ended, parcel)

    def _arrived(self, _answer: object, parcel: Parcel) -> None:
        self.delivered += 1
        self._streak = 0
        if self._store is not None:
            self._store.done(parcel)

    def _failed(self, failure: Failure, parcel: Parcel) -> None:
        store, wall = self._store, self._wall_time()
        if store is None:
            return
        if self._closed:
            store.retry(parcel, wall, failed=False)
            return
        self.failures += 1
        if isinstance(failure.value, Refused) or wall - parcel.added > self._max_age:
            self.lost += 1
            store.done(parcel)
            self._log.error("{name}: an event was dropped: {why}", name=self._name, why=_why(failure))
            return
        self._pause()
        # Twice the pause of the first failure: the events behind it are tried before it is.
        store.retry(parcel, wall + min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(parcel.tries + 1, 32)))
        if self._streak % LOG_EVERY == 1:
            self._log.error(
                "{name}: not delivered, to be tried again: {why}", name=self._name, why=_why(failure)
            )

    def _pause(self) -> None:
        self._streak += 1
        delay = min(MAX_PAUSE, FIRST_DELAY * 2.0 ** min(self._streak - 1, 32))
        self._pause_until = self._clock.seconds() + delay

    def _broken(self, failure: Failure) -> None:
        """The outbox itself fails: the claim runs out, and the event is tried again."""
        self._pause()
        self._log.error("{name}: {why}", name=self._name, why=_why(failure))

    def _ended(self, _none: object, parcel: Parcel) -> None:
        self._running.pop(parcel.id, None)
        self._pump()


def _why(failure: Failure) -> str:
    """The kind of failure, and the text of ours: others' may hold an address with a secret in it."""
    error = failure.value
    if isinstance(error, Refused | StorageFailure) or type(error).__module__.startswith("twisted_xfer."):
        return str(error)
    return type(error).__name__
