"""The bus: an event is made once and handed to every listener, each in a lane of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.errors import Vetoed, XferError
from twisted_xfer.events.lane import Lane
from twisted_xfer.interfaces import Event, IEventListener, IEvents, IHoldsFile, IVetoListener
from twisted_xfer.interfaces.eventtypes import CATALOGUE

_FIELDS: Final = {event_id: frozenset(fields) for event_id, fields in CATALOGUE.items()}
#: What ``ask`` may be given beside the fields of the catalogue, as ``emit`` takes them by name.
_COMMON: Final = frozenset({"session", "protocol", "username", "peer", "transfer"})


@implementer(IEvents)
class EventBus:
    """Hands events to listeners, and shields emitters and listeners from each other.

    ``wall_time`` gives Unix seconds. A listener that raises is counted and logged; a listener that
    answers with a Deferred or a coroutine hears the next event when that is done, and events wait
    for it in a bounded queue (see ``Lane``).
    """

    def __init__(
        self,
        wall_time: Callable[[], float],
        listeners: Iterable[IEventListener] = (),
        log: Logger | None = None,
    ) -> None:
        self._wall_time = wall_time
        self._log = Logger(namespace="twisted_xfer.events") if log is None else log
        self._lanes: tuple[Lane, ...] = ()
        self._vetoes: tuple[tuple[str, Any], ...] = ()
        self.active = False
        self.asks = False
        for listener in listeners:
            self.add(listener)

    def add(self, listener: IEventListener, name: str = "") -> None:
        """Let ``listener`` hear what is emitted from now on; ``name`` is for logs and reports."""
        name = name or type(listener).__name__
        self._lanes = (*self._lanes, Lane(name, listener, self._failed))
        if IVetoListener.providedBy(listener):
            self._vetoes = (*self._vetoes, (name, listener))
        self.active, self.asks = True, bool(self._vetoes)

    def remove(self, listener: IEventListener) -> None:
        """``listener`` hears nothing more, not even what waits for it."""
        for lane in self._lanes:
            if lane.listener is listener:
                lane.stop()
        self._lanes = tuple(lane for lane in self._lanes if lane.listener is not listener)
        self._vetoes = tuple(veto for veto in self._vetoes if veto[1] is not listener)
        self.active, self.asks = bool(self._lanes), bool(self._vetoes)

    def emit(
        self,
        event_id: str,
        *,
        session: str = "",
        protocol: str = "",
        username: str = "",
        peer: str = "",
        transfer: str = "",
        **fields: Any,
    ) -> None:
        """Make an Event and hand it to each listener.

        Raises:
            ValueError: the catalogue has no such id, or not with such a field: a bug of the caller.
        """
        known = _FIELDS.get(event_id)
        if known is None or not fields.keys() <= known:
            raise ValueError(f"not in the catalogue of events: {event_id} with {', '.join(fields)}")
        if not self._lanes:
            return
        event = Event(
            event_id,
            self._wall_time(),
            protocol,
            session,
            username,
            peer,
            transfer,
            # Shared by all listeners, so none may change it.
            MappingProxyType(fields),
        )
        for lane in self._lanes:
            lane.offer(event)

    def ask(self, event_id: str, **fields: Any) -> Deferred[None] | None:
        """Ask the veto listeners in turn; None when there are none.

        The Deferred fails with Vetoed when one refuses, and also when one is broken: a check that
        could not be made is not a check that was passed.

        Raises:
            ValueError: the catalogue has no such id, or not with such a field.
        """
        own = {name: value for name, value in fields.items() if name not in _COMMON}
        known = _FIELDS.get(event_id)
        if known is None or not own.keys() <= known:
            raise ValueError(f"not in the catalogue of events: {event_id} with {', '.join(own)}")
        if not self._vetoes:
            return None
        common = {name: fields[name] for name in fields.keys() & _COMMON}
        event = Event(event_id, self._wall_time(), fields=MappingProxyType(own), **common)
        return Deferred.fromCoroutine(self._ask_all(event))

    async def _ask_all(self, event: Event) -> None:
        for name, listener in self._vetoes:
            try:
                await maybeDeferred(listener.before, event)
            except Vetoed as refusal:
                refusal.fields.setdefault("listener", name)
                # The client and the events hear only that a check refused.
                self._tell_veto(
                    "{listener} refused {path} of {username}: {reason}", name, event, refusal.detail
                )
                raise
            except Exception as error:
                if isinstance(error, XferError):
                    self._tell_veto(
                        "{listener} could not check {path} of {username}: {reason}", name, event, str(error)
                    )
                else:
                    self._log.failure("veto listener {listener} failed", listener=name)
                raise Vetoed(event.fields.get("path"), "the listener failed", listener=name) from error

    def _tell_veto(self, text: str, name: str, event: Event, reason: str) -> None:
        path = event.fields.get("path")
        self._log.warn(text, listener=name, path=repr(path), username=event.username, reason=reason)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each listener's name: events it ``failed`` on and events ``dropped`` for it."""
        return {lane.name: {"failed": lane.failures, "dropped": lane.dropped} for lane in self._lanes}

    def reopen(self) -> None:
        """Log rotation: every listener that holds a file opens it anew. Never raises."""
        self._each_file("reopen")

    def close(self) -> None:
        """The end: listeners hear nothing more and let go of their files. May be called twice."""
        self._each_file("close")
        for lane in self._lanes:
            lane.stop()
        self._lanes, self._vetoes = (), ()
        self.active = self.asks = False

    def idle(self) -> Deferred[None]:
        """Fires when every listener has heard what was emitted until now."""
        done: Deferred[None] = Deferred()
        lanes = [lane for lane in self._lanes if not lane.idle]
        waiting = len(lanes)

        def one_less() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                done.callback(None)

        for lane in lanes:
            lane.when_idle(one_less)
        if not lanes:
            done.callback(None)
        return done

    def _each_file(self, verb: str) -> None:
        for lane in self._lanes:
            if not IHoldsFile.providedBy(lane.listener):
                continue
            try:
                getattr(lane.listener, verb)()
            except Exception:  # noqa: BLE001 - a stranger's listener may fail in any way
                self._log.failure("listener {listener}: {verb} failed", listener=lane.name, verb=verb)

    def _failed(self, lane: Lane, event: Event, error: BaseException) -> None:
        """Log the first and each hundredth failure of a lane, and tell the other listeners."""
        self._log.error(
            "listener {listener} failed {failures} times, now on {event_id}: {error!r}",
            listener=lane.name,
            failures=lane.failures,
            event_id=event.id,
            error=error,
        )
        if event.id == "listener.failed":
            return  # two broken listeners would tell each other for ever
        fields = {"listener": lane.name, "error": type(error).__name__, "failures": lane.failures}
        report = Event("listener.failed", self._wall_time(), fields=MappingProxyType(fields))
        for other in self._lanes:
            if other is not lane:
                other.offer(report)
