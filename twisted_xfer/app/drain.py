"""The daemon as one service: bound before privileges are dropped, stopped in order.

Stopping: listen no more, ask the sessions to end, wait for the grace period at most, reset what
is left, close what was opened in reverse order, join the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.app.explain import explain_failure
from twisted_xfer.app.listen import Place, where
from twisted_xfer.interfaces import IEvents


class DaemonService(Service):
    """Listens at ``places`` while it runs.

    Args:
        clock: for the grace period.
        places: where to listen; bound in privilegedStartService, so low ports work with --uid.
        events: told of start and stop.
        grace: seconds that sessions have to end by themselves.
        on_start: called in order once everything is bound; it serves when their answers are there.
        on_stop: called in reverse order when all sessions are down; each may answer later.
        quiet: says nothing of its start and stop: a worker, whose parent does.

    Attributes:
        ending: asked to stop.
        failed: stops because it cannot serve, which its exit code is to tell.
    """

    ending: bool = False
    failed: bool = False

    def __init__(
        self,
        clock: IReactorTime,
        places: Sequence[Place],
        events: IEvents,
        *,
        grace: float,
        on_start: Sequence[Callable[[], object]] = (),
        on_stop: Sequence[Callable[[], object]] = (),
        quiet: bool = False,
        log: Logger | None = None,
    ) -> None:
        self.name = "xfer"
        self.places = list(places)
        self.events = events
        self._clock = clock
        self.reactor: Any = clock
        self._grace = grace
        self._on_start = list(on_start)
        self._on_stop = list(on_stop)
        self._quiet = quiet
        self._bound = False
        self._failed: Exception | None = None
        self._draining: Deferred[Any] | None = None
        self._log = log or Logger(namespace="xfer")

    def before(self, start: Callable[[], object], stop: Callable[[], object] | None = None) -> None:
        """Call ``start`` too when everything is bound, and ``stop`` before everything that was added earlier."""
        self._on_start.append(start)
        if stop is not None:
            self._on_stop.append(stop)

    def privilegedStartService(self) -> None:
        """Bind everything.

        Raises:
            ConfigError: a place that is taken; what was bound before is let go.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for place in self.places:
            place.bind().addErrback(self._not_bound)
            if self._failed is not None:
                self._unbind()
                self._close()
                raise self._failed
        self._bound = True

    def _not_bound(self, failure: Failure) -> None:
        if not self._bound:
            self._failed = (
                failure.value if isinstance(failure.value, Exception) else RuntimeError(str(failure))
            )
            return
        self._log.critical("xfer: {reason}", reason=explain_failure(failure))
        self.fail()

    def _unbind(self) -> list[Deferred[Any]]:
        return [place.unbind() for place in self.places]

    def startService(self) -> None:
        """Serve. Binds first when nobody called privilegedStartService."""
        if not self._bound:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        waits = [maybeDeferred(start) for start in self._on_start]
        DeferredList(waits, fireOnOneErrback=True).addCallbacks(lambda _: self._serving(), self._start_failed)

    def _start_failed(self, failure: Failure) -> None:
        self._log.failure("xfer: the start failed", failure)
        self.fail()

    def _serving(self) -> None:
        if self._quiet or self.failed or not self.running:
            return
        listeners = []
        for place in self.places:
            if place.port is not None:
                self._log.info(
                    "xfer: {protocol} listening on {address}",
                    protocol=place.listen.label,
                    address=where(place.port),
                )
                listeners.append(f"{place.listen.label}={where(place.port)}")
        self._log.info("xfer: serving")
        self.events.emit("daemon.start", listeners=" ".join(listeners))

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when nothing of it is left. May be called twice."""
        if not self.running:
            return DeferredList([]).addCallback(lambda _: None)
        super().stopService()  # type: ignore[no-untyped-call]
        return self._stop()

    @inlineCallbacks
    def _stop(self) -> Any:
        if not self._quiet:
            self.events.emit("daemon.stop", reason="stopped")
        yield DeferredList(self._unbind(), consumeErrors=True)
        drained = self._draining = DeferredList([place.drain() for place in self.places], consumeErrors=True)
        # What does not end in time, or before hurry(), is cancelled here and reset below.
        late = self._clock.callLater(self._grace, drained.cancel)
        yield drained.addErrback(lambda _: None)
        if late.active():
            late.cancel()
        self._draining = None
        dropped = sum(place.abort() for place in self.places)
        if dropped:
            self._log.warn("xfer: {count} connections dropped at the stop", count=dropped)
            # connectionLost of what was reset comes in the next turn; what they hold is closed below.
            yield deferLater(self._clock, 0)
        yield self._close()
        self._bound = False
        if not self._quiet:
            self._log.info("xfer: stopped")

    def end(self) -> None:
        """Stop in order, by our own hand, so that the process ends with 0 and not by a signal."""
        if not self.ending:
            self.ending = True
            self.reactor.stop()

    def fail(self) -> None:
        """Stop in order for a reason that is no request: nobody can be served."""
        self.failed = True
        self.end()

    def hurry(self) -> None:
        """End the grace period now; nothing unless it stops."""
        if self._draining is not None:
            self._draining.cancel()

    def close(self) -> Deferred[Any]:
        """Let go of what was opened for a service that is not started (``--check``)."""
        return self._close()

    @inlineCallbacks
    def _close(self) -> Any:
        for stop in reversed(self._on_stop):
            try:
                yield maybeDeferred(stop)
            except Exception:  # noqa: BLE001 - the others are to be closed whatever one of them does
                self._log.failure("xfer: closing failed")
