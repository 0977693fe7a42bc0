"""What holds of a change until it is made: nothing replaced by those who may not, and what links are charged."""

from __future__ import annotations

import attrs

from twisted_xfer.accounts.quota import AccountQuota
from twisted_xfer.errors import Busy, NotFound
from twisted_xfer.interfaces import FileInfo, IMakesLinks, IReservation, IStorage, IUpload, WriteIntent
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath


class Unchanged:
    """A file that is continued by whoever may not replace it: at the end it must be what it was.

    The upload holds what it was at the beginning; what others have added meanwhile would be gone.
    """

    __slots__ = ("_info", "_path", "_view")

    def __init__(self, view: IStorage, path: VirtualPath, info: FileInfo) -> None:
        self._view = view
        self._path = path
        self._info = info

    async def check(self, upload: IUpload) -> None:
        """Before ``upload`` is published. Raises Busy."""
        if hasattr(upload, "kept"):
            # It was written where it is, and has held its lock all the time.
            return
        try:
            now: FileInfo | None = await resolve(self._view.stat(self._path))
        except NotFound:
            now = None
        then = self._info
        if now is None or (now.unique, now.size, now.mtime_ns) != (then.unique, then.size, then.mtime_ns):
            raise Busy(bytes(self._path), "somebody else has changed it meanwhile")


class SamePlace(Unchanged):
    """The directory of an upload, where quotas differ by directory: at the end it must be where it was.

    What is charged for it counts there; moved meanwhile, it would bring in what nobody counts.
    """

    __slots__ = ()

    async def check(self, upload: IUpload) -> None:
        """Before ``upload`` is published. Raises Busy."""
        try:
            now: FileInfo | None = await resolve(self._view.stat(self._path))
        except NotFound:
            now = None
        if now is None or now.unique != self._info.unique:
            raise Busy(bytes(self._path), "the directory was moved meanwhile")


async def same_place(view: IStorage, path: VirtualPath) -> SamePlace:
    """The check for an upload to ``path``. Fails as stat() of its directory does."""
    return SamePlace(view, path.parent, await resolve(view.stat(path.parent)))


async def replacing_nothing(
    view: IStorage, path: VirtualPath, intent: WriteIntent, published: int | None
) -> tuple[WriteIntent, list[Unchanged]]:
    """How to write for whoever may not replace what others put there before the upload ends.

    ``published`` is what stands there now. Fails as stat() does.
    """
    if published is None:
        if intent.if_exists == "overwrite" and not intent.unique:
            intent = attrs.evolve(intent, if_exists="refuse")
    elif (intent.append or intent.offset) and not intent.key:
        return intent, [Unchanged(view, path, await resolve(view.stat(path)))]
    return intent, []


async def make_charged_link(
    view: IMakesLinks, quota: AccountQuota | None, path: VirtualPath, target: bytes, mtime_ns: int | None
) -> bool:
    """Make a link, a file of 0 bytes for ``quota``; False when the very same is there. Fails as IMakesLinks."""
    reservation: IReservation | None = None
    if quota is not None:
        reservation = await resolve(quota.reserve(path, 0, False))
    made = False
    try:
        made = await resolve(view.make_link(path, target, mtime_ns))
    finally:
        if reservation is not None and made:
            reservation.commit(0)
        elif reservation is not None:
            reservation.release()
    return made
