"""Send, receive, list and remove from Python code: reconnects, goes on where it was, and proves it.

summary = await send(reactor, [b"big.iso"], Target("host", username="me"), Login(password=...))
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from twisted_xfer.errors import RemoteProtocolError, XferError
from twisted_xfer.interfaces import IBlocking, IStorage, RandomBytes
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.caller import Caller, CannotConnect, Login, Target, call
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.errormap import from_peer, is_transient
from twisted_xfer.protocols.xfer.placing import Rules
from twisted_xfer.protocols.xfer.receiving import ReceiverRole
from twisted_xfer.protocols.xfer.report import OnEvent, Summary, TransferEvent, ignore
from twisted_xfer.protocols.xfer.sending import SenderRole
from twisted_xfer.protocols.xfer.sources import Chosen, DiskSource, Offer, PipeSource, Source
from twisted_xfer.protocols.xfer.wire.link import Event
from twisted_xfer.protocols.xfer.wire.messages import (
    Done,
    EndOfOffer,
    Entry,
    Error,
    Get,
    List,
    Message,
    Remove,
)
from twisted_xfer.protocols.xfer.wire.paths import split_path

T = TypeVar("T")
#: Seconds before the first reconnection, doubled each time up to the most.
FIRST_WAIT: Final = 1.0
MOST_WAIT: Final = 30.0
#: Reconnections in a row that bring nothing before we give up.
RETRIES: Final = 5


@implementer(IBlocking)
class ReactorThreads:
    """A reactor's own thread pool as IBlocking."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def run(self, function: Callable[..., Any], *args: object, pool: str = "disk") -> Deferred[Any]:
        """Call in a thread."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function, *args)


@attrs.frozen
class Work:
    """How to go about it; every part may be replaced in tests.

    ``retries`` counts reconnections in a row without progress; ``if_exists`` is one of the
    protocol's policies; ``exclude`` are patterns of names or relative paths.
    """

    if_exists: str = "skip-same"
    exclude: tuple[bytes, ...] = ()
    retries: int = RETRIES
    blocking: IBlocking | None = None
    endpoint: IStreamClientEndpoint | None = None
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
        self._ahead.add(offer.order)
        self._trim()

    def _trim(self) -> None:
        while self._sequence and self._sequence[0] in self._ahead:
            self._low = self._sequence.popleft()
            self._ahead.discard(self._low)


class _Tracked:
    """A source without what is settled."""

    def __init__(self, source: Any, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger

    def next(self) -> Offer | None:
        while (offer := self._source.next()) is not None:
            if self._ledger.wanted(offer):
                found: Offer = offer
                return found
        return None

    def close(self) -> None:
        self._source.close()


@attrs.define(eq=False)
class _Run:
    """What one call of send() or get() keeps over its connections."""

    reactor: Any
    target: Target
    login: Login
    work: Work
    on_event: OnEvent
    summary: Summary = attrs.field(factory=Summary)
    progress: bool = False
    transient: XferError | None = None

    @property
    def blocking(self) -> IBlocking:
        return self.work.blocking or ReactorThreads(self.reactor)

    def note(self, event: TransferEvent) -> None:
        if event.kind in {"progress", "done", "skipped"}:
            self.progress = True
        self.summary.note(event)
        self.on_event(event)

    async def repeat(self, attempt: Callable[[], Coroutine[Any, Any, None]]) -> Summary:
        """Call ``attempt`` until it brings no transient error, waiting longer each time."""
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
                if not is_transient(broken):
                    raise
                connected = True
                error = broken
            error = error or self.transient
            if error is None:
                return self.summary
            tries = 0 if self.progress else tries + 1
            if tries > self.work.retries or not self.work.retries:
                raise error
            wait = min(FIRST_WAIT * 2**tries, MOST_WAIT)
            self.on_event(TransferEvent("reconnecting", error=error, seconds=wait))
            await deferLater(self.reactor, wait)

    async def call(self, role: Any) -> Caller:
        caller = await call(self.reactor, self.target, self.login, role, self.work.random, self.work.endpoint)
        self.on_event(TransferEvent("connected"))
        return caller


def send(
    reactor: Any,
    paths: Sequence[bytes],
    target: Target,
    login: Login,
    work: Work = Work(),
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Send files and trees into the directory ``target.path``; fires when all is answered.

    Single entries that fail are in the summary. Fails with CannotConnect, UntrustedKey,
    LoginImpossible, PeerError, or what ended the last connection.
    """
    ledger = Ledger()

    def source() -> Source:
        ledger.begin()
        return _Tracked(DiskSource(paths, Chosen(work.exclude)), ledger)

    return Deferred.fromCoroutine(_send(_Run(reactor, target, login, work, on_event), source, ledger))


