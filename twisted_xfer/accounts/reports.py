"""What an avatar and its open files say to the event bus."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import IEvents, LoginContext
from twisted_xfer.paths import VirtualPath


class Reporter:
    """The event bus with the common fields of one session filled in."""

    __slots__ = ("_transfers", "clock", "context", "events", "username")

    def __init__(self, events: IEvents, clock: IReactorTime, context: LoginContext, username: str) -> None:
        self.events = events
        self.clock = clock
        self.context = context
        self.username = username
        self._transfers = 0

    @property
    def active(self) -> bool:
        """Whether anybody listens."""
        return self.events.active

    @property
    def asks(self) -> bool:
        """Whether somebody may refuse."""
        # A bus made before there were vetoes has no such attribute and nobody to ask.
        return bool(getattr(self.events, "asks", False))

    def tell(self, event_id: str, *, transfer: str = "", **fields: Any) -> None:
        """Emit one event of this session."""
        context = self.context
        self.events.emit(
            event_id,
            session=context.session_id,
            protocol=context.protocol,
            username=self.username,
            peer=context.peer,
            transfer=transfer,
            **fields,
        )

    def uploaded(
        self, transfer: str, path: VirtualPath, size: int, moved: int, seconds: float, mode: str
    ) -> None:
        """Tell of a file that was published, ``size`` bytes long, ``moved`` of which came now."""
        fields = {"path": bytes(path), "size": size, "bytes": moved, "seconds": seconds, "mode": mode}
        self.tell("upload.complete", transfer=transfer, **fields)

    def next_transfer(self) -> str:
        """The id of the session's next transfer."""
        self._transfers += 1
        context = self.context
        if context.login == 1:
            return f"{context.session_id}-{self._transfers}"
        return f"{context.session_id}-{context.login}.{self._transfers}"

    def context_fields(self) -> dict[str, Any]:
        """The common fields, for questions to veto listeners."""
        context = self.context
        return {
            "session": context.session_id,
            "protocol": context.protocol,
            "username": self.username,
            "peer": context.peer,
        }


def code_of(reason: BaseException | None, otherwise: str = "aborted") -> str:
    """The stable code of ``reason``; what is not ours is ``io``, without its text."""
    if reason is None:
        return otherwise
    return reason.code if isinstance(reason, XferError) else "io"
