"""One file on its way by a tutorial protocol: what is shown of it, and what its session needs."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from twisted_xfer.cli.choices import NAMES
from twisted_xfer.cli.output import result, say
from twisted_xfer.cli.progress import Progress
from twisted_xfer.cli.rate_limit import RateLimit
from twisted_xfer.cli.tutorial import Place, attempts, chosen, printable, sentence
from twisted_xfer.errors import ConnectionLost, LoginFailed, NotFound, TimedOut, XferError
from twisted_xfer.protocols.xfer.report import Kind, TransferEvent

#: Options of the commands that mean nothing here.
NEVER: Final = ("code", "accept_new", "jobs", *NAMES)


@contextmanager
def about(path: str) -> Iterator[None]:
    """Let an error of the other side be one about ``path``."""
    try:
        yield
    except NotFound as error:
        error.subject = path
        raise


def shown(place: Place, *, as_json: bool) -> Progress:
    """What is seen of a file, with errors in the words of these protocols."""

    def words(error: Exception | None) -> str:
        return sentence(error, place) if isinstance(error, XferError) else str(place)

    return Progress(as_json=as_json, words=words)


def tls_only(place: Place) -> tuple[str, ...]:
    """Options that contradict TLS, where the scheme wants it."""
    return ("plain",) if place.tls else ()


@attrs.define
class File:
    """One file on its way: what is shown of it, and how fast it may go."""

    place: Place
    name: str
    show: Progress
    ca: str
    password: str
    rate: int | None
    size: int = 0
    position: int = 0
    moved: int = 0
    resumed: int = 0
    reached: int = 0

    def limiter(self, reactor: Any) -> RateLimit | None:
        """A bucket for one attempt."""
        return RateLimit(self.rate, reactor.seconds) if self.rate else None

    def tell(self, kind: Kind, **more: Any) -> None:
        """Show an event."""
        path = os.fsencode(self.name)
        self.show(
            TransferEvent(kind, path, size=self.size, position=self.position, resumed=self.resumed, **more)
        )

    def start(self, size: int, offset: int = 0) -> None:
        """An attempt begins to move bytes."""
        self.size, self.position, self.resumed = size, offset, offset
        self.tell("started")

    def step(self, count: int) -> None:
        """Bytes moved."""
        self.position += count
        self.moved += count
        self.reached = max(self.reached, self.position)
        self.tell("progress")

    async def bring(self, reactor: Any, begin: Callable[[], Awaitable[bool]], retries: int) -> bool:
        """Run ``begin``, repeated where the connection breaks; whether the file is verified.

        Raises:
            XferError: about this file unless it says about what else.
        """

        def again(error: XferError, wait: float) -> None:
            self.tell("reconnecting", error=error, seconds=wait)

        try:
            return await attempts(reactor, begin, retries, lambda: self.moved, lambda: self.reached, again)
        except XferError as error:
            if error.subject is None and not isinstance(error, LoginFailed | ConnectionLost | TimedOut):
                error.subject = self.name
            raise
        finally:
            self.show.close()

    def done(self, path: str, *, verified: bool, as_json: bool) -> None:
        """The result."""
        if as_json:
            line = {"event": "done", "path": path, "size": self.size, "verified": verified}
            result(json.dumps(line | ({"resumed": self.resumed} if self.resumed else {})))
            return
        result(printable(path))
        if verified:
            say("verified by MD5")
        elif self.resumed:
            say(f"went on at byte {self.resumed}: what was there before is not verified by this protocol")
        else:
            say("not verified: no MD5 was exchanged")


async def log_in_at(reactor: Any, place: Place, ca: str, password: str) -> Any:
    """A jsonftp session. Raises LoginFailed, ConnectionLost, TimedOut, RemoteProtocolError."""
    from twisted_xfer.protocols.jsonftp import log_in

    endpoint = place.endpoint(reactor, ca)
    return await log_in(endpoint, place.username, password, reactor, framed=chosen("framed"))
