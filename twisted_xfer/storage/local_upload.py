"""Files being written on a local disk: staged in a part, or in place."""

from __future__ import annotations

import os
import stat
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import (
    AlreadyExists,
    DigestMismatch,
    IsADirectory,
    NotAFile,
    StorageFailure,
    Truncated,
)
from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    FileInfo,
    IBlocking,
    IHasFileno,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import MAX_NAME, VirtualPath
from twisted_xfer.storage.digests import file_digest, prepend
from twisted_xfer.storage.errnos import translate
from twisted_xfer.storage.jail import Anchor
from twisted_xfer.storage.local_files import make_info
from twisted_xfer.storage.local_tree import lstat
from twisted_xfer.storage.parts import read_only, write_key
from twisted_xfer.storage.take_name import take_name

#: Names tried for if_exists="rename" before AlreadyExists; each costs one link(2).
MAX_RENAMES: Final = 1000
#: What is longer than this behind the last dot is no extension: a number goes behind it.
MAX_EXTENSION: Final = 16


class Target(NamedTuple):
    """Where an upload will be: the directory, the final name in it, and the path that was asked for."""

    anchor: Anchor
    name: bytes
    path: VirtualPath
    replaced: os.stat_result | None


def numbered(name: bytes, number: int) -> bytes:
    """``report.txt`` as ``report (2).txt``; the stem is cut where the name would be too long."""
    stem, dot, extension = name.rpartition(b".")
    if not stem or len(extension) > MAX_EXTENSION:
        stem, dot, extension = name, b"", b""
    tail = b" (%d)%b%b" % (number, dot, extension)
    return stem[: MAX_NAME - len(tail)] + tail


