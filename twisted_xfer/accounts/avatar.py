"""The avatar: the only place where rights, quota and events meet the storage.

Every verb asks for its right, then the storage, then tells what happened. Answers that are there
at once are passed on at once; nothing is wrapped when nobody listens and nothing is charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_xfer.accounts.changes import Unchanged, make_charged_link, replacing_nothing, same_place
from twisted_xfer.accounts.charges import Charge, Published, published_size
from twisted_xfer.accounts.handles import wrap_read, wrap_upload
from twisted_xfer.accounts.quota import AccountQuota, charges
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights, rights_to_write, under_policy
from twisted_xfer.accounts.storing import store_new
from twisted_xfer.errors import ForbiddenPath, QuotaExceeded, RightMissing, Unsupported
from twisted_xfer.interfaces import (
    Account,
    Eventually,
    FileInfo,
    IAvatar,
    IEnters,
    IHasQuota,
    IHasRoom,
    ILease,
    ILimiter,
    IListing,
    IMakesLinks,
    IPublished,
    IQuotaLedger,
    IReadFile,
    IReservation,
    IStorage,
    IStoresNew,
    IUpload,
    NewFile,
    QuotaStatus,
    Right,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import resolve, then
from twisted_xfer.paths import VirtualPath

_FULL_WRITE = frozenset({Right.WRITE, Right.OVERWRITE, Right.APPEND})


@implementer(IAvatar, IEnters, IHasQuota, IHasRoom, IMakesLinks, IPublished, IStoresNew)
class Avatar:
    """One logged-in session of one account, over the account's view of a storage.

    Args:
        account: its settings.
        view: the storage rooted at its home; closed at logout.
        rights: what the account may do, by path.
        reporter: the event bus, the clock and the facts of the session.
        lease: the session's place in the limits, released at logout.
        ledger: quota, or None; used only when the account has a quota.
        upload_limiter, download_limiter: bandwidth limits, or None.
    """

    __slots__ = (
        "_asked",
        "_began",
        "_lease",
        "_quota",
        "_reporter",
        "_rights",
        "_view",
        "account",
        "download_limiter",
        "upload_limiter",
        "username",
    )

    def __init__(
        self,
        account: Account,
        view: IStorage,
        rights: PathRights,
        reporter: Reporter,
        *,
        lease: ILease | None = None,
        ledger: IQuotaLedger | None = None,
        upload_limiter: ILimiter | None = None,
        download_limiter: ILimiter | None = None,
    ) -> None:
        self.account = account
        self.username = account.username
        self.upload_limiter = upload_limiter
        self.download_limiter = download_limiter
        self._view = view
        # Most accounts have the same rights everywhere: None then spares a look at the patterns.
        self._rights = rights
        self._asked = rights.base if not rights.varied else None
        self._reporter = reporter
        self._lease = lease
        self._quota = AccountQuota(account, ledger, view) if ledger is not None and charges(account) else None
        self._began: float | None = reporter.clock.seconds()

    def __repr__(self) -> str:
        return f"<Avatar {self.username!r} {self.session_id}>"

    @property
    def session_id(self) -> str:
        """The session it belongs to."""
        return self._reporter.context.session_id

    @property
    def capabilities(self) -> frozenset[str]:
        """What the storage can do."""
        return self._view.capabilities

    def may(self, right: Right, path: object = None) -> bool:
        """Whether the account has ``right``, at ``path`` or in general."""
        if self._asked is not None or not isinstance(path, VirtualPath):
            return right in self._rights.base
        return right in self._rights.at(path)

    # --- reading -------------------------------------------------------------------------

    def stat(self, path: VirtualPath) -> Eventually[FileInfo]:
        """What ``path`` is. Right: list, or read."""
        self._see(path)
        return self._view.stat(path)

    def enter(self, path: VirtualPath) -> Eventually[FileInfo]:
        """What the directory ``path`` is, closed ones refused where the storage knows. Right: list, or read."""
        self._see(path)
        view = self._view
        return view.enter(path) if IEnters.providedBy(view) else view.stat(path)

    def published(self, path: VirtualPath, follow: bool = True) -> Eventually[int | None]:
        """The size of the file that everybody sees at ``path``, or None. Right: list, or read."""
        self._see(path)
        return self._published(path, follow)

    def list(self, path: VirtualPath) -> Eventually[IListing]:
        """Open a directory. Right: list."""
        self._need(Right.LIST, path)
        return self._view.list(path)

    def open_read(self, path: VirtualPath, offset: int = 0) -> Eventually[IReadFile]:
        """Open for reading. Right: read."""
        self._need(Right.READ, path)
        answer = self._view.open_read(path, offset)
        if not self._reporter.active:
            return answer
        return then(answer, partial(self._reading, path))

    def _reading(self, path: VirtualPath, file: IReadFile) -> IReadFile:
        return wrap_read(file, path, self._reporter)

    # --- writing -------------------------------------------------------------------------

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Eventually[IUpload]:
        """Begin to write.

        Rights: write for a new name; write and overwrite to replace what is published there;
        append to continue it (APPE, REST at its end), and overwrite too if that cuts it. Going on
        with one's own unpublished part is writing a new name. Where the account has a policy for
        taken names, nothing is replaced against it.
        """
        if self.account.if_exists:
            intent = under_policy(intent, self.account.if_exists)
        rights = self._at(path)
        if self._quota is not None or (rights & _FULL_WRITE) != _FULL_WRITE:
            return Deferred.fromCoroutine(self._open_write_checked(path, intent, rights))
        answer = self._view.open_write(path, intent)
        if not self._reporter.active and not self._reporter.asks:
            return answer
        return then(answer, self._writing)

    def _writing(self, upload: IUpload) -> IUpload:
        return wrap_upload(upload, self._reporter)

    async def _open_write_checked(
        self, path: VirtualPath, intent: WriteIntent, rights: frozenset[Right]
    ) -> IUpload:
        """As open_write, where the answer hangs on what is published, or is charged for."""
        if not rights & _FULL_WRITE:
            self._refuse(Right.WRITE, path)
        published = None if intent.unique else await resolve(self._published(path))
        for right in rights_to_write(intent, published):
            if right not in rights:
                self._refuse(right, path)
        same: list[Unchanged] = []
        if Right.OVERWRITE not in rights:
            intent, same = await replacing_nothing(self._view, path, intent, published)
        quota = self._quota
        if quota is not None and quota.varied:
            same.append(await same_place(self._view, path))
        if quota is None:
            upload = await resolve(self._view.open_write(path, intent))
            if not self._reporter.active and not self._reporter.asks and not same:
                return upload
            return wrap_upload(upload, self._reporter, same=same)
        replaces = published is not None and intent.if_exists != "rename"
        base = published if published is not None and replaces else 0
        announced = None if intent.size is None else max(0, intent.size - base)
        try:
            reservation: IReservation = await resolve(quota.reserve(path, announced, replaces))
        except QuotaExceeded as error:
            if self._reporter.active:
                self._reporter.tell("quota.exceeded", path=bytes(path), left=error.fields.get("left", 0))
            raise
        try:
            upload = await resolve(self._view.open_write(path, intent))
        except BaseException:
            reservation.release()
            raise
        ask = Published(self._published, upload.path)
        as_new = partial(quota.reserve, path, 0, replaces=False) if replaces else None
        return wrap_upload(upload, self._reporter, Charge(reservation, base, as_new), ask, same)

    def store_new(self, files: Sequence[NewFile]) -> int:
        """Right: write. Of what is charged for, none."""
        return 0 if self._quota is not None else store_new(self._view, self._at, self._reporter, files)

    def make_directory(self, path: VirtualPath) -> Eventually[None]:
        """Right: mkdir."""
        self._need(Right.MKDIR, path)
        return self._told(self._view.make_directory(path), "directory.make", path)

    def make_link(self, path: VirtualPath, target: bytes, mtime_ns: int | None = None) -> Eventually[bool]:
        """Make a symbolic link, a file of 0 bytes. Rights: write, utime for a time. Raises Unsupported, ForbiddenPath."""
        # It would have the rights and quotas of its own name, and lead to where there are others.
        if self._rights.varied or (self._quota is not None and self._quota.varied):
            raise ForbiddenPath(bytes(path), "no links where rights or quotas differ by path")
        self._need(Right.WRITE, path)
        if mtime_ns is not None:
            self._need(Right.UTIME, path)
        if not IMakesLinks.providedBy(self._view):
            raise Unsupported(bytes(path), "symbolic links")
        made = make_charged_link(IMakesLinks(self._view), self._quota, path, target, mtime_ns)
        return then(Deferred.fromCoroutine(made), partial(self._linked, path, target))

    def _linked(self, path: VirtualPath, target: bytes, made: bool) -> bool:
        if made:
            self._told(None, "link.make", path, target=target)
        return made

    def remove(self, path: VirtualPath) -> Eventually[None]:
        """Right: delete."""
        self._need(Right.DELETE, path)
        if self._quota is not None:
            return Deferred.fromCoroutine(self._remove_charged(path, self._quota))
        return self._told(self._view.remove(path), "file.delete", path)

    async def _remove_charged(self, path: VirtualPath, quota: AccountQuota) -> None:
        size = await resolve(self._published(path, follow=False))
        await resolve(self._told(self._view.remove(path), "file.delete", path))
        if size is not None:
            await quota.gone(path, size)

    def remove_directory(self, path: VirtualPath) -> Eventually[None]:
        """Right: rmdir."""
        self._need(Right.RMDIR, path)
        return self._told(self._view.remove_directory(path), "directory.remove", path)

    def rename(self, source: VirtualPath, target: VirtualPath) -> Eventually[None]:
        """Rights: rename at the source, write at the target, overwrite too if something is there.

        Where rules name places below a directory that moves, rename must hold at each of them.
        """
        self._need(Right.RENAME, source)
        self._need(Right.WRITE, target)
        if self._rights.varied:
            if Right.RENAME not in self._rights.throughout(source):
                self._refuse(Right.RENAME, source)
            if Right.WRITE not in self._rights.throughout(target):
                self._refuse(Right.WRITE, target)
            lacks = self._rights.lacks_to_move(source, target)
            if lacks is not None:
                return Deferred.fromCoroutine(self._move(source, target, *lacks))
        if self._quota is not None or Right.OVERWRITE not in self._at(target):
            return Deferred.fromCoroutine(self._rename_checked(source, target))
        return self._told(self._view.rename(source, target), "file.rename", source, target=bytes(target))

    async def _move(self, source: VirtualPath, target: VirtualPath, right: Right, at: VirtualPath) -> None:
        """As rename(), for what has nothing below it that a rule could name."""
        info: FileInfo = await resolve(self._view.stat(source))
        if info.kind == "dir":
            self._refuse(right, at)
        await self._rename_checked(source, target)

    async def _rename_checked(self, source: VirtualPath, target: VirtualPath) -> None:
        replaced = None if source == target else await resolve(self._published(target, follow=False))
        if replaced is not None and Right.OVERWRITE not in self._at(target):
            self._refuse(Right.OVERWRITE, target)
        if self._quota is None:
            await resolve(self._view.rename(source, target))
        else:

            async def rename() -> None:
                nonlocal replaced
                # Asked again: while room was made, another process may have put something else there.
                if source != target:
                    replaced = await resolve(self._published(target, follow=False))
                await resolve(self._view.rename(source, target))

            await self._quota.move(source, target, rename)
            if replaced is not None:
                await self._quota.gone(target, replaced)
        self._told(None, "file.rename", source, target=bytes(target))

    def set_times(self, path: VirtualPath, mtime_ns: int) -> Eventually[None]:
        """Right: utime."""
        self._need(Right.UTIME, path)
        return self._told(self._view.set_times(path, mtime_ns), "file.times", path)

    def set_mode(self, path: VirtualPath, mode: int) -> Eventually[None]:
        """Right: chmod."""
        self._need(Right.CHMOD, path)
        return self._told(self._view.set_mode(path, mode), "file.mode", path, mode=mode)

    # --- quota ---------------------------------------------------------------------------

    def quota(self, path: VirtualPath) -> Eventually[tuple[QuotaStatus, ...]]:
        """What is used and left of each limit that a file at ``path`` counts in."""
        return () if self._quota is None else self._quota.status(path)

    def room(self, path: VirtualPath) -> Eventually[int | None]:
        """What the storage has free at ``path``, where it knows. Right: list, or write."""
        self._see(path, Right.WRITE)
        return self._view.room(path) if IHasRoom.providedBy(self._view) else None

    def settle(self) -> Eventually[None]:
        """Count what quota does not know for certain; for whoever makes the avatar."""
        return None if self._quota is None else self._quota.settle()

    # --- the end -------------------------------------------------------------------------

    def view(self, home: str, *, owner: str, create: bool = False) -> Eventually[IStorage]:
        """Not for an avatar: its view is made.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(home, "an avatar has its own root")

    def close(self) -> None:
        """The same as logout()."""
        self.logout()

    def logout(self) -> None:
        """Release the session's place and the storage's descriptors, and say so. May be called twice."""
        began = self._began
        if began is None:
            return
        self._began = None
        if self._lease is not None:
            self._lease.release()
        reporter = self._reporter
        try:
            self._view.close()
        finally:
            if reporter.active:
                reporter.tell("logout", seconds=reporter.clock.seconds() - began)

    # --- policy --------------------------------------------------------------------------

    def _at(self, path: VirtualPath) -> frozenset[Right]:
        return self._asked if self._asked is not None else self._rights.at(path)

    def _need(self, right: Right, path: VirtualPath) -> None:
        if right not in (self._asked if self._asked is not None else self._rights.at(path)):
            self._refuse(right, path)

    def _see(self, path: VirtualPath, other: Right = Right.READ) -> None:
        rights = self._at(path)
        if Right.LIST not in rights and other not in rights:
            self._refuse(Right.LIST, path)

    def _refuse(self, right: Right, path: VirtualPath) -> None:
        if self._reporter.active:
            self._reporter.tell("right.missing", path=bytes(path), right=right.value)
        raise RightMissing(bytes(path), right=right.value)

    def _told(
        self, answer: Eventually[None], event_id: str, path: VirtualPath, **fields: Any
    ) -> Eventually[None]:
        if not self._reporter.active:
            return answer

        def tell(_none: None) -> None:
            self._reporter.tell(event_id, path=bytes(path), **fields)

        return then(answer, tell)

    def _published(self, path: VirtualPath, follow: bool = True) -> Eventually[int | None]:
        """The size of the file that everybody sees at ``path``, or None."""
        return published_size(self._view, path, follow)
