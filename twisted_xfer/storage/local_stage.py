"""How an upload begins on a local disk: which bytes are already there, and who may go on."""

from __future__ import annotations

import os
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from twisted_xfer.errors import AlreadyExists, Busy, OffsetInvalid
from twisted_xfer.interfaces import Eventually, IBlocking, IUpload, WriteIntent
from twisted_xfer.storage.digests import copy_prefix
from twisted_xfer.storage.local_tree import Settings
from twisted_xfer.storage.local_upload import (
    MAX_RENAMES,
    InPlaceUpload,
    StagedUpload,
    Target,
    numbered,
    require_file,
)
from twisted_xfer.storage.parts import lock, open_part, part_name, read_key, write_key

#: A prefix up to this size is copied at once; more goes to a thread where there are any.
COPY_AT_ONCE: Final = 4 * 1024 * 1024
#: Names of 64 random bits tried for STOU: a second one is needed only when somebody interferes.
_UNIQUE_ATTEMPTS: Final = 8
_SOURCE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def name_taken(directory: int, name: bytes) -> bool:
    """Whether anything has this name now."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def choose_name(target: Target, intent: WriteIntent, settings: Settings) -> Target:
    """The final name under the policy for a taken one; publishing checks it again without a race.

    Raises:
        AlreadyExists: it is taken and may not be replaced, or no free one was found.
    """
    directory = target.anchor.fd
    if intent.unique:
        for _ in range(_UNIQUE_ATTEMPTS):
            suffix = b"." + settings.random(8).hex().encode()
            name = target.name[: 255 - len(suffix)] + suffix
            if not name_taken(directory, name):
                return _renamed(target, name)
        raise AlreadyExists(bytes(target.path))
    if target.replaced is None or intent.if_exists == "overwrite":
        return target
    if intent.if_exists == "rename":
        for number in range(1, MAX_RENAMES):
            name = numbered(target.name, number)
            if not name_taken(directory, name):
                return _renamed(target, name)
    raise AlreadyExists(bytes(target.path))


def _renamed(target: Target, name: bytes) -> Target:
    return Target(target.anchor, name, target.path.parent.child(name), None)


def open_staged(target: Target, intent: WriteIntent, owner: bytes, settings: Settings) -> Eventually[IUpload]:
    """Open the part for ``target`` at the offset that ``intent`` asks for.

    A kept part goes on where it is long enough, and is cut to ``intent.offset``. Where a file is
    published, its first bytes are copied instead; it stays whole until commit. An intent with a
    key goes on only with a part of the same key; anything else is dropped, and the old file is
    not taken for the source. An intent without a key answers for itself (REST, APPE).

    Raises:
        Busy, OffsetInvalid, AlreadyExists, OSError.
    """
    # A kept part is found under the name that was asked for, whatever name becomes free later.
    part = part_name(owner, target.name)
    target = choose_name(target, intent, settings)
    old = target.replaced
    if intent.unique:
        part = part_name(owner, target.name)
    directory = target.anchor.fd
    fd, status = open_part(directory, part, settings.file_mode)
    try:
        kept = status.st_size
        if kept:
            kept = _settle_key(fd, kept, intent)
        elif intent.key:
            write_key(fd, intent.key)
        if not kept and settings.exact_mode:
            os.fchmod(fd, settings.file_mode)
        if kept and old is not None and not intent.key and (intent.append or intent.offset):
            # The offset is one of the published file, whose size stat() gives; it wins over the part.
            os.ftruncate(fd, 0)
            kept = 0
        base = 0
        if not kept and old is not None and not intent.key and (intent.append or intent.offset):
            base = old.st_size
        there = kept or base
        offset = there if intent.append else intent.offset
        if offset > there:
            raise OffsetInvalid(bytes(target.path), size=there)
        if kept > offset:
            os.ftruncate(fd, offset)
        upload = StagedUpload(fd, part, target, intent, offset, settings.fsync, settings.blocking)
    except BaseException:
        if not os.fstat(fd).st_size:
            os.unlink(part, dir_fd=directory)
        os.close(fd)
        raise
    if base and offset:
        return _with_prefix(upload, fd, offset, target, settings.blocking)
    return upload


def _settle_key(fd: int, kept: int, intent: WriteIntent) -> int:
    """The bytes of the part that may go on; the key is the intent's afterwards."""
    key = read_key(fd)
    if intent.key and key != intent.key:
        os.ftruncate(fd, 0)
        kept = 0
    if key != intent.key:
        write_key(fd, intent.key)
    return kept


def _with_prefix(
    upload: StagedUpload, fd: int, size: int, target: Target, blocking: IBlocking | None
) -> Eventually[IUpload]:
    """The upload once the first ``size`` bytes of the old file are in its part."""
    copy = partial(_copy, upload, fd, size, target)
    if blocking is None or size <= COPY_AT_ONCE:
        return copy()
    answer: Deferred[IUpload] = blocking.run(copy)
    return answer


def _copy(upload: StagedUpload, fd: int, size: int, target: Target) -> StagedUpload:
    try:
        source = os.open(target.name, _SOURCE, dir_fd=target.anchor.fd)
        try:
            require_file(os.fstat(source), target.path)
            copy_prefix(source, fd, size)
        finally:
            os.close(source)
    except BaseException:
        upload.abort()
        raise
    return upload


def open_in_place(target: Target, intent: WriteIntent, settings: Settings) -> IUpload:
    """Open the final name itself, locked, at the offset that ``intent`` asks for.

    Raises:
        Busy, OffsetInvalid, AlreadyExists, IsADirectory, NotAFile, OSError.
    """
    target = choose_name(target, intent, settings)
    directory = target.anchor.fd
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    created = target.replaced is None
    try:
        fd = os.open(
            target.name,
            flags | (os.O_CREAT | os.O_EXCL if created else 0),
            settings.file_mode,
            dir_fd=directory,
        )
    except FileExistsError:
        if intent.unique or intent.if_exists != "overwrite":
            raise
        created = False
        fd = os.open(target.name, flags, dir_fd=directory)
    try:
        status = os.fstat(fd)
        require_file(status, target.path)
        if not lock(fd):
            raise Busy(bytes(target.path), "another upload of this name is under way")
        size = os.fstat(fd).st_size
        offset = size if intent.append else intent.offset
        if offset > size:
            raise OffsetInvalid(bytes(target.path), size=size)
        if size > offset:
            os.ftruncate(fd, offset)
        if created and settings.exact_mode:
            os.fchmod(fd, settings.file_mode)
        return InPlaceUpload(fd, created, target, intent, offset, settings.fsync, settings.blocking)
    except BaseException as error:
        # Busy: somebody else opened what we created, and writes to it.
        if created and not isinstance(error, Busy):
            os.unlink(target.name, dir_fd=directory)
        os.close(fd)
        raise
