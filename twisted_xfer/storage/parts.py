"""Part files: where the bytes of an upload are until it is whole.

A part lies beside its target, so that publishing is a rename within one directory. Its name is a
pure function of owner and target, so that the owner's next session finds it; 64 bits of BLAKE2b
keep owners apart. Who writes holds an exclusive flock on it, which a crash releases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from typing import Final, NamedTuple

from twisted_xfer.errors import Busy, NotAFile
from twisted_xfer.paths import MAX_DEPTH, MAX_NAME, VirtualPath

SUFFIX: Final = b".xpart"
_HASH_BYTES: Final = 8
#: What the dot, the hash and the suffix leave of a name, so that a part's name is never too long.
MAX_STEM: Final = MAX_NAME - len(b"." + b"." + SUFFIX) - 2 * _HASH_BYTES
_PATTERN: Final = re.compile(rb"\.(.*)\.[0-9a-f]{16}\.xpart\Z", re.DOTALL)
#: Extended attribute with WriteIntent.key of the upload that began the part.
KEY_ATTRIBUTE: Final = b"user.xfer.key"
#: A part can be replaced under us only by another session's commit or removal, each time anew.
_LOCK_ATTEMPTS: Final = 4

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def part_name(owner: bytes, name: bytes) -> bytes:
    """The part's name for an upload of ``name`` by ``owner``."""
    digest = hashlib.blake2b(owner + b"\0" + name, digest_size=_HASH_BYTES).hexdigest()
    return b".%b.%b%b" % (name[:MAX_STEM], digest.encode(), SUFFIX)


def is_part_name(name: bytes) -> bool:
    """Whether ``name`` is reserved for parts. Such names do not exist for clients."""
    return name[-6:] == SUFFIX and _PATTERN.match(name) is not None


def target_of(part: bytes, owner: bytes) -> bytes | None:
    """The target's name if ``part`` belongs to ``owner``.

    None as well for a target whose name was cut to fit (over MAX_STEM bytes): such a part is
    found by those who know the name, only not by a listing.
    """
    match = _PATTERN.match(part)
    if match is None:
        return None
    name = match[1]
    return name if part_name(owner, name) == part else None


