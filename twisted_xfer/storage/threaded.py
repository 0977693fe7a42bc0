"""Any synchronous storage, with every operation in a pool of threads: for slow disks and NFS.

What is opened answers one call at a time, in the order of the calls, so that a close never
takes a descriptor from under a read that is still in a thread. Descriptors are not offered: a
sendfile from a slow disk would hold up the reactor, which is what this is there to prevent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import directlyProvides, implementer, providedBy

from twisted_xfer.interfaces import (
    Expected,
    FileInfo,
    IBlocking,
    IEnters,
    IHasParts,
    IHasRoom,
    IListing,
    IMakesLinks,
    IReadFile,
    IStorage,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath

T = TypeVar("T")


class _Serial:
    """Runs the calls on one open object one after the other.

    The queue is bounded by its callers: a pump waits for each answer, and asks for an end once.
    """

    __slots__ = ("_blocking", "_lock")

    def __init__(self, blocking: IBlocking) -> None:
        self._blocking = blocking
        self._lock = DeferredLock()

    def run(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        """``function(*args)`` in a thread, after the calls before it."""
        return cast("Deferred[T]", self._lock.run(self._blocking.run, function, *args))

    def finish(self, function: Callable[..., object], *args: object) -> None:
        """A call whose answer nobody waits for; it is made here when no thread is free."""
        done: Deferred[Any] = self.run(function, *args)
        done.addErrback(lambda _: function(*args))
        done.addErrback(lambda _: None)


class _Content:
    """What a file and an upload have in common."""

    _inner: IReadFile | IUpload

    def __init__(self, inner: IReadFile | IUpload, blocking: IBlocking) -> None:
        self._inner = inner
        self._serial = _Serial(blocking)

    @property
    def offset(self) -> int:
        """Where the next read or write starts."""
        return self._inner.offset

    @property
    def mode(self) -> str:
        """The mode of what is within."""
        return self._inner.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._inner.mode = mode

    def advance(self, size: int) -> None:
        """Keep the position."""
        self._inner.advance(size)


@implementer(IReadFile)
class ThreadedReadFile(_Content):
    """A file whose reads run in threads."""

    _inner: IReadFile

    def __init__(self, inner: IReadFile, blocking: IBlocking) -> None:
        super().__init__(inner, blocking)
        self.info = inner.info

    def read(self, size: int) -> Deferred[bytes]:
        """At most ``size`` bytes."""
        return self._serial.run(cast("Callable[..., bytes]", self._inner.read), size)

    def close(self, reason: Exception | None = None) -> None:
        """Close after the read under way."""
        self._serial.finish(self._inner.close, reason)


@implementer(IUpload)
class ThreadedUpload(_Content):
    """An upload whose writes run in threads."""

    _inner: IUpload

    @property
    def path(self) -> VirtualPath:
        """The final path."""
        return self._inner.path

    @property
    def replaced(self) -> int | None:
        """The upload's within; AttributeError where it does not say."""
        size: int | None = self._inner.replaced  # type: ignore[attr-defined]
        return size

    @property
    def kept(self) -> int | None:
        """The upload's within; AttributeError where it does not say."""
        size: int | None = self._inner.kept  # type: ignore[attr-defined]
        return size

    def reserve(self, size: int) -> int:
        """What the upload within allows."""
        return self._inner.reserve(size)

    def write(self, data: bytes | bytearray | memoryview) -> Deferred[None]:
        """Append ``data``, which must not change before the answer."""
        return self._serial.run(cast("Callable[..., None]", self._inner.write), data)

    def commit(self, expected: Expected | None = None) -> Deferred[FileInfo]:
        """Check and publish."""
        return self._serial.run(cast("Callable[..., FileInfo]", self._inner.commit), expected)

    def suspend(self, reason: Exception | None = None) -> Deferred[None]:
        """Keep the part."""
        return self._serial.run(cast("Callable[..., None]", self._inner.suspend), reason)

    def abort(self, reason: Exception | None = None) -> Deferred[None]:
        """Drop the part."""
        return self._serial.run(cast("Callable[..., None]", self._inner.abort), reason)


@implementer(IListing)
class ThreadedListing:
    """A directory read in threads."""

    def __init__(self, inner: IListing, blocking: IBlocking) -> None:
        self._inner = inner
        self._serial = _Serial(blocking)

    def next_batch(self, limit: int = 100) -> Deferred[list[FileInfo]]:
        """At most ``limit`` more."""
        return self._serial.run(cast("Callable[..., list[FileInfo]]", self._inner.next_batch), limit)

    def close(self) -> None:
        """Close after the batch under way."""
        self._serial.finish(self._inner.close)


