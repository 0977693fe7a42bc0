"""The role of a listener towards a caller who receives: GET, LIST and REMOVE."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_xfer.errors import Busy, IsADirectory, NotFound, RemoteProtocolError, XferError
from twisted_xfer.interfaces import FileInfo, IAvatar, IBlocking
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.choosing import Chosen
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.errormap import error_message
from twisted_xfer.protocols.xfer.sending import SenderRole
from twisted_xfer.protocols.xfer.storage_tree import BATCH, StorageSource
from twisted_xfer.protocols.xfer.wire.frames import Data, Inline, Packed
from twisted_xfer.protocols.xfer.wire.link import Event
from twisted_xfer.protocols.xfer.wire.messages import (
    Done,
    EndOfOffer,
    Entry,
    Get,
    List,
    Remove,
    Select,
)
from twisted_xfer.protocols.xfer.wire.paths import is_sendable

#: Requests that may run at once on one connection; each costs an open directory at most.
MAX_REQUESTS: Final = 16


class ServingRole:
    """Answers requests; while a GET runs its answers go to the sender's role."""

    log = Logger()

    def __init__(
        self,
        connection: Connection,
        avatar: IAvatar,
        blocking: IBlocking,
        select: Select,
        on_finished: Callable[[], object],
    ) -> None:
        self.connection = connection
        self.avatar = avatar
        self.blocking = blocking
        self.select = select
        self._on_finished = on_finished
        self._sender: SenderRole | None = None
        self._source: StorageSource | None = None
        #: Whether a GET is looked at: its entries are numbered from 1, so there is one.
        self._getting = False
        self._running = 0
        self._gone = False

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._running > 0 or (self._sender is not None and self._sender.busy)

    def event(self, event: Event) -> None:
        """A request, or an answer to what was offered. Raises RemoteProtocolError."""
        if isinstance(event, Get | List | Remove):
            if not event.stream:
                raise RemoteProtocolError(detail="a request without a number")
            if self._running >= MAX_REQUESTS:
                raise Busy(None, "too many requests at once")
            self._running += 1
            work: Coroutine[Any, Any, None]
            if isinstance(event, Get):
                work = self._get(event)
            else:
                work = self._list(event) if isinstance(event, List) else self._remove(event)
            Deferred.fromCoroutine(work).addErrback(self._failed, event.stream).addBoth(self._over)
        elif self._sender is not None:
            self._sender.event(event)
        elif isinstance(event, Data | Inline | Packed):
            raise RemoteProtocolError(detail="content from a receiver")
        else:
            raise RemoteProtocolError(detail="an answer to nothing", event=event.TYPE.name)

    def lost(self, reason: XferError) -> None:
        """The connection is gone."""
        self._gone = True
        if self._sender is not None:
            self._sender.lost(reason)
        if self._source is not None:
            self._source.close()

    def _failed(self, failure: Any, stream: int) -> None:
        error = failure.value
        if not isinstance(error, XferError):
            self.log.failure("a request failed", failure)
            error = XferError()
        self.connection.send(error_message(error, stream))

    def _over(self, _none: object) -> None:
        self._running -= 1
        if not self.busy:
            self._on_finished()

    async def _get(self, request: Get) -> None:
        if self._getting or self._sender is not None:
            raise Busy(None, "one GET a connection")
        path = VirtualPath.parse(request.path)
        chosen = Chosen(_bytes(request.exclude), _bytes(request.include))
        self._getting = True
        try:
            await self._look(path)
        finally:
            self._getting = False
        if self._gone:
            return
        self._source = StorageSource(self.avatar, path, self.connection.clock, chosen)
        self._sender = SenderRole(
            self.connection,
            self._source,
            self.blocking,
            window=self.select.window,
            hash_name=self.select.hash,
            max_data=self.select.max_data,
            end_stream=request.stream,
            dry_run=request.dry_run,
            on_finished=self._on_finished,
            limiter=self.avatar.download_limiter,
        )
        self._sender.start()

    async def _look(self, path: VirtualPath) -> FileInfo:
        """What is there. Raises NotFound for a part of an upload: half a file is none."""
        info: FileInfo = await resolve(self.avatar.stat(path))
        if info.kept:
            raise NotFound(bytes(path))
        return info

    async def _list(self, request: List) -> None:
        path = VirtualPath.parse(request.path)
        info = await self._look(path)
        if info.kind != "dir":
            self._tell(request.stream, info._replace(name=path.name))
            self.connection.send(EndOfOffer(stream=request.stream, entries=1, size=info.size))
            return
        listing = await resolve(self.avatar.list(path))
        entries = total = 0
        try:
            while not self._gone:
                batch = await resolve(listing.next_batch(BATCH))
                if not batch:
                    break
                before = entries
                for one in batch:
                    entries += self._tell(request.stream, one)
                    total += one.size if one.kind == "file" else 0
                full = self.connection.writable()
                if full is not None:
                    await full
                elif entries == before:
                    # Nothing was said that could fill the line: others have their turn all the same.
                    await deferLater(self.connection.clock, 0)
        finally:
            listing.close()
        self.connection.send(EndOfOffer(stream=request.stream, entries=entries, size=total))

    def _tell(self, stream: int, info: Any) -> bool:
        """One entry of a listing; kept parts, and names that the protocol does not carry, are left out."""
        if info.kind not in {"file", "dir", "symlink"} or info.kept or not is_sendable(info.name):
            return False
        self.connection.send(
            Entry(
                stream=stream,
                path=info.name,
                type=info.kind,
                size=info.size if info.kind == "file" else None,
                mode=info.mode & 0o777,
                mtime_ns=info.mtime_ns,
                target=(info.target or b"?")[:4096] if info.kind == "symlink" else None,
            )
        )
        return True

    async def _remove(self, request: Remove) -> None:
        path = VirtualPath.parse(request.path)
        try:
            await resolve(self.avatar.remove(path))
        except IsADirectory:
            await resolve(self.avatar.remove_directory(path))
        self.connection.send(Done(stream=request.stream, stored_as=bytes(path)))


def _bytes(patterns: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(pattern.encode("utf-8", "surrogatepass") for pattern in patterns)
