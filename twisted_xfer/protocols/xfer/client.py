"""Send, receive, list and remove from Python code: reconnects, goes on where it was, and proves it.

summary = await send(reactor, ["big.iso"], Target("host", username="me"), Login(password=...))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
from twisted.internet.defer import Deferred

from twisted_xfer.errors import RemoteProtocolError, Unsupported, XferError
from twisted_xfer.interfaces import IStorage
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.attempts import Below, Ledger, Run, Tracked, Work
from twisted_xfer.protocols.xfer.caller import Caller, Login, Target
from twisted_xfer.protocols.xfer.choosing import Chosen
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.dialing import dial
from twisted_xfer.protocols.xfer.disk_tree import DiskSource
from twisted_xfer.protocols.xfer.errormap import from_peer
from twisted_xfer.protocols.xfer.report import OnEvent, Summary, TransferEvent, ignore
from twisted_xfer.protocols.xfer.sending import SenderRole
from twisted_xfer.protocols.xfer.several import together
from twisted_xfer.protocols.xfer.sources import Offer, PipeSource, Source
from twisted_xfer.protocols.xfer.spread import Spread
from twisted_xfer.protocols.xfer.wire.link import DRY_RUN, FILTER, Event
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import (
    MAX_PATTERN,
    MAX_PATTERNS,
    Done,
    EndOfOffer,
    Entry,
    Error,
    Files,
    Get,
    List,
    Remove,
)
from twisted_xfer.protocols.xfer.wire.paths import split_path
from twisted_xfer.protocols.xfer.wire.together import prefix_of

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole

_PLAIN_WORK: Final = Work()
#: Half a kilobyte each: the listing of a listener without mercy ends before our memory does.
MAX_LISTED: Final = 1_000_000
#: A path of this machine, as ``open`` takes it.
AnyPath: TypeAlias = bytes | str | os.PathLike[bytes] | os.PathLike[str]


def send(
    reactor: Any,
    paths: Sequence[AnyPath],
    target: Target,
    login: Login,
    work: Work = _PLAIN_WORK,
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Send files and trees into the directory ``target.path``; fires when all is answered.

    Single entries that fail are in the summary. Fails with CannotConnect, UntrustedKey,
    LoginImpossible, PeerError, or what ended the last connection.

    Raises:
        TypeError: ``paths`` is one path.
    """
    if isinstance(paths, str | bytes):
        raise TypeError("a sequence of paths is sent, not one path")
    names = [os.fsencode(path) for path in paths]
    ledger = Ledger()

    def source() -> Source:
        ledger.begin()
        chosen = Chosen(work.exclude, work.include, gitignore=work.gitignore)
        return Tracked(DiskSource(names, chosen, work.links), ledger)

    return Deferred.fromCoroutine(_send(Run(reactor, target, login, work, on_event), source, ledger))


def size_of(paths: Sequence[bytes], work: Work = _PLAIN_WORK) -> int:
    """Bytes of all that send() would offer, by walking through it: for a thread. What changes meanwhile is not seen."""
    source = DiskSource(paths, Chosen(work.exclude, work.include, gitignore=work.gitignore), work.links)
    size = 0
    try:
        while (offer := source.next()) is not None:
            size += offer.size or 0
    finally:
        source.close()
    return size