class LocalUpload:
    """What staged and in-place uploads have in common: one locked descriptor and its position."""

    __slots__ = (
        "_anchor",
        "_blocking",
        "_directory",
        "_fd",
        "_finishing",
        "_fsync",
        "_intent",
        "_name",
        "_replaced",
        "mode",
        "offset",
        "path",
        "replaced",
    )

    path: VirtualPath
    offset: int
    mode: str
    #: Once committed: the size of the published file that this replaced; None when there was none.
    replaced: int | None

    def __init__(
        self,
        fd: int,
        target: Target,
        intent: WriteIntent,
        offset: int,
        fsync: bool,
        blocking: IBlocking | None,
    ) -> None:
        self._fd = fd
        # Held until the end, so that a logout does not take the directory away.
        self._anchor: Anchor | None = target.anchor
        self._directory = target.anchor.fd
        self._name = target.name
        self._replaced = target.replaced
        self._intent = intent
        self._fsync = fsync
        self._blocking = blocking
        self._finishing = False
        self.path = target.path
        self.offset = offset
        self.replaced = None if target.replaced is None else target.replaced.st_size
        self.mode = "image"

    def fileno(self) -> int:
        """The descriptor, positioned at ``offset``; -1 once closed."""
        if self._fd >= 0:
            os.lseek(self._fd, self.offset, os.SEEK_SET)
        return self._fd

    def reserve(self, size: int) -> int:
        """All of it: quota is not the disk's business."""
        return size

    def advance(self, size: int) -> None:
        """The kernel wrote ``size`` bytes."""
        self.offset += size

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``, wherever the kernel left the position."""
        fd = self._fd
        try:
            written = os.pwrite(fd, data, self.offset)
            self.offset += written
            if written < len(data):
                # Disk nearly full: the next call says why.
                view = memoryview(data)
                while written < len(view):
                    more = os.pwrite(fd, view[written:], self.offset)
                    written += more
                    self.offset += more
        except OSError as error:
            raise translate(error, self.path) from error

    def commit(self, expected: Expected | None = None) -> Eventually[FileInfo]:
        """Check, publish and close; digests and fsync go to a thread where there are any."""
        if self._fd < 0 or self._finishing:
            raise StorageFailure(bytes(self.path), "the upload is closed")
        heavy = self._fsync or (expected is not None and bool(expected.digest or expected.prefix))
        if heavy and self._blocking is not None:
            self._finishing = True
            answer: Deferred[FileInfo] = self._blocking.run(self._finish, expected)
            return answer.addErrback(self._not_finished)
        return self._finish(expected)

    def _not_finished(self, failure: Failure) -> Failure:
        """No thread was free: the part stays."""
        self._finishing = False
        self._let_go()
        return failure

    def _finish(self, expected: Expected | None) -> FileInfo:
        try:
            fd = self._fd
            status = os.fstat(fd)
            if expected is not None:
                if expected.prefix:
                    prepend(fd, expected.prefix, status.st_size)
                    status = os.fstat(fd)
                self._check(status.st_size, expected)
            changed = self._apply_metadata(status, expected)
            if self._fsync:
                os.fsync(fd)
            name = self._publish()
            if self._fsync:
                _sync_directory(self._directory)
            if changed:
                status = os.fstat(self._fd)
            return make_info(name, status)
        except OverflowError as error:
            raise StorageFailure(bytes(self.path), "the time is out of range") from error
        except OSError as error:
            raise translate(error, self.path) from error
        finally:
            self._let_go()

    def _check(self, size: int, expected: Expected) -> None:
        if expected.size is not None and expected.size != size:
            raise Truncated(bytes(self.path), "not the size announced", transferred=size, size=expected.size)
        if expected.digest is not None:
            algorithm, wanted = expected.digest
            if file_digest(self._fd, algorithm, size) != wanted:
                raise DigestMismatch(bytes(self.path), algorithm, transferred=size)

    def _apply_metadata(self, status: os.stat_result, expected: Expected | None) -> bool:
        """Times and mode as the peer asked; else the mode of the file that is replaced."""
        mode = expected.mode if expected is not None else None
        if mode is None and self._replaced is not None:
            mode = self._replaced.st_mode
        changed = False
        if mode is not None and mode & 0o777 != status.st_mode & 0o7777:
            os.fchmod(self._fd, mode & 0o777)
            changed = True
        if expected is not None and expected.mtime_ns is not None:
            os.utime(self._fd, ns=(expected.mtime_ns, expected.mtime_ns))
            changed = True
        return changed

    def _publish(self) -> bytes:
        """Make the final name right and answer it."""
        return self._name

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        self._anchor = None
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._let_go()


@implementer(IUpload, IHasFileno)
class StagedUpload(LocalUpload):
    """Bytes go to the part; the final name changes by one rename or link."""

    __slots__ = ("_part",)

    def __init__(
        self,
        fd: int,
        part: bytes,
        target: Target,
        intent: WriteIntent,
        offset: int,
        fsync: bool,
        blocking: IBlocking | None,
    ) -> None:
        super().__init__(fd, target, intent, offset, fsync, blocking)
        self._part = part

    def suspend(self, reason: Exception | None = None) -> None:
        """Keep the part, unless it is empty."""
        if not self._finishing and self._fd >= 0:
            try:
                if not os.fstat(self._fd).st_size:
                    self._drop()
            finally:
                self._let_go()

    def abort(self, reason: Exception | None = None) -> None:
        """Drop the part."""
        if not self._finishing and self._fd >= 0:
            try:
                self._drop()
            finally:
                self._let_go()

    def _drop(self) -> None:
        """Unlink while the lock is held, so that the name is certainly ours."""
        try:
            os.unlink(self._part, dir_fd=self._directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise translate(error, self.path) from error

    def _publish(self) -> bytes:
        intent, directory, name = self._intent, self._directory, self._name
        if intent.key:
            write_key(self._fd, "")
        self._fd = read_only(self._fd, directory, self._part)
        if intent.if_exists == "overwrite" and not intent.unique:
            # Our lock on the part keeps other uploads of this owner away from between these two.
            old = lstat(directory, name)
            os.rename(self._part, name, src_dir_fd=directory, dst_dir_fd=directory)
            self.replaced = old.st_size if old is not None and stat.S_ISREG(old.st_mode) else None
            return name
        self.replaced = None
        if take_name(directory, self._part, name):
            return name
        if intent.if_exists == "rename" and not intent.unique:
            for number in range(1, MAX_RENAMES):
                candidate = numbered(name, number)
                if take_name(directory, self._part, candidate):
                    self.path = self.path.parent.child(candidate)
                    return candidate
        self._drop()
        raise AlreadyExists(bytes(self.path))


@implementer(IUpload, IHasFileno)
class InPlaceUpload(LocalUpload):
    """Bytes go to the final name at once, for trees where a rename or a second file is unwelcome.

    ``suspend`` leaves what has come; ``abort`` removes a file that this upload created and leaves
    one that was there before as far as it was overwritten: there is no old copy to return to.
    ``kept`` says afterwards how many bytes stay under the final name, or None.
    """

    __slots__ = ("_created", "kept")

    kept: int | None

    def __init__(
        self,
        fd: int,
        created: bool,
        target: Target,
        intent: WriteIntent,
        offset: int,
        fsync: bool,
        blocking: IBlocking | None,
    ) -> None:
        super().__init__(fd, target, intent, offset, fsync, blocking)
        self._created = created
        if created:
            self.replaced = None
        self.kept = offset

    def commit(self, expected: Expected | None = None) -> Eventually[FileInfo]:
        """As of any upload; if it fails, what is there stays, for it has the final name."""
        if self._fd >= 0 and not self._finishing:
            self.kept = os.fstat(self._fd).st_size + (0 if expected is None else len(expected.prefix))
        return super().commit(expected)

    def suspend(self, reason: Exception | None = None) -> None:
        """Leave what has come; nothing stays of a new file without bytes."""
        if not self._finishing and self._fd >= 0:
            self.kept = os.fstat(self._fd).st_size
            if self._created and not self.kept:
                self.abort(reason)
            self._let_go()

    def abort(self, reason: Exception | None = None) -> None:
        """Remove the file if this upload created it and it still has the name."""
        if self._finishing or self._fd < 0:
            return
        try:
            ours = os.fstat(self._fd)
            self.kept = ours.st_size
            if self._created:
                directory, name = self._directory, self._name
                linked = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if os.path.samestat(ours, linked):
                    os.unlink(name, dir_fd=directory)
                # Gone, or no longer under this name: whoever took it away has counted it.
                self.kept = None
        except FileNotFoundError:
            self.kept = None
        except OSError as error:
            raise translate(error, self.path) from error
        finally:
            self._let_go()


def _sync_directory(directory: int) -> None:
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def require_file(status: os.stat_result, path: VirtualPath) -> None:
    """Only plain files are written to.

    Raises:
        IsADirectory, NotAFile: it is something else.
    """
    if stat.S_ISREG(status.st_mode):
        return

    raise (IsADirectory if stat.S_ISDIR(status.st_mode) else NotAFile)(bytes(path))
