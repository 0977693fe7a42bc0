"""The jail: from a root descriptor to (directory descriptor, last name), with no race to win.

Each component is opened relative to the directory before it, never following a link, so a
directory that is swapped for a link between two steps, or between two commands, changes nothing:
what was opened stays what it was. ``..`` occurs only in the text of links and goes back along the
descriptors that the walk itself opened, never through the disk.

What a peer controls is bounded: depth and names by VirtualPath, links by MAX_HOPS, the components
that links add by MAX_STEPS, and open descriptors by both.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final, Literal

from twisted_xfer.errors import ForbiddenPath, NameInvalid, StorageFailure
from twisted_xfer.paths import MAX_DEPTH

SymlinkPolicy = Literal["inside", "none", "follow"]

#: The kernel's own bound for one path (path_resolution(7)).
MAX_HOPS: Final = 40
#: Components of one walk, those out of links included: far above any tree, far below a stall.
MAX_STEPS: Final = 1024

#: O_PATH needs search permission only, as a path walk of the kernel does.
DIRECTORY_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLLOWED_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Anchor:
    """A directory descriptor that lives as long as anybody holds this object.

    An operation that runs in a thread keeps its own reference, so a logout cannot close the
    descriptor, and let its number be reused, under a walk.
    """

    __slots__ = ("__weakref__", "fd")

    fd: int

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)

    def is_at(self, path: bytes) -> bool:
        """Whether ``path`` still leads to this directory. Raises OSError, FileNotFoundError aside."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fd))
        except FileNotFoundError:
            return False


def open_anchor(path: bytes) -> Anchor:
    """Open the directory ``path`` of the operating system as a root. Raises OSError."""
    return Anchor(os.open(path, _FOLLOWED_FLAGS))


def read_link(directory: int, name: bytes) -> bytes | None:
    """The text of the link ``name``; None when it is missing or no link."""
    try:
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def walk(root: int, parts: tuple[bytes, ...], policy: SymlinkPolicy, follow: bool) -> tuple[int, bytes]:
    """The directory that holds the last component of ``parts``, and the name to use in it.

    The descriptor is ``root`` itself or a new one that the caller closes (``release``). With
    ``follow`` the last component is resolved as well when it is a link; a missing one is
    left as it is. The name is ``.`` where the path is a directory that the walk already holds.

    Raises:
        OSError: as the kernel says, for one place to translate.
        ForbiddenPath: a link under policy ``none``, or too many links.
    """
    if not parts:
        return root, b"."
    if len(parts) == 1 and not follow:
        return root, parts[0]
    if policy == "follow":
        return _walk_followed(root, parts, follow)
    return _walk_inside(root, parts, policy, follow)


def release(root: int, directory: int) -> None:
    """Close what ``walk`` returned, unless it is the root itself."""
    if directory != root:
        os.close(directory)


def _walk_inside(
    root: int, parts: tuple[bytes, ...], policy: SymlinkPolicy, follow: bool
) -> tuple[int, bytes]:
    trail = [root]
    pending = list(parts[::-1])
    hops = steps = 0
    name = b"."
    try:
        while pending:
            steps += 1
            if steps > MAX_STEPS:
                raise ForbiddenPath(b"/".join(parts), "links too deep")
            step = pending.pop()
            if step == b"..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            if pending:
                try:
                    trail.append(os.open(step, DIRECTORY_FLAGS, dir_fd=trail[-1]))
                except OSError as error:
                    if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                        raise
                    text = read_link(trail[-1], step)
                    if text is None:
                        raise
                else:
                    if len(trail) > MAX_DEPTH + 1:
                        raise NameInvalid(b"/".join(parts)[:80], "path too deep", limit=MAX_DEPTH)
                    continue
            else:
                text = read_link(trail[-1], step) if follow else None
                if text is None:
                    name = step
                    break
            hops += 1
            if policy == "none" or hops > MAX_HOPS:
                raise ForbiddenPath(b"/".join(parts), "symlink" if policy == "none" else "too many links")
            if text[:1] == b"/":
                while len(trail) > 1:
                    os.close(trail.pop())
            pending += [part for part in reversed(text.split(b"/")) if part not in {b"", b"."}]
        found = trail.pop() if len(trail) > 1 else root
    finally:
        for fd in trail[1:]:
            os.close(fd)
    return found, name


def _walk_followed(root: int, parts: tuple[bytes, ...], follow: bool) -> tuple[int, bytes]:
    """Trusted trees: the kernel resolves links, wherever they lead."""
    directory, name = root, parts[-1]
    if len(parts) > 1:
        directory = os.open(b"/".join(parts[:-1]), _FOLLOWED_FLAGS, dir_fd=root)
    if not follow:
        return directory, name
    try:
        for _ in range(MAX_HOPS):
            text = read_link(directory, name)
            if text is None:
                return directory, name
            head, slash, tail = text.rpartition(b"/")
            if tail in {b"", b".", b".."}:
                head, tail = text, b"."
            elif slash and not head:
                head = b"/"
            if head:
                there = os.open(head, _FOLLOWED_FLAGS, dir_fd=directory)
                release(root, directory)
                directory = there
            name = tail
        raise ForbiddenPath(b"/".join(parts), "too many links")
    except BaseException:
        release(root, directory)
        raise


def make_directories(path: bytes, mode: int) -> None:
    """Create the directory ``path`` with exactly ``mode``, and what is missing above it.

    Parents get the usual mode under the process's umask. Raises OSError.
    """
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        os.makedirs(parent, exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        # Two first logins at once: whoever came first has set the mode.
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise
        return
    os.chmod(path, mode)


def require_absolute(path: bytes) -> bytes:
    """``path`` itself when it is an absolute path without NUL; homes come from configuration.

    Raises:
        StorageFailure: it is not.
    """
    if path[:1] != b"/" or b"\0" in path:
        raise StorageFailure(path[:80], "a home must be an absolute path")
    return path
