"""Where offers come from: files of this machine, or a storage."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, Protocol

import attrs
from zope.interface import implementer

from twisted_xfer.errors import IsADirectory, NotAFile, NotFound, PermissionDenied
from twisted_xfer.interfaces import (
    Eventually,
    FileInfo,
    IHasFileno,
    IListing,
    IReadFile,
    IStorage,
    Kind,
)
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.content import from_system
from twisted_xfer.protocols.xfer.wire.paths import MAX_DEPTH, is_sendable

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS: Final[dict[int, Kind]] = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
#: Entries of a directory asked for at once.
BATCH: Final = 100


@attrs.frozen
class Offer:
    """One thing to be offered under ``path``; ``open`` gives its content from the beginning."""

    path: bytes
    kind: Kind
    size: int | None
    mode: int | None
    mtime_ns: int | None
    open: Callable[[], Eventually[IReadFile]]
    target: bytes | None = None
    #: Why it cannot be offered after all.
    problem: Exception | None = None
    #: Where it stands in the order of the walk, for going on after a reconnection.
    order: tuple[int, tuple[bytes, ...]] = (0, ())


class Source(Protocol):
    """Gives offers one by one, so that no tree has to be known before it is sent."""

    def next(self) -> Eventually[Offer | None]:
        """The next, or None at the end."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@implementer(IReadFile, IHasFileno)
class DiskFile:
    """A plain file of this machine."""

    __slots__ = ("_fd", "info", "mode", "offset")

    info: FileInfo
    offset: int
    mode: str

    def __init__(self, fd: int, info: FileInfo) -> None:
        self._fd = fd
        self.info = info
        self.offset = 0
        self.mode = "image"

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes. Raises StorageFailure."""
        try:
            data = os.read(self._fd, size)
        except OSError as error:
            raise from_system(error) from error
        self.offset += len(data)
        return data

    def advance(self, size: int) -> None:
        """Somebody else read ``size`` bytes."""
        self.offset += size

    def close(self, reason: Exception | None = None) -> None:
        """Close. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def open_disk(path: bytes) -> DiskFile:
    """Open a plain file.

    Raises:
        NotFound, PermissionDenied, IsADirectory, NotAFile, StorageFailure.
    """
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        raise NotFound(path) from None
    except PermissionError:
        raise PermissionDenied(path) from None
    except OSError as error:
        raise from_system(error) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise (IsADirectory if stat.S_ISDIR(status.st_mode) else NotAFile)(path)
    return DiskFile(fd, _info(os.path.basename(path), status))


def _info(name: bytes, status: os.stat_result) -> FileInfo:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return FileInfo(name, kind, status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode))


@attrs.frozen
class Chosen:
    """Which entries of a tree: names or relative paths that match no pattern of ``exclude``."""

    exclude: tuple[bytes, ...] = ()

    def takes(self, parts: tuple[bytes, ...]) -> bool:
        """Whether an entry is to be sent."""
        path = b"/".join(parts)
        return not any(
            fnmatchcase(parts[-1].decode("latin-1"), pattern.decode("latin-1"))
            or fnmatchcase(path.decode("latin-1"), pattern.decode("latin-1"))
            for pattern in self.exclude
        )


class DiskSource:
    """Files and trees of this machine, in a fixed order: one directory is open at each level.

    ``paths`` are offered under their last component, ``.`` and ``/`` by what is in them. Links are
    offered as links, except those named in ``paths``. ``after`` skips what stands before it.
    """

    def __init__(
        self,
        paths: Sequence[bytes],
        chosen: Chosen = Chosen(),
        after: tuple[int, tuple[bytes, ...]] | None = None,
    ) -> None:
        self._walk = self._offers(paths, chosen)
        self._after = after

    def next(self) -> Offer | None:
        """The next offer."""
        for offer in self._walk:
            if self._after is None or offer.order > self._after:
                return offer
        return None

    def close(self) -> None:
        """Let go of open directories."""
        self._walk.close()

    def _offers(self, paths: Sequence[bytes], chosen: Chosen) -> Generator[Offer, None, None]:
        for index, path in enumerate(paths):
            name = os.path.basename(os.path.normpath(path)) if path not in {b".", b"/"} else b""
            if name in {b"..", b"."}:
                name = os.path.basename(os.path.abspath(path))
            try:
                status = os.stat(path)
            except OSError as error:
                yield _broken(name or path, error, (index, (name,)))
                continue
            yield from self._one(path, (name,) if name else (), status, chosen, index)

    def _one(
        self, path: bytes, parts: tuple[bytes, ...], status: os.stat_result, chosen: Chosen, index: int
    ) -> Iterator[Offer]:
        info = _info(parts[-1] if parts else b"", status)
        if parts:
            yield _disk_offer(path, parts, info, (index, parts))
        if info.kind != "dir" or len(parts) >= MAX_DEPTH:
            return
        try:
            names = sorted(os.listdir(path))
        except OSError as error:
            yield _broken(b"/".join(parts), error, (index, parts))
            return
        for name in names:
            below = (*parts, name)
            if not chosen.takes(below):
                continue
            inner = os.path.join(path, name)
            try:
                below_status = os.lstat(inner)
            except OSError as error:
                yield _broken(b"/".join(below), error, (index, below))
                continue
            yield from self._one(inner, below, below_status, chosen, index)


