"""Where an offered entry goes: the policy for taken names, kept parts, and what commit checks."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final, Literal

import attrs

from twisted_xfer.errors import (
    AlreadyExists,
    ForbiddenPath,
    IsADirectory,
    NotADirectory,
    NotFound,
    QuotaExceeded,
    RightMissing,
    Unsupported,
)
from twisted_xfer.interfaces import (
    Expected,
    FileInfo,
    IAvatar,
    IHasFileno,
    IHasQuota,
    IMakesLinks,
    IPublished,
    IStorage,
    IUpload,
    Right,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.wire.messages import Entry

#: What a sender's permission bits may give at most: nobody else may write.
MODE_MASK: Final = 0o755

#: For whoever may store, but finds the name taken: "not allowed" alone would not say what is.
_NOT_REPLACED: Final = "it is there already, and may not be replaced"

#: Members looked up in their enumeration cost five times as much, and these are for each file.
_CHMOD: Final = Right.CHMOD
_UTIME: Final = Right.UTIME

Policy = Literal["overwrite", "refuse", "rename"]


@attrs.frozen
class Rules:
    """The receiver's own: ``base`` is where relative paths begin.

    ``if_exists``, when not empty, counts instead of what the sender asks for; ``done`` are paths
    of this transfer that an earlier connection has brought already.
    """

    base: VirtualPath = attrs.field(factory=VirtualPath)
    modes: bool = True
    times: bool = True
    links: Literal["refuse", "inside"] = "refuse"
    if_exists: str = ""
    done: Container[bytes] = frozenset()


class Placing:
    """Opens uploads in one storage. Everything may fail as that storage says."""

    def __init__(self, storage: IStorage, rules: Rules, hash_name: str) -> None:
        self.storage = storage
        self.rules = rules
        self._hash_name = hash_name
        self._avatar = IAvatar(storage) if IAvatar.providedBy(storage) else None
        #: What the account itself wants of names that are taken, where it says so.
        self._own_policy = "" if self._avatar is None else self._avatar.account.if_exists
        #: The directory of the last entry, as it was offered and as it is here.
        self._above: bytes | None = None
        self._parts: tuple[bytes, ...] = ()
        #: What a dry run was told that there is room for.
        self._asked_bytes = self._asked_files = 0

    async def directory(self, path: VirtualPath) -> int:
        """Make a directory, unless it is there; the most permissions that it may get then.

        Whoever may replace nothing does not open to others what was there before.

        Raises:
            NotADirectory: something else is there.
        """
        try:
            await self._with_parents(path, lambda: self.storage.make_directory(path))
        except AlreadyExists:
            info = await resolve(self.storage.stat(path))
            if info.kind != "dir":
                raise NotADirectory(bytes(path)) from None
            if self._avatar is not None and not self._avatar.may(Right.OVERWRITE, path):
                return int(info.mode)
        return 0o777

    async def finish_directory(self, entry: Entry, path: VirtualPath, most: int) -> None:
        """Mode and time, once nothing in it changes any more. What the storage cannot do is left."""
        expected = self.expected(entry, path, 0)
        try:
            if expected.mode is not None:
                # Whose directory it is must be able to go on in it, and to remove it.
                await resolve(self.storage.set_mode(path, (expected.mode | 0o700) & most & 0o777))
            if expected.mtime_ns is not None:
                await resolve(self.storage.set_times(path, expected.mtime_ns))
        except Unsupported:
            return

    def _check_links(self, entry: Entry) -> None:
        """Raises ForbiddenPath, Unsupported where links are not taken at all."""
        if self.rules.links == "refuse":
            raise ForbiddenPath(entry.path, "symbolic links are not taken here")
        if not IMakesLinks.providedBy(self.storage):
            raise Unsupported(entry.path, "symbolic links")

    async def link(self, entry: Entry, path: VirtualPath) -> bool:
        """Make a symbolic link; False when it is there already. Never replaces anything.

        Raises:
            ForbiddenPath: links are not taken here, or not this one.
        """
        self._check_links(entry)
        target, time = entry.target or b"", self.expected(entry, path, 0).mtime_ns
        storage = IMakesLinks(self.storage)
        made: bool = await self._with_parents(path, lambda: storage.make_link(path, target, time))
        return made

    async def ask(self, entry: Entry, path: VirtualPath) -> str:
        """What would be done with an offer: ``store``, ``replace``, or why it would be skipped.

        Writes nothing. Parts that are kept are not taken for files. Raises what would be refused,
        as far as that shows before content comes.
        """
        if entry.path in self.rules.done:
            return "same"
        if entry.type == "symlink":
            self._check_links(entry)
        right = Right.MKDIR if entry.type == "dir" else Right.WRITE
        if self._avatar is not None and not self._avatar.may(right, path):
            raise RightMissing(bytes(path), right=right.value)
        try:
            info = await resolve(self.storage.stat(path))
        except NotFound:
            await self._ask_parent(path)
            return await self._room(entry, path)
        except RightMissing:
            # A drop box: whoever may only write is not told what is there.
            return "store"
        if entry.type == "dir":
            if info.kind != "dir":
                raise NotADirectory(bytes(path))
            return "same"
        if entry.type == "symlink":
            # Whether the very same link is there only making it shows.
            return "store"
        if info.kind == "dir":
            raise IsADirectory(bytes(path))
        if IPublished.providedBy(self.storage) and await resolve(self.storage.published(path)) is None:
            return await self._room(entry, path)
        if_exists = self.rules.if_exists or entry.if_exists
        if if_exists == "rename":
            return await self._room(entry, path)
        if if_exists == "refuse":
            raise AlreadyExists(bytes(path))
        why = self._no_need(if_exists, entry, info)
        if why:
            return why
        if self._own_policy == "rename":
            return await self._room(entry, path)
        if self._own_policy == "refuse":
            raise AlreadyExists(bytes(path))
        if self._avatar is not None and not self._avatar.may(Right.OVERWRITE, path):
            raise RightMissing(bytes(path), _NOT_REPLACED, right=Right.OVERWRITE.value)
        await self._room(entry, path, replaced=info.size)
        return "replace"

    async def _ask_parent(self, path: VirtualPath) -> None:
        """Raises RightMissing, NotADirectory when there is no directory for it, and none can be made."""
        parent = VirtualPath(path.parts[:-1])
        if self._avatar is None or self._avatar.may(Right.MKDIR, parent) or not parent.parts:
            return
        try:
            await resolve(self.storage.stat(parent))
        except NotFound:
            raise RightMissing(bytes(parent), right=Right.MKDIR.value) from None

    async def _room(self, entry: Entry, path: VirtualPath, replaced: int | None = None) -> str:
        """``store``, if quota has room for it beside all that was asked about before. Raises QuotaExceeded."""
        if entry.type != "file" or not IHasQuota.providedBy(self.storage):
            return "store"
        size, files = max((entry.size or 0) - (replaced or 0), 0), int(replaced is None)
        for scope, usage in await resolve(IHasQuota(self.storage).quota(path)):
            held, count = usage.bytes + usage.reserved + self._asked_bytes, usage.files + self._asked_files
            if scope.limit_bytes is not None and held + size > scope.limit_bytes:
                raise QuotaExceeded(bytes(path), left=max(scope.limit_bytes - held, 0))
            if scope.limit_files is not None and count + files > scope.limit_files:
                raise QuotaExceeded(bytes(path), left=0)
        self._asked_bytes += size
        self._asked_files += files
        return "store"

    @staticmethod
    def _no_need(if_exists: str, entry: Entry, info: FileInfo) -> str:
        """Why a file that is there already may stay as it is, or an empty text."""
        if if_exists in {"newer", "skip-same"}:
            if info.size == entry.size and info.mtime_ns == entry.mtime_ns:
                return "same"
            if if_exists == "newer" and info.mtime_ns >= (entry.mtime_ns or 0):
                return "newer"
        return ""

    async def _with_parents(self, path: VirtualPath, call: Callable[[], Any]) -> Any:
        """``call()``, and once more with the directories above made if it says NotFound."""
        try:
            return await resolve(call())
        except NotFound:
            for depth in range(1, len(path.parts)):
                try:
                    await resolve(self.storage.make_directory(VirtualPath(path.parts[:depth])))
                except (AlreadyExists, RightMissing):
                    continue
            return await resolve(call())

    async def open(self, entry: Entry, path: VirtualPath, *, resume: bool) -> tuple[IUpload, Policy] | str:
        """The upload under the policy asked for, or why the entry is to be skipped.

        Raises:
            AlreadyExists: and the sender asked to refuse then, or the account has that policy.
            RightMissing, Busy, QuotaExceeded...: as the storage says.
        """
        if entry.path in self.rules.done:
            return "same"
        if_exists = self.rules.if_exists or entry.if_exists
        policy: Policy = "rename" if if_exists == "rename" else "refuse"
        try:
            return await self._open_as(entry, path, policy, resume=resume), policy
        except AlreadyExists:
            if if_exists == "refuse":
                raise
        if if_exists in {"newer", "skip-same"}:
            info = await resolve(self.storage.stat(path))
            if info.kind == "dir":
                raise IsADirectory(bytes(path))
            why = self._no_need(if_exists, entry, info)
            if why:
                return why
        if self._own_policy == "rename":
            return await self._open_as(entry, path, "rename", resume=resume), "rename"
        if self._own_policy == "refuse":
            raise AlreadyExists(bytes(path))
        if self._avatar is not None and not self._avatar.may(Right.OVERWRITE, path):
            # Going on with a part asks the avatar for less than replacing a file does.
            raise RightMissing(bytes(path), _NOT_REPLACED, right=Right.OVERWRITE.value)
        return await self._open_as(entry, path, "overwrite", resume=resume), "overwrite"

    def _intent(self, entry: Entry, policy: Policy, *, resume: bool = True, offset: int = 0) -> WriteIntent:
        """How to write ``entry``; with a key only if its size and time name the source."""
        key = ""
        if resume and entry.size and entry.mtime_ns is not None:
            # A changed source never goes on with an old part.
            key = f"xfer1:{self._hash_name}:{entry.size}:{entry.mtime_ns}"
        return WriteIntent(offset=offset, size=entry.size, if_exists=policy, key=key)

    async def _open_as(self, entry: Entry, path: VirtualPath, policy: Policy, *, resume: bool) -> IUpload:
        intent = self._intent(entry, policy, resume=resume)
        first = attrs.evolve(intent, append=True) if intent.key else intent
        upload: IUpload = await self._with_parents(path, lambda: self.storage.open_write(path, first))
        if upload.offset and (not IHasFileno.providedBy(upload) or upload.offset > (entry.size or 0)):
            # What cannot be proved is not gone on with.
            await resolve(upload.suspend())
            upload = await resolve(self.storage.open_write(path, intent))
        return upload

    async def anew(self, upload: IUpload, entry: Entry, path: VirtualPath, policy: Policy) -> IUpload:
        """The same upload from its first byte."""
        await resolve(upload.suspend())
        return await resolve(self.storage.open_write(path, self._intent(entry, policy)))

    async def cut(
        self, upload: IUpload, entry: Entry, path: VirtualPath, policy: Policy, verified: int
    ) -> None:
        """Put the upload away with only its first ``verified`` bytes."""
        intent = self._intent(entry, policy, offset=verified)
        if not intent.key or not verified:
            await resolve(upload.abort())
            return
        await resolve(upload.suspend())
        shorter = await resolve(self.storage.open_write(path, intent))
        await resolve(shorter.suspend())

    def expected(self, entry: Entry, path: VirtualPath, size: int) -> Expected:
        """What commit applies and checks; the digest was compared already."""
        mode, mtime_ns = self.metadata(entry.mode, entry.mtime_ns, path)
        return Expected(size=size, mtime_ns=mtime_ns, mode=mode)

    def metadata(
        self, mode: int | None, mtime_ns: int | None, path: VirtualPath
    ) -> tuple[int | None, int | None]:
        """Mode and time, as far as they are taken from this sender, who may have other rights at ``path``."""
        avatar, rules = self._avatar, self.rules
        if mode is not None:
            may = rules.modes and (avatar is None or avatar.may(_CHMOD, path))
            mode = mode & MODE_MASK if may else None
        if mtime_ns is not None and not (rules.times and (avatar is None or avatar.may(_UTIME, path))):
            mtime_ns = None
        return mode, mtime_ns

    def directory_path(self, path: bytes) -> VirtualPath:
        """Where a directory goes. Raises NameInvalid: base and path are too deep for anything in it."""
        return VirtualPath.parse(path + b"/-" if path else b"-", self.rules.base).parent

    def path(self, entry: Entry) -> VirtualPath:
        """Where it goes. Raises NameInvalid: base and path are too deep."""
        above, _, name = entry.path.rpartition(b"/")
        if above != self._above:
            path = VirtualPath.parse(entry.path, self.rules.base)
            self._above, self._parts = above, path.parts[:-1]
            return path
        # Most come from the same directory as the one before; the wire has checked the name as parse() does.
        return VirtualPath((*self._parts, name))
