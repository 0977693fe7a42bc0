"""Quota of one session: which scopes a path counts in, and what each verb changes in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted_xfer.errors import NameInvalid, NotADirectory, NotFound
from twisted_xfer.interfaces import (
    Account,
    Eventually,
    FileInfo,
    ICountsAnew,
    IHasParts,
    IQuotaLedger,
    IReservation,
    IStorage,
    QuotaScope,
    QuotaStatus,
)
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import ROOT, VirtualPath

#: Counts of one scope at one login, where other sessions keep changing it: the next login goes on.
COUNT_ATTEMPTS: Final = 3


def charges(account: Account) -> bool:
    """Whether anything about the account is limited."""
    limited = account.quota_bytes is not None or account.quota_files is not None
    return limited or bool(account.quota_scopes)


class AccountQuota:
    """The scopes of an account over a ledger. Its own comes first and counts everywhere.

    Args:
        account: its settings.
        ledger: where all is counted.
        view: its home.
    """

    __slots__ = ("_below", "_ledger", "_own", "_view")

    def __init__(self, account: Account, ledger: IQuotaLedger, view: IStorage) -> None:
        self._ledger = ledger
        self._view = view
        self._own = QuotaScope(account.username, account.quota_bytes, account.quota_files)
        self._below = tuple((_place(scope), scope) for scope in account.quota_scopes)

    @property
    def varied(self) -> bool:
        """Whether a file counts in other scopes in one directory than in another."""
        return any(place != ROOT for place, _ in self._below)

    def _at(self, path: VirtualPath) -> tuple[QuotaScope, ...]:
        """The scopes besides the account's own that a file at ``path`` counts in."""
        return tuple(scope for place, scope in self._below if path.is_within(place))

    def reserve(self, path: VirtualPath, size: int | None, replaces: bool) -> Eventually[IReservation]:
        """Room for an upload to ``path``. Fails with QuotaExceeded."""
        return self._reserve((self._own, *self._at(path)), size, 0 if replaces else 1)

    def _reserve(
        self, scopes: Sequence[QuotaScope], size: int | None, files: int
    ) -> Eventually[IReservation]:
        first, *rest = scopes
        # What is as it always is is left out, for ledgers that know no more.
        more: dict[str, Any] = {}
        if rest:
            more["also"] = rest
        if files != 1:
            more["files"] = files
        return self._ledger.reserve(
            first.name, size, limit_bytes=first.limit_bytes, limit_files=first.limit_files, **more
        )

    async def gone(self, path: VirtualPath, size: int) -> None:
        """A published file of ``size`` bytes was removed or replaced."""
        await self._adjust((self._own, *self._at(path)), -size, -1)

    async def _adjust(self, scopes: Sequence[QuotaScope], size: int, files: int) -> None:
        for scope in scopes:
            await resolve(self._ledger.adjust(scope.name, size, files))

    async def move(
        self, source: VirtualPath, target: VirtualPath, rename: Callable[[], Eventually[None]]
    ) -> None:
        """``rename()`` with what it moves between directories that have quotas of their own.

        Fails with QuotaExceeded before anything has moved.
        """
        if source == target:
            await resolve(rename())
            return
        before, after = self._at(source), self._at(target)
        left = [scope for scope in before if scope not in after]
        entered = [scope for scope in after if scope not in before]
        size = files = 0
        if left or entered:
            size, files = await self._count(source)
        gone = [(scope, *await self._count(place)) for scope, place in self._inside(source, source)]
        reservations: list[tuple[IReservation, int, int]] = []
        try:
            if entered:
                reservations.append((await resolve(self._reserve(entered, size, files)), size, files))
            for scope, place in self._inside(target, source):
                # A directory that moves may bring what fills another one's quota.
                held = await self._count(place)
                if held != (0, 0):
                    reservations.append((await resolve(self._reserve([scope], *held)), *held))
            await resolve(rename())
        except BaseException:
            for reservation, _, _ in reservations:
                reservation.release()
            raise
        for reservation, size_there, files_there in reservations:
            reservation.commit(size_there, files_there)
        await self._adjust(left, -size, -files)
        for scope, size_there, files_there in gone:
            await self._adjust([scope], -size_there, -files_there)
        self._doubt_below(source, target)

    def _inside(self, path: VirtualPath, now: VirtualPath) -> list[tuple[QuotaScope, VirtualPath]]:
        """The scopes strictly below ``path``, each with where its directory is while ``path`` is still ``now``."""
        depth = len(path.parts)
        return [
            (scope, VirtualPath((*now.parts, *place.parts[depth:])))
            for place, scope in self._below
            if place != path and place.is_within(path)
        ]

    def _doubt_below(self, *paths: VirtualPath) -> None:
        """A directory that moved may hold others with quotas: those are counted at the next login."""
        ledger = self._ledger
        if not ICountsAnew.providedBy(ledger):
            return
        for place, scope in self._below:
            if any(place != path and place.is_within(path) for path in paths):
                ledger.doubt(scope.name)

    async def status(self, path: VirtualPath) -> tuple[QuotaStatus, ...]:
        """What is used of each scope at ``path``."""
        found = []
        for scope in (self._own, *self._at(path)):
            usage = await resolve(self._ledger.usage(scope.name))
            found.append(QuotaStatus(scope, usage))
        return tuple(found)

    async def settle(self) -> None:
        """Count what the ledger does not know for certain: at the first login, and after a crash.

        Fails with what the storage's count fails with.
        """
        if not ICountsAnew.providedBy(self._ledger) or not IHasParts.providedBy(self._view):
            return
        whole = [scope.name for place, scope in self._below if place == ROOT]
        await self._settle(self._own.name, ROOT, whole)
        for place, scope in self._below:
            if place != ROOT:
                await self._settle(scope.name, place, ())

    async def _settle(self, name: str, path: VirtualPath, also: Sequence[str]) -> None:
        ledger = ICountsAnew(self._ledger)
        for _attempt in range(COUNT_ATTEMPTS):
            if ledger.exact(name):
                return
            began = ledger.begin_count(name)
            if began is None:
                return
            size, files = await self._count(path)
            if ledger.end_count(name, size, files, began, also):
                return

    async def _count(self, path: VirtualPath) -> tuple[int, int]:
        view = self._view
        if IHasParts.providedBy(view):
            return await resolve(view.count(path))
        try:
            info: FileInfo = await resolve(view.stat(path))
        except (NotADirectory, NotFound):
            return 0, 0
        return (info.size, 1) if info.kind != "dir" else (0, 0)


def _place(scope: QuotaScope) -> VirtualPath:
    """The directory of a scope; one that cannot be a path is no place at all, and never matches."""
    try:
        return VirtualPath.parse(scope.below.encode("utf-8", "surrogateescape"))
    except NameInvalid:
        return VirtualPath((b"\0",))
