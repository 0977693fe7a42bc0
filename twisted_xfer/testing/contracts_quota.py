"""The contract of a quota ledger, executable: inherit it, say how to make one, run any test runner.

class TestAcmeLedger(LedgerContract):
    def make_ledger(self) -> IQuotaLedger:
        return AcmeLedger(...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zope.interface.verify import verifyObject

from twisted_xfer.errors import QuotaExceeded
from twisted_xfer.interfaces import ICountsAnew, IQuotaLedger, IReservation, QuotaScope, Usage
from twisted_xfer.testing.storage_checks import equal, fails_with, value_of

_STEP = 7
_PARALLEL = 50


class LedgerContract:
    """What every ledger does."""

    def make_ledger(self) -> IQuotaLedger:
        """A fresh, empty ledger."""
        raise NotImplementedError

    def dispose(self) -> None:
        """Clean up after one test."""

    @contextmanager
    def opened(self) -> Iterator[IQuotaLedger]:
        """A ledger for one test."""
        ledger = self.make_ledger()
        try:
            yield ledger
        finally:
            ledger.close()
            ledger.close()
            self.dispose()

    def reserve(
        self,
        ledger: IQuotaLedger,
        size: int | None,
        limit: int | None = None,
        most_files: int | None = None,
        name: str = "alice",
        **more: Any,
    ) -> IReservation:
        """Set room aside for ``name``."""
        return value_of(ledger.reserve(name, size, limit_bytes=limit, limit_files=most_files, **more))

    def test_interfaces_are_provided(self) -> None:
        """The ledger and its reservations."""
        with self.opened() as ledger:
            verifyObject(IQuotaLedger, ledger)
            verifyObject(IReservation, self.reserve(ledger, None))
            equal(value_of(ledger.usage("nobody")), Usage(0, 0, 0))

    def test_announced_to_the_limit_and_not_past_it(self) -> None:
        """All that is left may be announced; a byte more is refused and says what is left."""
        with self.opened() as ledger:
            value_of(ledger.adjust("alice", 40, 1))
            error = fails_with(QuotaExceeded, lambda: self.reserve(ledger, 61, 100))
            equal((error.fields["left"], error.fields["unit"]), (60, "bytes"))
            whole = self.reserve(ledger, 60, 100)
            equal(whole.granted, 60)
            equal(value_of(ledger.usage("alice")), Usage(40, 1, 60))
            error = fails_with(QuotaExceeded, lambda: self.reserve(ledger, 1, 100))
            equal(error.fields["left"], 0)
            whole.release()
            whole.release()
            equal(value_of(ledger.usage("alice")), Usage(40, 1, 0))

    def test_growing_to_the_limit(self) -> None:
        """An upload of unknown size gets what is left and then hears what there is without it."""
        with self.opened() as ledger:
            upload = self.reserve(ledger, None, 100)
            equal(upload.granted, 0)
            equal(upload.extend(30), 30)
            other = self.reserve(ledger, 50, 100)
            equal(upload.extend(30), 20, "the rest")
            equal(upload.granted, 50)
            equal(fails_with(QuotaExceeded, lambda: upload.extend(1)).fields["left"], 50)
            other.release()
            equal(upload.extend(50), 50)
            upload.commit(100)
            upload.release()
            equal(value_of(ledger.usage("alice")), Usage(100, 1, 0))

    def test_files_to_the_limit(self) -> None:
        """Uploads under way count as files; replacing one needs no room for another."""
        with self.opened() as ledger:
            first = self.reserve(ledger, None, None, 2)
            second = self.reserve(ledger, None, None, 2)
            error = fails_with(QuotaExceeded, lambda: self.reserve(ledger, None, None, 2))
            equal((error.fields["left"], error.fields["unit"]), (0, "files"))
            first.commit(5)
            second.commit(5)
            again = self.reserve(ledger, None, None, 2, files=0)
            again.commit(-3, 0)
            equal(value_of(ledger.usage("alice")), Usage(7, 2, 0))

    def test_commit_takes_what_was_published(self) -> None:
        """Less than was set aside, or nothing but a loss."""
        with self.opened() as ledger:
            self.reserve(ledger, 80, 100).commit(30)
            equal(value_of(ledger.usage("alice")), Usage(30, 1, 0))
            self.reserve(ledger, 10, 100, files=0).commit(-20, 0)
            equal(value_of(ledger.usage("alice")), Usage(10, 1, 0))
            value_of(ledger.adjust("alice", -10, -1))
            equal(value_of(ledger.usage("alice")), Usage(0, 0, 0))

    def test_many_scopes_all_or_none(self) -> None:
        """The tightest scope decides, and what it refuses is set aside in none."""
        group = QuotaScope("/group/staff", limit_bytes=50)
        with self.opened() as ledger:
            upload = self.reserve(ledger, None, 100, also=(group,))
            equal(upload.extend(80), 50)
            error = fails_with(QuotaExceeded, lambda: self.reserve(ledger, 1, 100, name="bob", also=(group,)))
            equal(error.fields["scope"], "/group/staff")
            equal(value_of(ledger.usage("bob")), Usage(0, 0, 0))
            upload.commit(45)
            equal(value_of(ledger.usage("alice")), Usage(45, 1, 0))
            equal(value_of(ledger.usage("/group/staff")), Usage(45, 1, 0))
            error = fails_with(QuotaExceeded, lambda: self.reserve(ledger, 6, 100, name="bob", also=(group,)))
            equal(error.fields["left"], 5)

    def test_names_are_apart(self) -> None:
        """Also odd ones: surrogates for bytes that are not UTF-8."""
        with self.opened() as ledger:
            for size, name in enumerate(("a", "A", "a ", "\udcff", "\u00ff", "'; --"), 1):
                value_of(ledger.adjust(name, size, 1))
            for size, name in enumerate(("a", "A", "a ", "\udcff", "\u00ff", "'; --"), 1):
                equal(value_of(ledger.usage(name)), Usage(size, 1, 0), name)

    def test_many_uploads_side_by_side_never_overshoot(self) -> None:
        """Fifty grow in small steps until each is refused: exactly the limit is given, not one byte more."""
        limit = _PARALLEL * _STEP * 3 + 5
        with self.opened() as ledger:
            uploads = [self.reserve(ledger, None, limit) for _ in range(_PARALLEL)]
            growing = list(uploads)
            for _round in range(limit):
                if not growing:
                    break
                for upload in list(growing):
                    try:
                        upload.extend(_STEP)
                    except QuotaExceeded:
                        growing.remove(upload)
                used = value_of(ledger.usage("alice"))
                if used.bytes + used.reserved > limit:
                    raise AssertionError(f"{used} is over {limit}")
            equal(growing, [])
            equal(sum(upload.granted for upload in uploads), limit)
            for number, upload in enumerate(uploads):
                if number % 2:
                    upload.commit(upload.granted)
                else:
                    upload.release()
            equal(value_of(ledger.usage("alice")).reserved, 0)


class CountingLedgerContract(LedgerContract):
    """A ledger that takes a fresh count."""

    def test_counting_anew(self) -> None:
        """Unknown until counted, then exact until in doubt; a group moves by the difference."""
        with self.opened() as ledger:
            counts = ICountsAnew(ledger)
            verifyObject(ICountsAnew, ledger)
            equal(counts.exact("alice"), False)
            value_of(ledger.adjust("/group/staff", 1000, 10))
            began = counts.begin_count("alice")
            equal(counts.end_count("alice", 70, 7, began or 0, ("/group/staff",)), True)
            equal(counts.exact("alice"), True)
            equal(value_of(ledger.usage("alice")), Usage(70, 7, 0))
            equal(value_of(ledger.usage("/group/staff")), Usage(1070, 17, 0))
            counts.doubt("alice")
            equal(counts.exact("alice"), False)
            equal(counts.end_count("alice", 60, 6, counts.begin_count("alice") or 0, ("/group/staff",)), True)
            equal(value_of(ledger.usage("/group/staff")), Usage(1060, 16, 0))

    def test_a_count_that_was_overtaken_is_not_taken(self) -> None:
        """Whatever changed meanwhile: the count may hold it or not."""
        with self.opened() as ledger:
            counts = ICountsAnew(ledger)
            began = counts.begin_count("alice")
            value_of(ledger.adjust("alice", 5, 1))
            equal(counts.end_count("alice", 0, 0, began or 0), False)
            upload = self.reserve(ledger, 5)
            equal(counts.begin_count("alice"), None, "an upload is under way")
            upload.release()
            began = counts.begin_count("alice")
            upload = self.reserve(ledger, 5)
            equal(counts.end_count("alice", 0, 0, began or 0), False)
            upload.commit(5)
            equal(counts.end_count("alice", 0, 0, began or 0), False)
            equal(value_of(ledger.usage("alice")), Usage(10, 2, 0))
            equal(counts.exact("alice"), False)
