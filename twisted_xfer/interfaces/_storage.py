"""Storages, and what they open."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, Union

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from twisted_xfer.paths import VirtualPath
from twisted_xfer.values import Value

T = TypeVar("T")

#: Every seam may answer with a value, a coroutine or a Deferred.
Eventually: TypeAlias = Union[T, Deferred[T], Coroutine[Any, Any, T]]  # noqa: UP007 - a generic alias needs the subscript form

#: Only files can be read and written; ``other`` is whatever has no name here.
Kind = Literal["file", "dir", "symlink", "fifo", "socket", "block", "char", "other"]


class FileInfo(NamedTuple):
    """What is known of one entry. A named tuple because a listing makes tens of thousands.

    ``name`` is the entry's own name (empty for the root); ``mtime_ns`` is Unix time in
    nanoseconds; ``mode`` holds the permission bits only (``0o7777``); ``target`` is the text of a
    symlink that was not followed. ``unique`` is empty where the storage has no identity. ``kept`` is a part
    of the asking owner's, which stands for a file that is not published.
    """

    name: bytes
    kind: Kind
    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    links: int = 1
    uid: int = 0
    gid: int = 0
    unique: str = ""
    target: bytes | None = None
    kept: bool = False


@attrs.frozen(eq=False, repr=False)
class WriteIntent(Value):
    """How a file is to be written.

    ``append`` continues after what is there (APPE); ``offset`` continues at that byte (REST +
    STOR): the first ``offset`` bytes are those of the owner's kept part, else of the old file.
    ``size`` is the announced total or None; ``if_exists`` is the policy for a taken name
    (``unique`` chooses a free one, as STOU does). ``key`` names the source of a resumable part
    (peer, size, mtime): a kept part with another key is dropped, never spliced.
    """

    append: bool = False
    offset: int = 0
    size: int | None = None
    if_exists: Literal["overwrite", "refuse", "rename"] = "overwrite"
    unique: bool = False
    key: str = ""


@attrs.frozen(eq=False, repr=False)
class Expected(Value):
    """What a finished upload must be: its size, its digest (algorithm and raw bytes), its metadata.

    ``prefix`` belongs before what was written, and is put there before anything is checked: for
    senders of whom only the end says where their file began. Give it with ``size``, so that a
    storage that does not know it refuses.
    """

    size: int | None = None
    digest: tuple[str, bytes] | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    prefix: bytes = b""


class NewFile(NamedTuple):
    """A small file, whole: what store_new() publishes. ``mode`` and ``mtime_ns`` as in Expected."""

    path: VirtualPath
    data: bytes
    mode: int | None = None
    mtime_ns: int | None = None


class IHasFileno(Interface):
    """The bytes are those of a plain file, so the kernel may move them itself."""

    def fileno() -> int:
        """The descriptor, positioned where reading or writing goes on. Owned by this object."""


class IPublished(Interface):
    """Whoever can tell what is published from what is only kept for its owner."""

    def published(path: VirtualPath, follow: bool = True) -> Eventually[int | None]:
        """The size of the file that everybody sees at ``path``, kept part or not.

        None when there is nothing, or a directory. Without ``follow`` a link stands for itself, as
        for remove() and rename(), and is a file of 0 bytes, as is anything else that is no file.
        """


class IHasParts(IPublished):
    """A storage that keeps parts, and so may show an owner what is not published yet."""

    def count(path: VirtualPath) -> Eventually[tuple[int, int]]:
        """Bytes and files that are published at and below ``path``, links not followed.

        Adds up what ``published`` without ``follow`` answers for each entry; nothing there is (0, 0).
        """


class IHasRoom(Interface):
    """Whoever knows how much may still be stored, quota aside."""

    def room(path: VirtualPath) -> Eventually[int | None]:
        """Free bytes for new files in the directory ``path``, or None when that is not known.

        Fails with NotFound and NotADirectory, as list() does.
        """


class IEnters(Interface):
    """Whoever can tell a directory that is a way to what is in it from one that is closed."""

    def enter(path: VirtualPath) -> Eventually[FileInfo]:
        """What stat() says of the directory ``path``, if names in it can be looked up.

        Fails with PermissionDenied where they cannot; NotADirectory.
        """


class IMakesLinks(Interface):
    """A storage in which symbolic links can be made that never lead out of its root."""

    def make_link(path: VirtualPath, target: bytes, mtime_ns: int | None = None) -> Eventually[bool]:
        """Make a link with the text ``target``; False when the very same is there already.

        Relative targets only, that stay below the root wherever the rest of the path leads. Fails with
        ForbiddenPath for any other, and where the path itself goes through a link; AlreadyExists.
        """


class IStoresNew(Interface):
    """Whoever can store small new files in fewer steps than an upload takes, each as whole or absent as that."""

    def store_new(files: Sequence[NewFile]) -> int:
        """Publish ``files`` in their order, as uploads with ``if_exists="refuse"`` would; how many of them.

        Answers at once and never fails. It ends before the first that is not so simple: a name that is
        taken, a part that is kept, a directory that is missing, a right, a quota or a disk that refuses.
        Nothing was told of that one and nothing is left of it: open_write() deals with it.
        """


class IReadFile(Interface):
    """An open file, or any other source of bytes, positioned at the offset it was opened with."""

    info: FileInfo = Attribute("FileInfo at the time of opening")
    offset: int = Attribute("where the next read() starts")
    mode: str = Attribute("'image', unless whoever reads sets 'ascii': for events only")

    def read(size: int) -> Eventually[bytes]:
        """At most ``size`` bytes from the current position; empty at the end.

        May fail with StorageFailure. Never called again before the answer came.
        """

    def advance(size: int) -> None:
        """The kernel moved ``size`` bytes out of fileno() itself (sendfile with an explicit offset)."""

    def close(reason: Exception | None = None) -> None:
        """Let go of it; ``reason`` is why it was not read to its end. May be called twice."""


class IUpload(Interface):
    """A file being written. Nobody but its owner sees it until commit()."""

    path: VirtualPath = Attribute("the final path, known from the start (STOU included)")
    offset: int = Attribute("bytes that are there already: where the next write() goes")
    mode: str = Attribute("'image', unless whoever writes sets 'ascii': for events only")

    def reserve(size: int) -> int:
        """How many of the next ``size`` bytes may be written now, at least 1.

        Asked before each write and before each splice, so that quota holds byte for byte.

        Raises:
            QuotaExceeded: none may.
            TooLarge: the largest file allowed is reached.
        """

    def write(data: bytes | bytearray | memoryview) -> Eventually[None]:
        """Append ``data``. The buffer is not kept after the answer. May fail with NoSpace, StorageFailure."""

    def advance(size: int) -> None:
        """The kernel wrote ``size`` bytes to fileno() itself."""

    def commit(expected: Expected | None = None) -> Eventually[FileInfo]:
        """Check, publish under the final name in one step, and let go.

        May fail with Truncated or DigestMismatch (the part is kept), AlreadyExists, Vetoed (dropped).
        A storage that knows the size of the published file that this replaced, taken in the same
        step, says so afterwards in an optional attribute ``replaced`` (None: there was none). One
        that writes under the final name itself says after suspend() and abort(), and after a commit()
        that failed, in an optional attribute ``kept`` how many bytes stay there (None: no file does).
        """

    def suspend(reason: Exception | None = None) -> Eventually[None]:
        """Keep the part for its owner to resume, where the storage can and it is not empty; else abort()."""

    def abort(reason: Exception | None = None) -> Eventually[None]:
        """Drop it: nothing under the final name has changed. May be called after any other."""


class IListing(Interface):
    """An open directory."""

    def next_batch(limit: int = 100) -> Eventually[list[FileInfo]]:
        """At most ``limit`` more entries, in the storage's own order; an empty list at the end."""

    def close() -> None:
        """Let go of it. May be called twice."""