@implementer(IStorage)
class ThreadedStorage:
    """``inner`` with every operation in a thread of ``blocking``.

    Args:
        inner: a storage that answers with values and whose operations may run in several threads
            at once, and go on after close(), as LocalStorage's do.
        blocking: the pools.
    """

    def __init__(self, inner: IStorage, blocking: IBlocking) -> None:
        self._inner = inner
        self._blocking = blocking
        self.capabilities = inner.capabilities - {"fileno"}
        if IEnters.providedBy(inner):
            directlyProvides(self, IEnters, providedBy(self))
        if IHasParts.providedBy(inner):
            directlyProvides(self, IHasParts, providedBy(self))
        if IHasRoom.providedBy(inner):
            directlyProvides(self, IHasRoom, providedBy(self))
        if IMakesLinks.providedBy(inner):
            directlyProvides(self, IMakesLinks, providedBy(self))

    def _run(self, function: Callable[..., object], *args: object) -> Deferred[Any]:
        return self._blocking.run(function, *args)

    def view(self, home: str, *, owner: str, create: bool = False) -> Deferred[IStorage]:
        """The storage rooted at ``home``."""

        def open_view() -> IStorage:
            inner = cast("IStorage", self._inner.view(home, owner=owner, create=create))
            return ThreadedStorage(inner, self._blocking)

        return self._run(open_view)

    def stat(self, path: VirtualPath) -> Deferred[FileInfo]:
        """What ``path`` is."""
        return self._run(self._inner.stat, path)

    def enter(self, path: VirtualPath) -> Deferred[FileInfo]:
        """What a directory is that can be entered; offered only where the storage within can tell."""
        return self._run(cast("IEnters", self._inner).enter, path)

    def published(self, path: VirtualPath, follow: bool = True) -> Deferred[int | None]:
        """The size of the file at ``path``; offered only where the storage within has parts."""
        return self._run(cast("IHasParts", self._inner).published, path, follow)

    def count(self, path: VirtualPath) -> Deferred[tuple[int, int]]:
        """Bytes and files at and below ``path``; offered only where the storage within has parts."""
        return self._run(cast("IHasParts", self._inner).count, path)

    def room(self, path: VirtualPath) -> Deferred[int | None]:
        """Free bytes; offered only where the storage within knows them."""
        return self._run(cast("IHasRoom", self._inner).room, path)

    def make_link(self, path: VirtualPath, target: bytes, mtime_ns: int | None = None) -> Deferred[bool]:
        """Make a symbolic link; offered only where the storage within can."""
        return self._run(cast("IMakesLinks", self._inner).make_link, path, target, mtime_ns)

    def list(self, path: VirtualPath) -> Deferred[IListing]:
        """Open a directory."""
        return self._run(lambda: ThreadedListing(cast("IListing", self._inner.list(path)), self._blocking))

    def open_read(self, path: VirtualPath, offset: int = 0) -> Deferred[IReadFile]:
        """Open for reading."""

        def open_file() -> IReadFile:
            return ThreadedReadFile(cast("IReadFile", self._inner.open_read(path, offset)), self._blocking)

        return self._run(open_file)

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Deferred[IUpload]:
        """Begin to write."""

        def open_upload() -> IUpload:
            return ThreadedUpload(cast("IUpload", self._inner.open_write(path, intent)), self._blocking)

        return self._run(open_upload)

    def make_directory(self, path: VirtualPath) -> Deferred[None]:
        """Create a directory."""
        return self._run(self._inner.make_directory, path)

    def remove(self, path: VirtualPath) -> Deferred[None]:
        """Remove a file."""
        return self._run(self._inner.remove, path)

    def remove_directory(self, path: VirtualPath) -> Deferred[None]:
        """Remove an empty directory."""
        return self._run(self._inner.remove_directory, path)

    def rename(self, source: VirtualPath, target: VirtualPath) -> Deferred[None]:
        """Rename."""
        return self._run(self._inner.rename, source, target)

    def set_times(self, path: VirtualPath, mtime_ns: int) -> Deferred[None]:
        """Set the modification time."""
        return self._run(self._inner.set_times, path, mtime_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> Deferred[None]:
        """Set permission bits."""
        return self._run(self._inner.set_mode, path, mode)

    def close(self) -> None:
        """Let go; operations under way keep what they need."""
        self._inner.close()
