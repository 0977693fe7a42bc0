"""Files on a local disk, behind the jail.

Every operation is a few system calls relative to directory descriptors, made where it is called:
on the reactor thread for local disks, in a pool through ``threaded`` for slow ones.

What the owner of a kept part sees: ``stat`` answers with the part's size, because a client that
resumes asks SIZE; a listing shows the part under the final name while there is no such file, and
the old file while there is one; ``open_read`` gives the old file, else the part. A part cannot be
renamed, for its new name would look complete. An empty part counts for nothing.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import Final

from zope.interface import implementer

from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    ForbiddenPath,
    IsADirectory,
    NotFound,
    OffsetInvalid,
    PermissionDenied,
    StorageFailure,
)
from twisted_xfer.interfaces import (
    Eventually,
    FileInfo,
    IBlocking,
    IEnters,
    IHasParts,
    IHasRoom,
    IListing,
    IMakesLinks,
    IReadFile,
    IStorage,
    IStoresNew,
    IUpload,
    RandomBytes,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.errnos import translate
from twisted_xfer.storage.jail import (
    Anchor,
    SymlinkPolicy,
    make_directories,
    open_anchor,
    release,
    require_absolute,
)
from twisted_xfer.storage.local_files import LocalListing, LocalReadFile, make_info
from twisted_xfer.storage.local_new import LocalNew
from twisted_xfer.storage.local_stage import open_in_place, open_staged
from twisted_xfer.storage.local_tree import (
    Homes,
    LinkResolver,
    LocalTree,
    Settings,
    UploadPolicy,
    change_mode,
    lstat,
    refuse_part_name,
)
from twisted_xfer.storage.local_upload import Target, require_file
from twisted_xfer.storage.parts import drop_part, part_name, refuse_in_use, stat_part

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITIES: Final = frozenset({"append", "resume", "chmod", "utime", "fileno", "unique"})


@lru_cache(1024)
def _home_path(root: bytes, home: str) -> bytes:
    path = require_absolute(os.path.join(root, os.fsencode(home)))
    # Two spellings of one home share its descriptor; ".." stays, since a link may come before it.
    return path.removesuffix(b"/.").rstrip(b"/") or b"/"


@implementer(IStorage, IEnters, IHasParts, IHasRoom, IMakesLinks, IStoresNew)
class LocalStorage(LocalNew):
    """A directory of the operating system as a storage.

    Args:
        root: the directory; ``view`` takes homes below it, or absolute ones.
        symlinks: ``inside`` resolves a link as if the root were ``/``; ``none`` refuses every
            path through one; ``follow`` leaves links to the kernel, for trees whose links the
            account cannot make.
        uploads: ``staged`` in a hidden part until commit, or ``in-place``.
        fsync: file and directory reach the disk before commit answers.
        owner: whose kept parts these are.
        umask: for new files and directories; None takes the process's.
        home_mode: of homes that ``view`` creates.
        random: names for ``WriteIntent.unique``.
        blocking: where digests, fsync and large copies go; None does them at once.

    Raises:
        NotFound, NotADirectory, PermissionDenied: of ``root``.
    """

    __slots__ = ("capabilities",)

    capabilities: frozenset[str]

    def __init__(
        self,
        root: bytes | str,
        *,
        symlinks: SymlinkPolicy = "inside",
        uploads: UploadPolicy = "staged",
        fsync: bool = False,
        owner: str = "",
        umask: int | None = None,
        home_mode: int = 0o700,
        random: RandomBytes = os.urandom,
        blocking: IBlocking | None = None,
    ) -> None:
        path = os.path.abspath(os.fsencode(root))
        settings = Settings(
            policy=symlinks,
            staged=uploads == "staged",
            file_mode=0o666 & ~(umask or 0),
            directory_mode=0o777 & ~(umask or 0),
            home_mode=home_mode,
            exact_mode=umask is not None,
            fsync=fsync,
            random=random,
            blocking=blocking,
            homes=Homes(),
        )
        try:
            anchor = open_anchor(path)
        except OSError as error:
            raise translate(error, path) from error
        super().__init__(anchor, path, owner, settings)
        self.capabilities = _CAPABILITIES if symlinks == "none" else _CAPABILITIES | {"symlinks"}

    def view(self, home: str, *, owner: str, create: bool = False) -> LocalStorage:
        """The storage rooted at ``home``: an absolute path, or one relative to this root.

        ``home`` is configuration with a checked user name in it, so the kernel resolves it.
        """
        path = _home_path(self._root_path, home)
        homes = self._settings.homes
        try:
            anchor = homes.get(path)
            # The sessions of one account share a descriptor, as long as it is still that directory's.
            if anchor is None or not anchor.is_at(path):
                try:
                    anchor = open_anchor(path)
                except FileNotFoundError:
                    if not create:
                        raise
                    make_directories(path, self._settings.home_mode)
                    anchor = open_anchor(path)
                homes.add(path, anchor)
        except OSError as error:
            raise translate(error, path) from error
        twin = LocalStorage.__new__(LocalStorage)
        LocalTree.__init__(twin, anchor, path, owner, self._settings)
        twin.capabilities = self.capabilities
        return twin

    # --- looking ---------------------------------------------------------------------------

    def stat(self, path: VirtualPath) -> FileInfo:
        """What ``path`` is."""
        anchor = self._anchor()
        try:
            directory, name, status = self._locate_file(anchor.fd, path)
            try:
                # What is published comes first: a size that is not that of what RETR sends would have
                # clients cut what they download.
                kept = self._staged and status is None
                if kept:
                    status = stat_part(directory, part_name(self._owner, name))
            finally:
                release(anchor.fd, directory)
        except OSError as error:
            raise translate(error, path) from error
        if status is None:
            raise NotFound(bytes(path))
        return make_info(path.name, status, kept=kept)

    def list(self, path: VirtualPath) -> IListing:
        """Open a directory."""
        anchor = self._anchor()
        root = anchor.fd
        try:
            fd = self._open(root, path, _LIST)
            owner = self._owner if self._staged else None
            resolve = None if self._policy == "none" else LinkResolver(self, path)
            return LocalListing(fd, bytes(path), owner, resolve)
        except OSError as error:
            raise translate(error, path) from error

    def room(self, path: VirtualPath) -> int:
        """What the file system has free, for whoever is not root."""
        anchor = self._anchor()
        try:
            fd = self._open(anchor.fd, path, _LIST)
            try:
                disk = os.fstatvfs(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise translate(error, path) from error
        return disk.f_bavail * disk.f_frsize

    # --- reading and writing ---------------------------------------------------------------

    def open_read(self, path: VirtualPath, offset: int = 0) -> IReadFile:
        """Open a plain file; the owner's part where there is no file."""
        anchor = self._anchor()
        kept = False
        try:
            try:
                fd = self._open(anchor.fd, path, _READ)
            except FileNotFoundError:
                fd, kept = self._open_part(anchor.fd, path), True
            try:
                status = os.fstat(fd)
                require_file(status, path)
                if offset > status.st_size:
                    raise OffsetInvalid(bytes(path), size=status.st_size)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise translate(error, path) from error
        return LocalReadFile(fd, make_info(path.name, status, kept=kept), offset)

    def _open_part(self, root: int, path: VirtualPath) -> int:
        """The owner's part. An empty one is as good as none."""
        if not self._staged:
            raise NotFound(bytes(path))
        directory, name = self._locate(root, path, follow=True)
        try:
            part = part_name(self._owner, name)
            if stat_part(directory, part) is None:
                raise NotFound(bytes(path))
            return os.open(part, _READ, dir_fd=directory)
        finally:
            release(root, directory)

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Eventually[IUpload]:
        """Begin an upload; see ``local_stage`` for where its first bytes come from."""
        anchor = self._anchor()
        root = anchor.fd
        refuse_part_name(path)
        try:
            directory, name, status = self._locate_file(root, path)
            held = anchor if directory == root else Anchor(directory)
            if name == b".":
                raise IsADirectory(bytes(path))
            if status is not None and not intent.unique:
                require_file(status, path)
            where = Target(held, name, path, status)
            if self._staged:
                return open_staged(where, intent, self._owner, self._settings)
            return open_in_place(where, intent, self._settings)
        except OSError as error:
            raise translate(error, path) from error

    # --- changing --------------------------------------------------------------------------

    def make_directory(self, path: VirtualPath) -> None:
        """Create a directory."""
        anchor = self._anchor()
        if not path.parts:
            raise AlreadyExists(b"/")
        refuse_part_name(path)
        try:
            directory, name = self._locate(anchor.fd, path)
            try:
                os.mkdir(name, self._settings.directory_mode, dir_fd=directory)
                if self._settings.exact_mode:
                    change_mode(directory, name, self._settings.directory_mode, path)
            finally:
                release(anchor.fd, directory)
        except OSError as error:
            raise translate(error, path) from error

    def remove(self, path: VirtualPath) -> None:
        """Remove a file or link, and the owner's part unless an upload is writing it."""
        anchor = self._anchor()
        if not path.parts:
            raise IsADirectory(b"/")
        try:
            directory, name = self._locate(anchor.fd, path)
            try:
                if not self._staged:
                    refuse_in_use(directory, name, path)
                gone = self._unlink(directory, name, path)
                if self._staged:
                    gone = self._drop_part(directory, name, gone) or gone
            finally:
                release(anchor.fd, directory)
        except OSError as error:
            raise translate(error, path) from error
        if not gone:
            raise NotFound(bytes(path))

    def _unlink(self, directory: int, name: bytes, path: VirtualPath) -> bool:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return False
        except PermissionError as error:
            # POSIX lets unlink() of a directory say EPERM instead of EISDIR.
            status = lstat(directory, name)
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise IsADirectory(bytes(path)) from error
            raise
        return True

    def _drop_part(self, directory: int, name: bytes, forgiving: bool) -> bool:
        try:
            return drop_part(directory, part_name(self._owner, name))
        except Busy:
            # The file is gone as asked; the upload under way will make a new one.
            if forgiving:
                return False
            raise

    def remove_directory(self, path: VirtualPath) -> None:
        """Remove an empty directory."""
        anchor = self._anchor()
        if not path.parts:
            raise ForbiddenPath(b"/", "the root")
        try:
            directory, name = self._locate(anchor.fd, path)
            try:
                os.rmdir(name, dir_fd=directory)
            finally:
                release(anchor.fd, directory)
        except OSError as error:
            raise translate(error, path) from error

    def rename(self, source: VirtualPath, target: VirtualPath) -> None:
        """Rename in one step. A part is not a file yet: NotFound."""
        anchor = self._anchor()
        root = anchor.fd
        if not source.parts or not target.parts:
            raise ForbiddenPath(b"/", "the root")
        if target.is_within(source) and target != source:
            raise ForbiddenPath(bytes(target), "a directory cannot move into itself")
        refuse_part_name(target)
        try:
            old_directory, old = self._locate(root, source)
            try:
                new_directory, new = self._locate(root, target)
                try:
                    if not self._staged:
                        refuse_in_use(old_directory, old, source)
                        refuse_in_use(new_directory, new, target)
                    os.rename(old, new, src_dir_fd=old_directory, dst_dir_fd=new_directory)
                finally:
                    release(root, new_directory)
            finally:
                release(root, old_directory)
        except OSError as error:
            raise translate(error, source) from error

    def set_times(self, path: VirtualPath, mtime_ns: int) -> None:
        """Set both times."""
        anchor = self._anchor()
        try:
            directory, name = self._locate(anchor.fd, path, follow=True)
            try:
                os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=directory, follow_symlinks=False)
            finally:
                release(anchor.fd, directory)
        except OverflowError as error:
            raise StorageFailure(bytes(path), "the time is out of range") from error
        except OSError as error:
            raise translate(error, path) from error

    def set_mode(self, path: VirtualPath, mode: int) -> None:
        """Set permission bits."""
        anchor = self._anchor()
        if mode & ~0o777:
            raise PermissionDenied(bytes(path), "set-uid, set-gid and sticky are refused")
        try:
            directory, name = self._locate(anchor.fd, path, follow=True)
            try:
                change_mode(directory, name, mode, path)
            finally:
                release(anchor.fd, directory)
        except OSError as error:
            raise translate(error, path) from error
