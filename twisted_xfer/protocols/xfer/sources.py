"""What is offered: the offer itself, plain files of this machine, and standard input."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from zope.interface import implementer

from twisted_xfer.errors import IsADirectory, NotAFile, NotFound, PermissionDenied, XferError
from twisted_xfer.interfaces import (
    Eventually,
    FileInfo,
    IHasFileno,
    IReadFile,
    Kind,
)
from twisted_xfer.protocols.xfer.content import from_system

#: Seconds that somebody who is through with a stream may wait for it.
_LOOK: Final = 0.2
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
KINDS: Final[dict[int, Kind]] = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
#: Stand behind every name (255 bytes at most): links come after what else is in their directory, a
#: directory itself after all of it.
AFTER_NAMES: Final = b"\xff" * 256
AT_THE_END: Final = b"\xff" * 257


class Offer(NamedTuple):
    """One thing to be offered under ``path``; ``open`` gives its content from the beginning.

    A named tuple because a walk makes one for each file.
    """

    path: bytes
    kind: Kind
    size: int | None
    mode: int | None
    mtime_ns: int | None
    open: Callable[[], Eventually[IReadFile]]
    target: bytes | None = None
    #: Why it cannot be offered after all.
    problem: Exception | None = None
    #: Where it stands in the order of the walk, for going on after a reconnection: upwards.
    order: tuple[int, tuple[bytes, ...]] = (0, ())
    #: All of a small file at once, where that costs less than to open it; see DiskContent.whole.
    whole: Callable[[int], bytes] | None = None


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


class Stream(DiskFile):
    """Something that is read to its end, such as standard input, and may keep its reader waiting."""

    __slots__ = ()

    def read_soon(self, size: int) -> bytes | None:
        """As ``read``, for a thread; None when nothing has come for a moment. Raises StorageFailure."""
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        return self.read(size) if poller.poll(_LOOK * 1000) else None


def _opened(path: bytes) -> int:
    """A descriptor of whatever is there. Raises NotFound, PermissionDenied, StorageFailure."""
    try:
        return os.open(path, _READ)
    except FileNotFoundError:
        raise NotFound(path) from None
    except PermissionError:
        raise PermissionDenied(path) from None
    except OSError as error:
        raise from_system(error) from error


def _status_of(fd: int, path: bytes) -> os.stat_result:
    """Of a plain file. Raises IsADirectory, NotAFile."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise (IsADirectory if stat.S_ISDIR(status.st_mode) else NotAFile)(path)
    return status


class DiskContent:
    """What is in a plain file of this machine: called, it opens it.

    Raises:
        NotFound, PermissionDenied, IsADirectory, NotAFile, StorageFailure.
    """

    __slots__ = ("_path",)

    def __init__(self, path: bytes) -> None:
        self._path = path

    def __call__(self) -> DiskFile:
        """Open it."""
        fd = _opened(self._path)
        try:
            status = _status_of(fd, self._path)
        except XferError:
            os.close(fd)
            raise
        return DiskFile(fd, make_info(os.path.basename(self._path), status))

    def whole(self, size: int) -> bytes:
        """All of it if it has ``size`` bytes, else more or less than that: for less than opening and reading costs.

        What it is is asked only where it does not read as a file of this size does: it was one a moment ago.
        """
        fd = _opened(self._path)
        try:
            data = os.read(fd, size + 1)
            while len(data) < size and (more := os.read(fd, size + 1 - len(data))):
                data += more
            if len(data) != size or not data:
                _status_of(fd, self._path)
        except OSError as error:
            _status_of(fd, self._path)
            raise from_system(error) from error
        finally:
            os.close(fd)
        return data


def make_info(name: bytes, status: os.stat_result) -> FileInfo:
    """What a status says."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return FileInfo(name, kind, status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode))


class PipeSource:
    """One stream of unknown length, such as standard input, under ``name``."""

    def __init__(self, fd: int, name: bytes) -> None:
        def opened() -> Stream:
            try:
                return Stream(os.dup(fd), FileInfo(name, "file"))
            except OSError as error:
                raise from_system(error) from error

        self._offer: Offer | None = Offer(name, "file", None, None, None, opened)

    def next(self) -> Offer | None:
        """The one offer."""
        offer, self._offer = self._offer, None
        return offer

    def close(self) -> None:
        """Nothing is held."""


def has_changed(file: IReadFile, offer: Offer) -> bool:
    """Whether the file is another than was offered, as far as its descriptor says."""
    if offer.size is None or not IHasFileno.providedBy(file):
        return False
    status = os.fstat(IHasFileno(file).fileno())
    return status.st_size != offer.size or status.st_mtime_ns != offer.mtime_ns
