"""What one upload is charged: room set aside as it grows, and the growth when it is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_xfer.errors import NotFound, QuotaExceeded
from twisted_xfer.interfaces import Eventually, IHasParts, IReservation, IStorage
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath

_log: Final = Logger()

#: Bytes asked of a quota ledger at once, where they are there: a ledger on disk answers slowly.
QUOTA_STEP: Final = 1 << 20


class Charge:
    """The quota of one upload: what is set aside, and where counting starts.

    ``base`` bytes of the new file are paid already, because the published file that it replaces
    or continues has that many.
    """

    __slots__ = ("_as_new", "_file", "_reservation", "_scarce", "base")

    def __init__(
        self,
        reservation: IReservation,
        base: int,
        as_new: Callable[[], Eventually[IReservation]] | None = None,
    ) -> None:
        self._reservation = reservation
        #: Reserves the place of a file, for an upload that was to replace one.
        self._as_new = as_new
        self._file: IReservation | None = None
        self.base = base
        #: The last grant was short of what was asked for.
        self._scarce = False

    def room(self, offset: int, wanted: int) -> int:
        """How many of ``wanted`` bytes may be written at ``offset``.

        Raises:
            QuotaExceeded: none may.
        """
        reservation = self._reservation
        left = self.base + reservation.granted - offset
        if left >= wanted or (left > 0 and self._scarce):
            # Near the limit one grant is used up before the next, so that others find the rest.
            return min(wanted, left)
        for _round in range(_COVER_ROUNDS):
            asked = max(wanted - left, QUOTA_STEP)
            try:
                self._scarce = reservation.extend(asked) < asked
            except QuotaExceeded:
                if left <= 0:
                    raise
                self._scarce = True
            left = self.base + reservation.granted - offset
            # A part that is resumed was not set aside while it was kept, and is paid for first.
            if left > 0:
                return min(wanted, left)
        raise QuotaExceeded(left=0, unit="bytes")

    async def place(self) -> None:
        """Before publishing where nothing is: the place of a file, unless it is set aside already.

        Fails with QuotaExceeded: what was to be replaced went away meanwhile, and its place is taken.
        """
        as_new, self._as_new = self._as_new, None
        if as_new is not None:
            self._file = await resolve(as_new())

    def cover(self, size: int, base: int) -> None:
        """Before publishing ``size`` bytes over ``base``: make sure that all of it is set aside.

        Raises:
            QuotaExceeded: what was to be replaced went away meanwhile, and its room is taken.
        """
        self.base = base
        for _round in range(_COVER_ROUNDS):
            missing = size - base - self._reservation.granted
            if missing <= 0:
                return
            self._reservation.extend(missing)
        if size - base > self._reservation.granted:
            raise QuotaExceeded(left=0, unit="bytes")

    def commit(self, size: int, replaced: int | None) -> None:
        """It was published, ``size`` bytes long, over ``replaced`` bytes or nothing."""
        self._enter(self._reservation.commit, size - (replaced or 0), 0 if replaced is not None else 1)
        self.release()

    def release(self) -> None:
        """Nothing was published, or all is entered."""
        self._enter(self._reservation.release)
        if self._file is not None:
            self._enter(self._file.release)

    def _enter(self, change: Callable[..., None], *args: int) -> None:
        """The upload has ended, and a ledger that fails now changes nothing about how.

        What it has set aside stays so; a ledger on disk counts anew after the process has ended.
        """
        try:
            change(*args)
        except Exception as error:  # noqa: BLE001 - a third party's ledger raises what it likes
            _log.error("the quota ledger did not take the end of an upload: {error}", error=error)


#: A ledger grants a part of what it has; so many of 1/64 each are all of any quota.
_COVER_ROUNDS: Final = 4096


class Published:
    """Asks for the size of what is published at a path, for charging at the last moment."""

    __slots__ = ("_ask", "_path")

    def __init__(self, ask: object, path: VirtualPath) -> None:
        self._ask = ask
        self._path = path

    def __call__(self) -> Eventually[int | None]:
        """The size now, or None when nothing is published."""
        return self._ask(self._path)  # type: ignore[operator, no-any-return]


def published_size(view: IStorage, path: VirtualPath, follow: bool = True) -> Eventually[int | None]:
    """The size of the file that everybody sees at ``path``, or None."""
    if IHasParts.providedBy(view):
        return view.published(path) if follow else view.published(path, follow=False)
    return Deferred.fromCoroutine(_size_by_stat(view, path))


async def _size_by_stat(view: IStorage, path: VirtualPath) -> int | None:
    try:
        info = await resolve(view.stat(path))
    except NotFound:
        return None
    return None if info.kind == "dir" else info.size if info.kind == "file" else 0