def lock(fd: int) -> bool:
    """Take the exclusive lock without waiting; False when another upload holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refuse_in_use(directory: int, name: bytes, path: VirtualPath) -> None:
    """Refuse what would take the name from a file that is being written in place.

    Its bytes are not counted before its end: whoever could remove it meanwhile would get them off a
    quota that they are not in.

    Raises:
        Busy: an upload holds the file.
    """
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return
        fd = os.open(name, _READ, dir_fd=directory)
    except OSError:
        # Not there, or not ours to read: whatever is done to it says so, or is not an upload of ours.
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(bytes(path), "an upload of this name is under way") from None
    finally:
        os.close(fd)


def open_part(directory: int, part: bytes, mode: int, create: bool = True) -> tuple[int, os.stat_result]:
    """Open (and create) the part, locked, and certainly the one that the name now links.

    Raises:
        Busy: another upload holds it.
        NotAFile: something else has taken the name.
        OSError: FileNotFoundError when it is missing and not created.
    """
    flags = _OPEN | os.O_CREAT if create else _OPEN
    for _ in range(_LOCK_ATTEMPTS):
        fd = os.open(part, flags, mode, dir_fd=directory)
        try:
            if not lock(fd):
                raise Busy(part, "another upload of this name is under way")
            ours = os.fstat(fd)
            if not stat.S_ISREG(ours.st_mode):
                raise NotAFile(part)
            # Between open and flock the holder may have published or dropped what we opened.
            try:
                linked = os.stat(part, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                linked = None
            if linked is not None and linked.st_ino == ours.st_ino:
                if linked.st_nlink == 1:
                    return fd, linked
                # Published, by a process that was killed before it took this name away: a write
                # would go into the published file.
                os.unlink(part, dir_fd=directory)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise Busy(part, "the part keeps changing")


def read_only(fd: int, directory: int, part: bytes) -> int:
    """``fd`` closed, and one for reading that holds the lock instead.

    inotify tells of the close of a file that was written under the name that it has by then, and
    whoever watches for whole files would be told twice: by the rename, and by that. The part
    stays locked: both descriptors share the lock for a moment.

    Raises:
        Busy: in that moment another upload came first. OSError.
    """
    try:
        reader = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except PermissionError:
        # Its mode forbids reading even to us; telling twice is better than not publishing.
        return fd
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(reader)
        raise Busy(part, "another upload of this name came first") from None
    except BaseException:
        os.close(reader)
        raise
    os.close(fd)
    return reader


def drop_part(directory: int, part: bytes) -> bool:
    """Remove the part unless an upload holds it (Busy); False when there is none."""
    try:
        fd, _ = open_part(directory, part, 0, create=False)
    except FileNotFoundError:
        return False
    try:
        os.unlink(part, dir_fd=directory)
    finally:
        os.close(fd)
    return True


def stat_part(directory: int, part: bytes) -> os.stat_result | None:
    """The part's status; None when there is none, an empty one, which says nothing, or one that is published."""
    try:
        status = os.stat(part, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status if status.st_size and status.st_nlink == 1 and stat.S_ISREG(status.st_mode) else None


def read_key(fd: int) -> str:
    """The key stored with the part; empty where there is none or the file system keeps none."""
    try:
        return os.getxattr(fd, KEY_ATTRIBUTE).decode("utf-8", "replace")
    except OSError:
        return ""


def write_key(fd: int, key: str) -> None:
    """Store ``key``, or remove it when empty.

    A file system without user attributes keeps no key: a part there never matches a key, so it
    is begun anew rather than continued on trust.
    """
    try:
        if key:
            os.setxattr(fd, KEY_ATTRIBUTE, key.encode("utf-8", "surrogateescape"))
        else:
            os.removexattr(fd, KEY_ATTRIBUTE)
    except OSError:
        return


class Swept(NamedTuple):
    """What a sweep did: parts removed, their bytes, entries looked at, and whether it saw all."""

    removed: int
    freed: int
    seen: int
    complete: bool


def sweep_parts(root: bytes | int, older_than: float, now: float, limit: int = 100_000) -> Swept:
    """Remove the parts below ``root`` that nobody has touched for ``older_than`` seconds.

    ``now`` is Unix time in seconds; ``limit`` bounds the entries looked at in one call. Links are
    not followed, parts that an upload holds stay, and what cannot be opened is passed over.
    """
    removed = freed = seen = 0
    before = now - older_than
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    top = (
        os.open(b".", flags, dir_fd=root) if isinstance(root, int) else os.open(root, flags & ~os.O_NOFOLLOW)
    )
    trail = [(top, os.scandir(top))]
    try:
        while trail:
            fd, entries = trail[-1]
            entry = next(entries, None)
            if entry is None:
                entries.close()
                os.close(fd)
                trail.pop()
                continue
            seen += 1
            if seen > limit:
                return Swept(removed, freed, limit, complete=False)
            if entry.is_dir(follow_symlinks=False):
                if len(trail) <= MAX_DEPTH:
                    _descend(trail, fd, entry.name, flags)
                continue
            name = os.fsencode(entry.name)
            if is_part_name(name):
                size = _expire(fd, name, before)
                removed += size is not None
                freed += size or 0
        return Swept(removed, freed, seen, complete=True)
    finally:
        for fd, entries in trail:
            entries.close()
            os.close(fd)


def _descend(
    trail: list[tuple[int, os._ScandirIterator[str]]], directory: int, name: str, flags: int
) -> None:
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except OSError:
        return
    trail.append((fd, os.scandir(fd)))


def _expire(directory: int, part: bytes, before: float) -> int | None:
    """The size of the part removed, or None when it stays."""
    try:
        fd, status = open_part(directory, part, 0, create=False)
    except (OSError, Busy, NotAFile):
        return None
    try:
        if status.st_mtime > before:
            return None
        os.unlink(part, dir_fd=directory)
    except OSError:
        return None
    else:
        return status.st_size
    finally:
        os.close(fd)
