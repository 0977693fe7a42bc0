"""Events: facts with a schema, for logs, programs and listeners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._storage import Eventually
from twisted_xfer.values import Value


@attrs.frozen(eq=False, repr=False)
class Event(Value):
    """One fact.

    ``id`` is from the catalogue in ``interfaces.eventtypes``; ``time`` is Unix seconds;
    ``fields`` holds plain values (str, int, float, bool, None; paths as bytes) and no secret.
    """

    id: str
    time: float
    protocol: str = ""
    session: str = ""
    username: str = ""
    peer: str = ""
    transfer: str = ""
    fields: Mapping[str, Any] = attrs.field(factory=dict)


class IEventListener(Interface):
    """Hears every event. What it raises is counted and logged, and harms nothing else."""

    def on_event(event: Event) -> Eventually[None]:
        """Called in order for each event; a slow answer delays only this listener."""


class IVetoListener(IEventListener):
    """May refuse before something happens."""

    def before(event: Event) -> Eventually[None]:
        """Raise Vetoed to refuse. Called for ``upload.publish``."""


class IHoldsFile(Interface):
    """A listener that writes to a file (or holds anything else that is let go at the end)."""

    def reopen() -> None:
        """The file may have been moved away (log rotation): write to its name again."""

    def close() -> None:
        """Let go. May be called twice."""


class IEvents(Interface):
    """The bus."""

    active: bool = Attribute("False when nobody listens: emitters may then skip making events")
    asks: bool = Attribute("True when a veto listener is there: ask() may then be skipped otherwise")

    def emit(
        event_id: str,
        *,
        session: str = "",
        protocol: str = "",
        username: str = "",
        peer: str = "",
        transfer: str = "",
        **fields: Any,
    ) -> None:
        """Make an Event of a catalogued id and hand it to each listener. Never raises for a listener."""

    def ask(event_id: str, **fields: Any) -> Eventually[None]:
        """Ask the veto listeners. Fails with Vetoed."""
