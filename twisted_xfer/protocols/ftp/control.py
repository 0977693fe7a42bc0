"""What a session needs of the transport below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted_xfer.interfaces import ITLSSession


class ControlChannel(Protocol):
    """What a session needs of its transport."""

    @property
    def can_start_tls(self) -> bool:
        """Whether ``start_tls`` is possible."""

    @property
    def peer_gone(self) -> bool:
        """Whether the other end has closed, as far as can be seen without reading."""

    def reclaim_ports(self) -> None:
        """Have other sessions give back the passive ports that they only keep for their next transfer."""

    def others(self) -> Iterable[Any]:
        """The other sessions of the same listener, in this process."""
        ...

    def send(self, data: bytes) -> None:
        """Send a reply."""

    def start_tls(self, tls: ITLSSession) -> None:
        """Go over to TLS after what was sent."""

    def leave_tls(self, tls: ITLSSession, timeout: float) -> None:
        """Go back to clear after what was sent, once the client has said close_notify too."""

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""

    def close(self, last: bytes) -> None:
        """Send ``last``, and close after what was sent."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read again."""

    def later(self, call: Callable[[], None]) -> None:
        """Call in a later turn of the reactor."""
