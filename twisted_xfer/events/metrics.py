"""Counters of what went by, for a status page or a metrics exporter."""

from __future__ import annotations

from collections import Counter
from typing import Final

from zope.interface import implementer

from twisted_xfer.interfaces import Event, IEventListener

_SENT: Final = frozenset({"download.complete", "download.aborted"})
_RECEIVED: Final = frozenset({"upload.complete", "upload.truncated", "upload.aborted"})


@implementer(IEventListener)
class Counters:
    """Counts events by id, and bytes by direction. Bounded by the catalogue, whatever peers do.

    Attributes:
        events: how often each event id was heard.
        bytes_sent: bytes of downloads, those cut short included.
        bytes_received: bytes of uploads, those cut short included.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.bytes_sent = 0
        self.bytes_received = 0

    def on_event(self, event: Event) -> None:
        """Count it."""
        self.events[event.id] += 1
        if event.id in _SENT:
            self.bytes_sent += event.fields.get("bytes", 0)
        elif event.id in _RECEIVED:
            self.bytes_received += event.fields.get("bytes", 0)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return self.events["connection.open"] - self.events["connection.close"]

    @property
    def sessions(self) -> int:
        """Users that are logged in now."""
        return self.events["login.ok"] - self.events["logout"]

    def snapshot(self) -> dict[str, int]:
        """All counters by name; event ids as they are."""
        return {
            **self.events,
            "connections": self.connections,
            "sessions": self.sessions,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
        }
