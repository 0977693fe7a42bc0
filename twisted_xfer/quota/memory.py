"""A ledger in memory: for one process, and gone with it, so that every account is counted anew."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twisted_xfer.interfaces import ICountsAnew, IQuotaLedger, IReservation, QuotaScope, Usage
from twisted_xfer.quota.arithmetic import Standing, Tally, admit, grow


@implementer(IReservation)
class MemoryReservation:
    """Room set aside in a memory ledger."""

    __slots__ = ("_files", "_ledger", "_scopes", "granted")

    def __init__(
        self, ledger: MemoryLedger, scopes: tuple[QuotaScope, ...], granted: int, files: int
    ) -> None:
        self._ledger: MemoryLedger | None = ledger
        self._scopes = scopes
        self._files = files
        self.granted = granted
        ledger.hold(scopes, granted, files)

    def extend(self, size: int) -> int:
        """At most ``size`` more. Raises QuotaExceeded."""
        ledger = self._ledger
        if ledger is None:
            return 0
        granted = grow(ledger.standings(self._scopes), size, self.granted)
        ledger.hold(self._scopes, granted, 0)
        self.granted += granted
        return granted

    def commit(self, actual: int, files: int = 1) -> None:
        """What was set aside becomes what is published."""
        ledger = self._ledger
        if ledger is not None:
            self.release()
            for scope in self._scopes:
                ledger.adjust(scope.name, actual, files)

    def release(self) -> None:
        """Give it back."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.hold(self._scopes, -self.granted, -self._files)
            self.granted = 0


@implementer(IQuotaLedger, ICountsAnew)
class MemoryLedger:
    """Tallies by name. As many as there are accounts and scopes with a quota that have logged in."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._changes: dict[str, int] = {}
        self._exact: set[str] = set()

    def standings(self, scopes: Sequence[QuotaScope]) -> list[Standing]:
        """Each scope with its tally."""
        return [Standing(scope, self._tallies.get(scope.name, Tally())) for scope in scopes]

    def hold(self, scopes: Sequence[QuotaScope], size: int, files: int) -> None:
        """Set aside ``size`` bytes and ``files`` files more in each of ``scopes``, or less."""
        for scope in scopes:
            old = self._tallies.get(scope.name, Tally())
            self._tallies[scope.name] = old._replace(
                reserved_bytes=old.reserved_bytes + size, reserved_files=old.reserved_files + files
            )

    def reserve(
        self,
        username: str,
        size: int | None,
        *,
        limit_bytes: int | None,
        limit_files: int | None,
        also: Sequence[QuotaScope] = (),
        files: int = 1,
    ) -> MemoryReservation:
        """Set room aside. Raises QuotaExceeded."""
        scopes = (QuotaScope(username, limit_bytes, limit_files), *also)
        return MemoryReservation(self, scopes, admit(self.standings(scopes), size, files), files)

    def adjust(self, username: str, size: int, files: int) -> None:
        """What is published changed."""
        self._tallies[username] = self._tallies.get(username, Tally()).published(size, files)
        self._changes[username] = self._changes.get(username, 0) + 1

    def usage(self, username: str) -> Usage:
        """What is used."""
        tally = self._tallies.get(username, Tally())
        return Usage(tally.bytes, tally.files, tally.reserved_bytes)

    def exact(self, name: str) -> bool:
        """Whether it has been counted."""
        return name in self._exact

    def doubt(self, name: str) -> None:
        """It has to be counted again."""
        self._exact.discard(name)
        self._changes[name] = self._changes.get(name, 0) + 1

    def begin_count(self, name: str) -> int | None:
        """The number of changes so far."""
        tally = self._tallies.get(name, Tally())
        if tally.reserved_files or tally.reserved_bytes:
            return None
        return self._changes.get(name, 0)

    def end_count(self, name: str, size: int, files: int, began: int, also: Sequence[str] = ()) -> bool:
        """Take the count, unless something changed."""
        if self.begin_count(name) != began:
            return False
        old = self._tallies.get(name, Tally())
        for other in (name, *also):
            self.adjust(other, size - old.bytes, files - old.files)
        self._exact.add(name)
        return True

    def close(self) -> None:
        """Nothing is held."""
