"""Parts that nobody came back for: removed at the start and once an hour, off the reactor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.app.config import Config
from twisted_xfer.app.explain import explain_failure
from twisted_xfer.app.homes import homes_of
from twisted_xfer.app.host import Host
from twisted_xfer.interfaces import IBlocking
from twisted_xfer.storage.parts import Swept, sweep_parts

#: Seconds between two sweeps.
INTERVAL: Final = 3600.0
#: Entries that one sweep looks at: minutes of a slow disk, in one thread.
MOST_ENTRIES: Final = 5_000_000
DAY: Final = 86_400.0


def make_sweeper(config: Config, root: str, checkers: Iterable[object], host: Host) -> Sweeper:
    """For the local storage of ``config``; one of any other kind has no parts on this disk."""
    checkers = list(checkers)

    def roots() -> list[str]:
        """The root, and homes that lie elsewhere."""
        if config.storage.get("plugin", "local") != "local":
            return []
        top = os.path.abspath(root)
        homes = (os.path.abspath(home) for _, home in homes_of(config, root, checkers))
        outside = {home for home in homes if os.path.commonpath([top, home]) != top}
        return [top, *sorted(outside)]

    return Sweeper(
        roots,
        config.parts_expire,
        clock=host.clock,
        blocking=host.blocking,
        wall_time=host.wall_time,
        log=host.log,
    )


class Sweeper:
    """Sweeps ``roots`` while the daemon runs.

    Args:
        roots: answers with the directories below which parts may be, asked at each sweep.
        days: how long a part stays that nobody touches; 0: for ever.
        clock, blocking: as everywhere.
        wall_time: Unix time in seconds, as the disk's times are.
    """

    def __init__(
        self,
        roots: Callable[[], Sequence[str]],
        days: float,
        *,
        clock: IReactorTime,
        blocking: IBlocking,
        wall_time: Callable[[], float],
        log: Logger,
    ) -> None:
        self._roots = roots
        self._age = days * DAY
        self._clock = clock
        self._blocking = blocking
        self._wall_time = wall_time
        self._log = log
        self._next: IDelayedCall | None = None
        self._running = False
        self._missed: list[tuple[str, str]] = []
        #: Fires when the sweep under way is over: for tests.
        self.swept: Deferred[Any] | None = None

    def start(self) -> None:
        """Sweep now, which the daemon does not wait for, and then once an hour."""
        if self._age > 0:
            self._running = True
            self._sweep()

    def stop(self) -> None:
        """No more. A sweep under way ends by itself; the pool waits for it."""
        self._running = False
        call, self._next = self._next, None
        if call is not None and call.active():
            call.cancel()

    def _sweep(self) -> None:
        self._next = None
        self.swept = self._blocking.run(self._sweep_all, self._roots(), self._wall_time())
        self.swept.addCallbacks(self._tell, self._failed).addBoth(self._again)

    def _sweep_all(self, roots: Sequence[str], now: float) -> Swept:
        """In a thread: one root after the other, bounded together."""
        self._missed = []
        total = Swept(0, 0, 0, complete=True)
        for root in roots:
            if not self._running or total.seen >= MOST_ENTRIES:
                return total._replace(complete=False)
            try:
                swept = sweep_parts(os.fsencode(root), self._age, now, MOST_ENTRIES - total.seen)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._missed.append((root, error.strerror or type(error).__name__))
                continue
            total = Swept(
                total.removed + swept.removed,
                total.freed + swept.freed,
                total.seen + swept.seen,
                complete=total.complete and swept.complete,
            )
        return total

    def _tell(self, swept: Swept) -> None:
        for root, error in self._missed:
            self._log.warn("xfer: parts below {root} were not looked for: {error}", root=root, error=error)
        if swept.removed:
            self._log.info(
                "xfer: {count} expired parts removed, {size} bytes", count=swept.removed, size=swept.freed
            )
        if not swept.complete and self._running:
            self._log.warn("xfer: only {count} entries were looked at for expired parts", count=swept.seen)

    def _failed(self, failure: Failure) -> None:
        if self._running:
            self._log.warn("xfer: no sweep for parts: {reason}", reason=explain_failure(failure))

    def _again(self, _result: object) -> None:
        if self._running:
            self._next = self._clock.callLater(INTERVAL, self._sweep)
