"""The sums of a ledger."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import QuotaExceeded
from twisted_xfer.interfaces import QuotaScope
from twisted_xfer.quota.arithmetic import MOST_AHEAD, Standing, Tally, admit, grow, left_bytes, left_files
from twisted_xfer.quota.memory import MemoryLedger

FREE = Standing(QuotaScope("free"), Tally(10, 1, 5, 1))
TIGHT = Standing(QuotaScope("tight", 100, 4), Tally(60, 2, 10, 1))
OVER = Standing(QuotaScope("over", 50, 1), Tally(60, 2))


def test_what_is_left():
    """Published and set aside both count; over the limit nothing is left, and without one no answer."""
    assert [left_bytes(one) for one in (FREE, TIGHT, OVER)] == [None, 30, 0]
    assert [left_files(one) for one in (FREE, TIGHT, OVER)] == [None, 1, 0]


def test_admission_at_the_limit_and_one_past():
    """For bytes and for files; an unknown size sets nothing aside, so it is never refused for bytes."""
    assert admit((FREE, TIGHT), 30, 1) == 30
    assert admit((FREE, TIGHT), None, 1) == 0
    assert admit((OVER,), 0, 0) == 0
    for size, files, unit in [(31, 1, "bytes"), (30, 2, "files")]:
        with pytest.raises(QuotaExceeded) as caught:
            admit((FREE, TIGHT), size, files)
        assert (caught.value.fields["unit"], caught.value.fields["scope"]) == (unit, "tight")


def test_announced_sizes_without_bounds():
    """At most MOST_AHEAD is set aside before it comes; what is announced has to fit all the same."""
    free = Standing(QuotaScope("/group/g", None, 5), Tally())
    assert admit([free], MOST_AHEAD, 1) == MOST_AHEAD
    assert admit([free], MOST_AHEAD + 1, 1) == MOST_AHEAD
    bounded = Standing(QuotaScope("a", MOST_AHEAD + 1, None), Tally())
    assert admit([free, bounded], MOST_AHEAD + 1, 1) == MOST_AHEAD
    with pytest.raises(QuotaExceeded):
        admit([free, bounded], MOST_AHEAD + 2, 1)


def test_growing():
    """As much as the tightest has, and an error that tells what there is without this upload."""
    assert grow((FREE,), 1000, 0) == 1000
    assert grow((FREE, TIGHT), 1000, 0) == 30
    assert grow((FREE, TIGHT), 5, 0) == 5
    with pytest.raises(QuotaExceeded) as caught:
        grow((TIGHT, OVER), 1, 7)
    assert caught.value.fields == {"left": 7, "unit": "bytes", "scope": "over"}


def test_never_below_nothing():
    """What was never counted cannot be taken away."""
    assert Tally(5, 1).published(-6, -2) == Tally(0, 0)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.integers(0, 200),
    st.lists(
        st.tuples(st.sampled_from(["open", "extend", "commit", "release", "drop"]), st.integers(0, 80)),
        max_size=60,
    ),
)
def test_no_order_of_uploads_passes_the_limit(limit, steps):
    """Whatever begins, grows, ends and is deleted in whatever order."""
    ledger = MemoryLedger()
    opened = []
    published = []
    for step, number in steps:
        try:
            if step == "open":
                size = number if number % 2 else None
                opened.append(ledger.reserve("a", size, limit_bytes=limit, limit_files=None))
            elif step == "extend" and opened:
                opened[number % len(opened)].extend(number or 1)
            elif step in {"commit", "release"} and opened:
                reservation = opened.pop(number % len(opened))
                if step == "commit":
                    published.append(reservation.granted)
                    reservation.commit(reservation.granted)
                reservation.release()
            elif step == "drop" and published:
                ledger.adjust("a", -published.pop(), -1)
        except QuotaExceeded:
            pass
        usage = ledger.usage("a")
        assert usage.bytes + usage.reserved <= limit
        assert (usage.bytes, usage.files) == (sum(published), len(published))
        assert usage.reserved == sum(one.granted for one in opened)