def send_stream(
    reactor: Any,
    fd: int,
    name: bytes,
    target: Target,
    login: Login,
    work: Work = Work(),
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Send what can be read from ``fd`` to its end, as ``name``. It cannot be resumed."""
    once = attrs.evolve(work, retries=0)
    run = _Run(reactor, target, login, once, on_event)
    return Deferred.fromCoroutine(_send(run, lambda: PipeSource(fd, name), Ledger()))


class _Below:
    """A source whose paths are put below the target's directory."""

    def __init__(self, source: Source, path: bytes) -> None:
        self._source: Any = source
        self._path = path

    def next(self) -> Offer | None:
        offer: Offer | None = self._source.next()
        if offer is None or not self._path:
            return offer
        return attrs.evolve(offer, path=self._path + b"/" + offer.path)

    def close(self) -> None:
        self._source.close()


async def _send(run: _Run, source: Callable[[], Source], ledger: Ledger) -> Summary:
    again: set[bytes] = set()
    split_path(run.target.path, root=True)

    def note(event: TransferEvent) -> None:
        error = event.error
        if (
            event.kind == "failed"
            and isinstance(error, XferError)
            and run.work.retries
            and is_transient(error)
        ):
            run.transient = error
            again.add(event.path)
            return
        run.note(event)

    def closed(offer: Offer) -> None:
        if offer.path in again:
            again.discard(offer.path)
        else:
            ledger.settle(offer)

    async def attempt() -> None:
        caller = await run.call("send")
        select = caller.select
        if select is None:
            raise RemoteProtocolError(detail="no SELECT")
        role = SenderRole(
            caller,
            _Below(source(), run.target.path),
            run.blocking,
            window=select.window,
            hash_name=select.hash,
            max_data=select.max_data,
            if_exists=run.work.if_exists,
            on_event=note,
            on_finished=caller.finish,
            on_closed=closed,
        )
        caller.role = role
        role.start()
        error = await caller.over
        if error is not None:
            raise error

    return await run.repeat(attempt)


class _Asking:
    """The role of a caller who asked for something: answers go to ``entries`` or to a receiver."""

    def __init__(self, caller: Caller, on_entry: Callable[[Entry], object] | None = None) -> None:
        self.caller = caller
        self.receiver: ReceiverRole | None = None
        self.error: XferError | None = None
        self._on_entry = on_entry

    def event(self, event: Event) -> None:
        if isinstance(event, Error):
            self.error = from_peer(event)
            self.caller.finish()
        elif self.receiver is not None:
            self.receiver.event(event)
        elif isinstance(event, Entry) and self._on_entry is not None:
            self._on_entry(event)
        elif isinstance(event, EndOfOffer | Done):
            self.caller.finish()
        else:
            raise RemoteProtocolError(detail="an answer to another question")

    def lost(self, reason: XferError) -> None:
        if self.receiver is not None:
            self.receiver.lost(reason)

    async def ask(self, request: Message) -> None:
        """Send the request; done when it is answered. Raises PeerError, or what ended the connection."""
        self.caller.role = self
        self.caller.send(request)
        error = await self.caller.over
        if self.error is not None:
            raise self.error
        if error is not None:
            raise error


def get(
    reactor: Any,
    target: Target,
    login: Login,
    storage: IStorage,
    base: VirtualPath = VirtualPath(),  # noqa: B008 - immutable
    work: Work = Work(),
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Fetch the file or tree ``target.path`` into the directory ``base`` of ``storage``.

    Fails as send() does.
    """
    return Deferred.fromCoroutine(_get(_Run(reactor, target, login, work, on_event), storage, base))


async def _get(run: _Run, storage: IStorage, base: VirtualPath) -> Summary:
    done: set[bytes] = set()
    # Only where a second try would not see by itself that a file is there already.
    forgetful = run.work.if_exists in {"rename", "refuse"}
    rules = Rules(base=base, if_exists=run.work.if_exists, done=done)

    def note(event: TransferEvent) -> None:
        if event.kind == "done" and forgetful and event.type == "file":
            done.add(event.path)
        run.note(event)

    async def attempt() -> None:
        caller = await run.call("receive")
        select = caller.select
        if select is None:
            raise RemoteProtocolError(detail="no SELECT")
        asking = _Asking(caller)
        asking.receiver = ReceiverRole(
            caller,
            storage,
            run.blocking,
            window=select.window,
            hash_name=select.hash,
            rules=rules,
            on_event=note,
            on_finished=caller.finish,
        )
        await asking.ask(Get(stream=1, path=run.target.path))

    return await run.repeat(attempt)


def ls(reactor: Any, target: Target, login: Login, work: Work = Work()) -> Deferred[list[Entry]]:
    """What is in the directory ``target.path``, or the one file that it is. Fails as send() does."""
    entries: list[Entry] = []
    return Deferred.fromCoroutine(
        _once(reactor, target, login, work, List(stream=1, path=target.path), entries.append)
    ).addCallback(lambda _none: entries)


def rm(reactor: Any, target: Target, login: Login, work: Work = Work()) -> Deferred[None]:
    """Remove the file or empty directory ``target.path``. Fails as send() does."""
    return Deferred.fromCoroutine(
        _once(reactor, target, login, work, Remove(stream=1, path=target.path), None)
    )


async def _once(
    reactor: Any,
    target: Target,
    login: Login,
    work: Work,
    request: Message,
    on_entry: Callable[[Entry], object] | None,
) -> None:
    caller = await call(reactor, target, login, "receive", work.random, work.endpoint)
    await _Asking(caller, on_entry).ask(request)


__all__ = ["Connection", "Login", "Summary", "Target", "Work", "get", "ls", "rm", "send", "send_stream"]