class IStorage(Interface):
    """A tree of files below a root. Paths are VirtualPath; nothing outside the root is reachable.

    Every method may fail with NotFound, NotADirectory, PermissionDenied, ForbiddenPath,
    ReadOnly, StorageFailure; what else is said at the method.
    """

    capabilities: frozenset[str] = Attribute("of: append, resume, chmod, utime, symlinks, fileno, unique")

    def view(home: str, *, owner: str, create: bool = False) -> Eventually[IStorage]:
        """The same storage rooted at ``home`` (its own spelling of a place), for one owner.

        Kept parts belong to ``owner``. Fails with NotFound when it is missing and not created.
        """

    def stat(path: VirtualPath) -> Eventually[FileInfo]:
        """What ``path`` is, symlinks followed by policy. The owner's kept part counts where no file is."""

    def list(path: VirtualPath) -> Eventually[IListing]:
        """Open the directory ``path``. Other owners' parts are never shown."""

    def open_read(path: VirtualPath, offset: int = 0) -> Eventually[IReadFile]:
        """Open for reading at ``offset``. IsADirectory, NotAFile, OffsetInvalid."""

    def open_write(path: VirtualPath, intent: WriteIntent) -> Eventually[IUpload]:
        """Begin to write. IsADirectory, AlreadyExists, OffsetInvalid, NoSpace, Busy."""

    def make_directory(path: VirtualPath) -> Eventually[None]:
        """AlreadyExists."""

    def remove(path: VirtualPath) -> Eventually[None]:
        """Remove a file or a symlink itself, and the owner's part of it. IsADirectory."""

    def remove_directory(path: VirtualPath) -> Eventually[None]:
        """DirectoryNotEmpty; the root itself is ForbiddenPath."""

    def rename(source: VirtualPath, target: VirtualPath) -> Eventually[None]:
        """Rename, replacing a file in one step. CrossDevice, IsADirectory, DirectoryNotEmpty."""

    def set_times(path: VirtualPath, mtime_ns: int) -> Eventually[None]:
        """Set the modification time; the access time becomes the same."""

    def set_mode(path: VirtualPath, mode: int) -> Eventually[None]:
        """Set permission bits; set-uid, set-gid and sticky are refused with PermissionDenied."""

    def close() -> None:
        """Let go of descriptors. May be called twice."""