def _broken(path: bytes, error: OSError, order: tuple[int, tuple[bytes, ...]]) -> Offer:
    problem: Exception = NotFound(path) if isinstance(error, FileNotFoundError) else from_system(error)

    def unopened() -> IReadFile:
        raise problem

    return Offer(path, "other", None, None, None, unopened, problem=problem, order=order)


def _disk_offer(
    path: bytes, parts: tuple[bytes, ...], info: FileInfo, order: tuple[int, tuple[bytes, ...]]
) -> Offer:
    relative = b"/".join(parts)
    target = None
    problem: Exception | None = None
    if info.kind == "symlink":
        try:
            target = os.readlink(path)
        except OSError as error:
            problem = from_system(error)
    elif info.kind == "other":
        problem = NotAFile(relative)
    if not is_sendable(relative):
        problem = NotAFile(relative, "a name that the protocol does not carry")
    return Offer(
        relative,
        info.kind,
        info.size if info.kind == "file" else None,
        info.mode & 0o777,
        info.mtime_ns,
        lambda: open_disk(path),
        target,
        problem,
        order,
    )


class PipeSource:
    """One stream of unknown length, such as standard input, under ``name``."""

    def __init__(self, fd: int, name: bytes) -> None:
        self._offer: Offer | None = Offer(
            name, "file", None, None, None, lambda: DiskFile(os.dup(fd), FileInfo(name, "file"))
        )

    def next(self) -> Offer | None:
        """The one offer."""
        offer, self._offer = self._offer, None
        return offer

    def close(self) -> None:
        """Nothing is held."""


class StorageSource:
    """A file or a tree of a storage, below ``path``: for GET."""

    def __init__(self, storage: IStorage, path: VirtualPath) -> None:
        self._storage = storage
        self._start: VirtualPath | None = path
        self._cut = len(path.parts[:-1])
        self._open: list[tuple[VirtualPath, IListing, list[FileInfo]]] = []

    async def next(self) -> Offer | None:
        """The next offer. May fail as the storage does, for the first."""
        if self._start is not None:
            path, self._start = self._start, None
            info = await resolve(self._storage.stat(path))
            return await self._entry(path, info._replace(name=path.name)) or await self.next()
        while self._open:
            directory, listing, batch = self._open[-1]
            if not batch:
                more = await resolve(listing.next_batch(BATCH))
                batch.extend(reversed(more))
            if not batch:
                listing.close()
                self._open.pop()
                continue
            info = batch.pop()
            offer = await self._entry(directory.child(info.name), info)
            if offer is not None:
                return offer
        return None

    async def _entry(self, path: VirtualPath, info: FileInfo) -> Offer | None:
        """The offer of one entry; None for the root, and for what cannot be offered."""
        parts = path.parts[self._cut :]
        relative = b"/".join(parts)
        if info.kind == "dir" and len(parts) < MAX_DEPTH:
            self._open.append((path, await resolve(self._storage.list(path)), []))
        if not parts or info.kind not in {"file", "dir"} or not is_sendable(relative):
            return None
        size = info.size if info.kind == "file" else None
        return Offer(
            relative, info.kind, size, info.mode & 0o777, info.mtime_ns, lambda: self._storage.open_read(path)
        )

    def close(self) -> None:
        """Let go of open directories."""
        while self._open:
            self._open.pop()[1].close()


def has_changed(file: IReadFile, offer: Offer) -> bool:
    """Whether the file is another than was offered, as far as its descriptor says."""
    if offer.size is None or not IHasFileno.providedBy(file):
        return False
    status = os.fstat(IHasFileno(file).fileno())
    return status.st_size != offer.size or status.st_mtime_ns != offer.mtime_ns