def send_stream(
    reactor: Any,
    fd: int,
    name: bytes | str,
    target: Target,
    login: Login,
    work: Work = _PLAIN_WORK,
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Send what can be read from ``fd`` to its end, as ``name``. It cannot be resumed."""
    once, as_bytes = attrs.evolve(work, retries=0), os.fsencode(name)
    run = Run(reactor, target, login, once, on_event)
    return Deferred.fromCoroutine(_send(run, lambda: PipeSource(fd, as_bytes), Ledger()))


async def _send(run: Run, source: Callable[[], Source], ledger: Ledger) -> Summary:
    again: set[bytes] = set()
    #: Directories in which something is tried again: they get their times once more when it is there.
    unfinished: set[bytes] = set()
    split_path(run.target.path, root=True)

    def note(event: TransferEvent) -> None:
        if event.kind == "failed" and run.try_again(event.error):
            again.add(event.path)
            parts = event.path.split(b"/")
            unfinished.update(b"/".join(parts[:depth]) for depth in range(1, len(parts)))
        elif event.type != "dir" or event.path not in unfinished:
            run.note(event)

    def closed(offer: Offer) -> None:
        if offer.path in again:
            again.discard(offer.path)
        elif offer.kind != "dir" or offer.path not in unfinished:
            ledger.settle(offer)

    def begin(
        caller: Caller, offers: Source, on_finished: Callable[[], object], spread: Spread | None
    ) -> None:
        select = caller.select
        if select is None:
            raise RemoteProtocolError(detail="no SELECT")

        def on_closed(offer: Offer) -> None:
            if spread is not None:
                spread.closed(offer)
            closed(offer)

        role = SenderRole(
            caller,
            offers,
            run.blocking,
            window=select.window,
            hash_name=select.hash,
            max_data=select.max_data,
            if_exists=run.work.if_exists,
            dry_run=run.work.dry_run,
            on_event=note,
            on_finished=on_finished,
            on_closed=on_closed,
            limiter=run.work.limiter,
        )
        caller.role = role
        role.start()

    async def attempt() -> None:
        unfinished.clear()
        caller = await run.call("send")
        run.require(caller, DRY_RUN, wanted=run.work.dry_run)
        offers = Below(source(), run.target.path)
        if caller.ticket is None or run.work.connections < 2 or run.work.dry_run:
            begin(caller, offers, caller.finish, None)
            error = await caller.over
        else:
            error = await together(run, caller, caller.ticket, offers, begin)
        if error is not None:
            raise error

    return await run.repeat(attempt)


def _check_offer(offer: Entry | Files, request: Get) -> None:
    """Raises RemoteProtocolError for what was not asked for: whoever serves chooses no names here."""
    if request.dry_run and not (isinstance(offer, Entry) and offer.dry_run):
        raise RemoteProtocolError(detail="content where it was only asked what there is")
    top = request.path.rstrip(b"/").rpartition(b"/")[2]
    if not top:
        return
    above = offer.path if isinstance(offer, Entry) else prefix_of(offer)
    alone = isinstance(offer, Files) and not above and set(offer.names) == {top}
    if not (alone or above == top or above.startswith(top + b"/")):
        raise RemoteProtocolError(detail="another name than was asked for")


class _Asking:
    """The role of a caller who asked for something: answers go to ``entries`` or to a receiver."""

    def __init__(self, caller: Caller, on_entry: Callable[[Entry], object] | None = None) -> None:
        self.caller = caller
        self.receiver: ReceiverRole | None = None
        self._request: Message | None = None
        self.error: XferError | None = None
        self._on_entry = on_entry

    def event(self, event: Event) -> None:
        if isinstance(event, Error):
            self.error = from_peer(event)
            self.caller.finish()
        elif self.receiver is not None:
            if isinstance(event, Entry | Files) and isinstance(self._request, Get):
                _check_offer(event, self._request)
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
        self._request = request
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
    work: Work = _PLAIN_WORK,
    on_event: OnEvent = ignore,
) -> Deferred[Summary]:
    """Fetch the file or tree ``target.path`` into the directory ``base`` of ``storage``.

    Fails as send() does.
    """
    return Deferred.fromCoroutine(_get(Run(reactor, target, login, work, on_event), storage, base))


def _texts(patterns: tuple[bytes, ...]) -> tuple[str, ...]:
    """Patterns for a GET. Raises Unsupported for what it does not carry."""
    if len(patterns) > MAX_PATTERNS:
        raise Unsupported(None, "too many patterns", limit=MAX_PATTERNS)
    texts = []
    for pattern in patterns:
        try:
            text = pattern.decode("utf-8")
        except UnicodeDecodeError:
            raise Unsupported(pattern, "a pattern that is no UTF-8") from None
        if not 1 <= len(text) <= MAX_PATTERN:
            raise Unsupported(pattern, "a pattern too short or too long", limit=MAX_PATTERN)
        texts.append(text)
    return tuple(texts)


async def _get(run: Run, storage: IStorage, base: VirtualPath) -> Summary:
    # Whoever only sends needs no receiver.
    from twisted_xfer.protocols.xfer.placing import Rules
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole

    done: set[bytes] = set()
    work = run.work
    include, exclude = _texts(work.include), _texts(work.exclude)
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
            limiter=run.work.limiter,
            asking=work.dry_run,
        )
        run.require(caller, DRY_RUN, wanted=work.dry_run)
        run.require(caller, FILTER, wanted=bool(include or exclude))
        await asking.ask(Get(run.target.path, include, exclude, work.dry_run, stream=1))

    return await run.repeat(attempt)


def ls(reactor: Any, target: Target, login: Login, work: Work = _PLAIN_WORK) -> Deferred[list[Entry]]:
    """What is in the directory ``target.path``, or the one file that it is. Fails as send() does.

    With more than MAX_LISTED entries it fails with RemoteProtocolError.
    """
    entries: list[Entry] = []

    def add(entry: Entry) -> None:
        if len(entries) >= MAX_LISTED:
            raise RemoteProtocolError(detail="more in a listing than we take", limit=MAX_LISTED)
        entries.append(entry)

    return Deferred.fromCoroutine(
        _once(reactor, target, login, work, List(stream=1, path=target.path), add)
    ).addCallback(lambda _none: entries)


def rm(reactor: Any, target: Target, login: Login, work: Work = _PLAIN_WORK) -> Deferred[None]:
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
    caller = await dial(reactor, target, login, "receive", work.random, work.endpoint)
    try:
        await _Asking(caller, on_entry).ask(request)
    finally:
        caller.let_go()


__all__ = ["Connection", "Login", "Summary", "Target", "Work", "get", "ls", "rm", "send", "send_stream"]
