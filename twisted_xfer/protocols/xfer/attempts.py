"""Trying again: what is settled, how long to wait, and when to give up."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from twisted_xfer.errors import DigestMismatch, NotAFile, Unsupported, XferError
from twisted_xfer.interfaces import IBlocking, ILimiter, RandomBytes
from twisted_xfer.protocols.xfer.caller import Caller, CannotConnect, Login, Target
from twisted_xfer.protocols.xfer.dialing import dial
from twisted_xfer.protocols.xfer.disk_tree import Links
from twisted_xfer.protocols.xfer.errormap import PeerError, is_transient
from twisted_xfer.protocols.xfer.joining import Ticket
from twisted_xfer.protocols.xfer.report import OnEvent, Summary, TransferEvent
from twisted_xfer.protocols.xfer.sources import Offer, Source
from twisted_xfer.protocols.xfer.wire.paths import is_sendable
from twisted_xfer.values import Shown, Value

#: Seconds before the first reconnection, doubled each time up to the most.
FIRST_WAIT: Final = 1.0
MOST_WAIT: Final = 30.0
#: Reconnections in a row that bring nothing before we give up.
RETRIES: Final = 5
#: A flipped bit is the line's; one after the other is something worse, and no reason to go on for ever.
MOST_DAMAGES: Final = 3


@implementer(IBlocking)
class ReactorThreads:
    """A reactor's own thread pool as IBlocking."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def run(self, function: Callable[..., Any], *args: object, pool: str = "disk") -> Deferred[Any]:
        """Call in a thread."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *args)


def as_patterns(given: Iterable[bytes | str]) -> tuple[bytes, ...]:
    """Patterns as names are, in bytes. Raises TypeError for a single one."""
    if isinstance(given, bytes | str):
        raise TypeError("a sequence of patterns, not one pattern")
    return tuple(map(os.fsencode, given))


@attrs.frozen(eq=False, repr=False)
class Work(Value):
    """How to go about it; every part may be replaced in tests.

    ``retries`` counts reconnections in a row without progress; ``if_exists`` is one of the
    protocol's policies; ``exclude`` and ``include`` are patterns (bytes or text) as in ``.gitignore`` (see Chosen), and
    with ``gitignore`` files of that name count as well, of trees that are sent; ``links`` is what
    becomes of symbolic links that are sent; ``dry_run`` only asks the receiver; ``connections`` is
    how many to spread files over, as far as the receiver takes them. ``limiter`` is our
    own limit on content, beside the peer's.
    """

    if_exists: str = "skip-same"
    exclude: tuple[bytes, ...] = attrs.field(default=(), converter=as_patterns)
    include: tuple[bytes, ...] = attrs.field(default=(), converter=as_patterns)
    gitignore: bool = False
    links: Links = "send"
    dry_run: bool = False
    connections: int = 1
    retries: int = RETRIES
    blocking: IBlocking | None = None
    endpoint: IStreamClientEndpoint | None = None
    limiter: ILimiter | None = None
    random: RandomBytes = os.urandom


class Ledger:
    """Which offers are settled, so that a reconnection goes on behind them.

    Holds what is in the air and what failed for now, never the whole tree: the walk is in order.
    """

    def __init__(self) -> None:
        self._low: Any = None
        self._ahead: set[Any] = set()
        self._sequence: deque[Any] = deque()

    def begin(self) -> None:
        """A new walk from the start."""
        self._sequence.clear()

    def wanted(self, offer: Offer) -> bool:
        """Note an offer of the walk; False when it is settled already."""
        if self._low is not None and offer.order <= self._low:
            return False
        self._sequence.append(offer.order)
        if offer.order in self._ahead:
            self._trim()
            return False
        return True

    def settle(self, offer: Offer) -> None:
        """This one needs no other try."""
        order = offer.order
        if self._sequence and self._sequence[0] == order:
            # Most are answered in their order.
            self._low = self._sequence.popleft()
            if self._ahead:
                self._trim()
        elif self._low is None or order > self._low:
            self._ahead.add(order)

    def _trim(self) -> None:
        while self._sequence and self._sequence[0] in self._ahead:
            self._low = self._sequence.popleft()
            self._ahead.discard(self._low)


class Tracked:
    """A source without what is settled."""

    def __init__(self, source: Any, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def next(self) -> Offer | None:
        """The next that is not settled."""
        while (offer := self._source.next()) is not None:
            if self._ledger.wanted(offer):
                found: Offer = offer
                return found
        return None

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


@attrs.define(eq=False, repr=False)
class Run(Shown):
    """What one call of send() or get() keeps over its connections."""

    reactor: Any
    target: Target
    login: Login
    work: Work
    on_event: OnEvent
    summary: Summary = attrs.field(factory=Summary)
    progress: bool = False
    damages: int = 0
    furthest: tuple[bytes, int] = (b"", 0)
    transient: XferError | None = None
    unheard: Exception | None = None
    callers: list[Caller] = attrs.field(factory=list)
    ended: bool = False

    @property
    def blocking(self) -> IBlocking:
        """Where content is read, written and hashed."""
        return self.work.blocking or ReactorThreads(self.reactor)

    def try_again(self, error: Exception | None) -> bool:
        """Whether an entry that failed so is worth another connection; the run then ends with one."""
        if not self.work.retries or not isinstance(error, XferError):
            return False
        if isinstance(error, PeerError) and error.name == DigestMismatch.code:
            # The receiver published nothing. A receiver that claims success with another digest is
            # not asked again: it would say that the file is there already.
            self.damages += 1
            if self.damages > MOST_DAMAGES:
                return False
        elif not is_transient(error):
            return False
        self.transient = error
        return True

    def note(self, event: TransferEvent) -> None:
        """Add an event to the sum, and pass it on; not any more when it is over, however late a thread comes back."""
        if self.ended:
            return
        kind = event.kind
        if kind in {"done", "skipped"}:
            self.progress = True
        elif kind == "started" and event.resumed and (event.path, event.resumed) != self.furthest:
            # What is only sent may never have arrived; what can be gone on with has.
            self.progress = True
            self.furthest = (event.path, event.resumed)
        self.summary.note(event)
        try:
            self.on_event(event)
        except Exception as error:
            # The connection breaks of it, which would be tried again and again.
            self.unheard = error
            raise

    async def repeat(self, attempt: Callable[[], Coroutine[Any, Any, None]]) -> Summary:
        """Call ``attempt`` until it brings no transient error, waiting longer each time."""
        try:
            return await self._repeat(attempt)
        finally:
            self.ended = True

    async def _repeat(self, attempt: Callable[[], Coroutine[Any, Any, None]]) -> Summary:
        tries, connected = 0, False
        while True:
            self.progress, self.transient = False, None
            error: XferError | None = None
            try:
                await attempt()
                connected = True
            except CannotConnect as refused:
                # A daemon that restarts is away for a moment; one that was never there is not.
                if not connected:
                    raise
                error = refused
            except XferError as broken:
                if self.unheard is not None:
                    raise self.unheard from None
                if not is_transient(broken):
                    raise
                connected = True
                error = broken
            finally:
                # Those of an attempt that did not come to its end, but was cancelled or failed with a bug.
                callers, self.callers = self.callers, []
                for caller in callers:
                    caller.let_go()
            error = error or self.transient
            if error is None:
                return self.summary
            tries = 0 if self.progress else tries + 1
            if tries > self.work.retries or not self.work.retries:
                raise error
            wait = min(FIRST_WAIT * 2**tries, MOST_WAIT)
            self.on_event(TransferEvent("reconnecting", error=error, seconds=wait))
            await deferLater(self.reactor, wait)

    @staticmethod
    def require(caller: Caller, feature: str, *, wanted: bool) -> None:
        """Raises Unsupported when the peer lacks a feature that we need."""
        if wanted and feature not in caller.link.features:
            caller.finish()
            raise Unsupported(feature, "the other end cannot do that")

    async def call(self, role: Literal["send", "receive"], joins: Ticket | None = None) -> Caller:
        """A new connection, logged in."""
        work = self.work
        caller = await dial(
            self.reactor, self.target, self.login, role, work.random, work.endpoint, joins=joins
        )
        self.callers.append(caller)
        self.on_event(TransferEvent("connected"))
        return caller


class Below:
    """A source whose paths are put below the target's directory."""

    def __init__(self, source: Source, path: bytes) -> None:
        self._source: Any = source
        self._path = path

    def next(self) -> Offer | None:
        """The next, moved."""
        offer: Offer | None = self._source.next()
        if offer is None or not self._path:
            return offer
        path = self._path + b"/" + offer.path
        if offer.problem is None and not is_sendable(path):
            return offer._replace(
                path=path, problem=NotAFile(path, "a name that the protocol does not carry")
            )
        return offer._replace(path=path)

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()
