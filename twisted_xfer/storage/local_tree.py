"""How a local storage finds its way: the jail applied to paths, links and parts."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final, Literal
from weakref import ref

import attrs
from twisted.internet.defer import Deferred

from twisted_xfer.errors import AlreadyExists, ForbiddenPath, NameInvalid, NotAFile, NotFound, StorageFailure
from twisted_xfer.interfaces import Eventually, FileInfo, IBlocking, RandomBytes
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.count import LIST_FLAGS, count_tree
from twisted_xfer.storage.errnos import translate
from twisted_xfer.storage.jail import DIRECTORY_FLAGS, Anchor, SymlinkPolicy, read_link, release, walk
from twisted_xfer.storage.local_files import make_info
from twisted_xfer.storage.parts import SUFFIX, is_part_name

UploadPolicy = Literal["staged", "in-place"]

_HANDLE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class Settings:
    """What all views of one local storage have in common.

    ``file_mode`` and ``directory_mode`` are what open(2) and mkdir(2) are asked for;
    ``exact_mode`` sets them against the process's umask. ``homes`` are the open roots by path,
    so that the sessions of one account share a descriptor.
    """

    policy: SymlinkPolicy
    staged: bool
    file_mode: int
    directory_mode: int
    home_mode: int
    exact_mode: bool
    fsync: bool
    random: RandomBytes
    blocking: IBlocking | None
    homes: Homes


#: Homes remembered before those whose sessions have all ended are dropped.
SWEEP_AT: Final = 1024


class Homes:
    """Open roots by path, as long as somebody holds them.

    What WeakValueDictionary does, without a call back for each that goes: half of what a home costs
    a session. Bounded: by SWEEP_AT, or by the homes that are open.
    """

    __slots__ = ("_homes", "_sweep_at")

    def __init__(self) -> None:
        self._homes: dict[bytes, ref[Anchor]] = {}
        self._sweep_at = SWEEP_AT

    def get(self, path: bytes) -> Anchor | None:
        """The root that is open at ``path``."""
        found = self._homes.get(path)
        return None if found is None else found()

    def add(self, path: bytes, anchor: Anchor) -> None:
        """``anchor`` is it from now on."""
        if len(self._homes) >= self._sweep_at:
            self._homes = {path: kept for path, kept in self._homes.items() if kept() is not None}
            self._sweep_at = max(SWEEP_AT, 2 * len(self._homes))
        self._homes[path] = ref(anchor)

    def __len__(self) -> int:
        return len(self._homes)


class LocalTree:
    """A root, its settings, and an owner."""

    __slots__ = ("_look_first", "_owner", "_policy", "_root", "_root_path", "_settings", "_staged")

    def __init__(self, anchor: Anchor, root_path: bytes, owner: str, settings: Settings) -> None:
        self._root: Anchor | None = anchor
        self._root_path = root_path
        self._owner = owner.encode("utf-8", "surrogateescape")
        self._settings = settings
        self._policy: SymlinkPolicy = settings.policy
        self._staged = settings.staged
        #: Whether the last name that was to be new was taken.
        self._look_first = False

    def close(self) -> None:
        """Let go of the root; what is open or under way goes on."""
        self._root = None

    def _anchor(self) -> Anchor:
        root = self._root
        if root is None:
            raise StorageFailure(None, "the storage is closed")
        return root

    def _locate(self, root: int, path: VirtualPath, follow: bool = False) -> tuple[int, bytes]:
        """``walk``, and parts do not exist."""
        directory, name = walk(root, path.parts, self._policy, follow)
        if name[-6:] == SUFFIX and is_part_name(name):
            release(root, directory)
            raise NotFound(bytes(path))
        return directory, name

    def _locate_file(self, root: int, path: VirtualPath) -> tuple[int, bytes, os.stat_result | None]:
        """Where ``path`` leads, links resolved, and what is there now, which is never a link."""
        directory, name = self._locate(root, path)
        try:
            status = lstat(directory, name)
            if status is not None and stat.S_ISLNK(status.st_mode):
                there, name = self._locate(root, path, follow=True)
                release(root, directory)
                directory = there
                status = lstat(directory, name)
                if status is not None and stat.S_ISLNK(status.st_mode):
                    raise ForbiddenPath(bytes(path), "the link changed meanwhile")
        except BaseException:
            release(root, directory)
            raise
        return directory, name, status

    def resolve_entry(self, path: VirtualPath) -> os.stat_result:
        """What the link ``path`` leads to. Raises OSError, XferError."""
        anchor = self._anchor()
        directory, _, status = self._locate_file(anchor.fd, path)
        release(anchor.fd, directory)
        if status is None:
            raise NotFound(bytes(path))
        return status

    def enter(self, path: VirtualPath) -> FileInfo:
        """What the directory ``path`` is; PermissionDenied without search permission for it."""
        anchor = self._anchor()
        try:
            fd = self._open(anchor.fd, path, DIRECTORY_FLAGS)
            try:
                # O_PATH asks for no permission; the way from there to anywhere does.
                status = os.stat(b".", dir_fd=fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise translate(error, path) from error
        return make_info(path.name, status)

    def published(self, path: VirtualPath, follow: bool = True) -> int | None:
        """The size of the file at ``path``, parts aside."""
        anchor = self._anchor()
        try:
            if follow:
                directory, _, status = self._locate_file(anchor.fd, path)
                release(anchor.fd, directory)
            else:
                directory, name = self._locate(anchor.fd, path)
                try:
                    status = lstat(directory, name)
                finally:
                    release(anchor.fd, directory)
        except (NotFound, FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise translate(error, path) from error
        if status is None or stat.S_ISDIR(status.st_mode):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def make_link(self, path: VirtualPath, target: bytes, mtime_ns: int | None = None) -> bool:
        """Make a symbolic link that leads nowhere else than below the root; see IMakesLinks."""
        if self._policy != "inside":
            # "follow" is for trees whose links the account cannot make.
            raise ForbiddenPath(bytes(path), "no links in this storage")
        if not path.parts:
            raise AlreadyExists(b"/")
        refuse_part_name(path)
        check_target(path, target)
        anchor = self._anchor()
        try:
            # Through no link: steps upwards in the target count from a real directory.
            directory, name = walk(anchor.fd, path.parts, "none", follow=False)
            try:
                os.symlink(target, name, dir_fd=directory)
                if mtime_ns is not None:
                    set_link_time(directory, name, mtime_ns)
            except FileExistsError:
                if read_link(directory, name) != target:
                    raise AlreadyExists(bytes(path)) from None
                return False
            finally:
                release(anchor.fd, directory)
        except OverflowError as error:
            raise StorageFailure(bytes(path), "the time is out of range") from error
        except OSError as error:
            raise translate(error, path) from error
        return True

    def count(self, path: VirtualPath) -> Eventually[tuple[int, int]]:
        """Bytes and files at and below ``path``; in a thread where there are any."""
        anchor = self._anchor()
        blocking = self._settings.blocking
        if blocking is None:
            return self._count(anchor, path)
        answer: Deferred[tuple[int, int]] = blocking.run(self._count, anchor, path)
        return answer

    def _count(self, anchor: Anchor, path: VirtualPath) -> tuple[int, int]:
        size = self.published(path, follow=False)
        if size is not None:
            return size, 1
        try:
            fd = self._open(anchor.fd, path, LIST_FLAGS)
            try:
                return count_tree(fd)
            finally:
                os.close(fd)
        except (NotFound, FileNotFoundError, NotADirectoryError):
            return 0, 0
        except OSError as error:
            raise translate(error, path) from error

    def _open(self, root: int, path: VirtualPath, flags: int) -> int:
        """Open the last component; only if it turns out to be a link is it resolved."""
        directory, name = self._locate(root, path)
        try:
            try:
                return os.open(name, flags, dir_fd=directory)
            except OSError as error:
                # O_DIRECTORY on a link says ENOTDIR.
                if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                    raise
                there, name = self._locate(root, path, follow=True)
                release(root, directory)
                directory = there
                return os.open(name, flags, dir_fd=directory)
        finally:
            release(root, directory)


def check_target(path: VirtualPath, target: bytes) -> None:
    """Whether the text of a link at ``path`` keeps below the root, for whoever follows it.

    Steps upwards count only at the beginning, where they leave real directories: behind a name, which
    may be a link itself, they could lead anywhere.

    Raises:
        ForbiddenPath: it does not, or is no text for a link at all.
    """
    steps = [step for step in target.split(b"/") if step not in {b"", b"."}]
    up = 0
    while up < len(steps) and steps[up] == b"..":
        up += 1
    if not target or target[:1] == b"/" or b"\0" in target:
        raise ForbiddenPath(bytes(path), "a link must have a relative target")
    if up >= len(path.parts) or b".." in steps[up:]:
        raise ForbiddenPath(bytes(path), "a link that may lead out of the root")


def set_link_time(directory: int, name: bytes, mtime_ns: int) -> None:
    """Of a link just made, which goes again if it cannot be. Raises OSError, OverflowError."""
    try:
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)
    except (OSError, OverflowError):
        os.unlink(name, dir_fd=directory)
        raise


class LinkResolver:
    """Resolves the links of one listing, with its own hold on the storage's root."""

    __slots__ = ("_path", "_storage")

    def __init__(self, storage: LocalTree, path: VirtualPath) -> None:
        self._storage = storage
        self._path = path

    def __call__(self, name: bytes, /) -> os.stat_result:
        """The status of what the link ``name`` leads to. Raises OSError, XferError."""
        return self._storage.resolve_entry(VirtualPath((*self._path.parts, name)))


def refuse_part_name(path: VirtualPath) -> None:
    """Raises NameInvalid for names that only parts may have."""
    name = path.name
    if name[-6:] == SUFFIX and is_part_name(name):
        raise NameInvalid(bytes(path), "reserved for parts")


def lstat(directory: int, name: bytes) -> os.stat_result | None:
    """The entry itself; None when it is missing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def change_mode(directory: int, name: bytes, mode: int, path: VirtualPath) -> None:
    """A chmod of exactly the entry that was checked; it works without read permission as well.

    Raises:
        ForbiddenPath: it is a link. NotAFile: neither file nor directory. OSError.
    """
    fd = os.open(name, _HANDLE, dir_fd=directory)
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind == stat.S_IFLNK:
            raise ForbiddenPath(bytes(path), "the link changed meanwhile")
        if kind not in {stat.S_IFREG, stat.S_IFDIR}:
            raise NotAFile(bytes(path))
        # fchmod() refuses O_PATH; its entry in /proc leads to this very inode.
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)
