"""The arithmetic of the benchmark: medians, percentiles, ratios and goals."""

import pytest

from bench.goals import BEST, OURS, Goal, judge
from bench.stats import Spread, best, percentile, spread, times_worse


def test_spread_keeps_median_and_extremes():
    """An even count takes the mean of the middle two; the order of the rounds does not matter."""
    assert spread([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 4.0, 4)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_spread_of_nothing_is_an_error():
    """A row without a sample must not become a zero."""
    with pytest.raises(ValueError, match="no samples"):
        spread([])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_percentile_is_the_nearest_rank(share, expected):
    """Of 1 to 100, the p-th percentile is p itself; just above it is the next."""
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_percentile_of_one_sample_is_that_sample():
    """Every percentile of a single sample is it."""
    assert [percentile([5.0], share) for share in (0.0, 0.5, 1.0)] == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("share", [-0.01, 1.01])
def test_percentile_refuses_a_share_outside(share):
    """99 instead of 0.99 is a slip that would pass as a maximum."""
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_times_worse_counts_in_both_directions():
    """Twice the cost and half the rate are both 2; a winner of zero cannot be approached."""
    assert times_worse(4.0, 2.0, higher_is_better=False) == 2.0
    assert times_worse(50.0, 100.0, higher_is_better=True) == 2.0
    assert times_worse(0.0, 0.0, higher_is_better=False) == 1.0
    assert times_worse(1.0, 0.0, higher_is_better=False) == float("inf")


def test_best_depends_on_the_direction():
    """Costs are won by the least, rates by the greatest."""
    assert best([3.0, 1.0, 2.0], higher_is_better=False) == 1.0
    assert best([3.0, 1.0, 2.0], higher_is_better=True) == 3.0


def _measured(ours, peer):
    return {OURS: {"cost": Spread(ours, ours, ours, 1)}, "peer": {"cost": Spread(peer, peer, peer, 1)}}


@pytest.mark.parametrize(
    ("ours", "verdict"), [(1.6, "met (x1.00)"), (1.61, "missed (x1.01)"), (0.8, "met (x0.50)")]
)
def test_goal_against_a_peer(ours, verdict):
    """A goal of 0.8 times a peer at 2.0 is met at 1.6 and missed just above."""
    assert judge(Goal("cost", 0.8, "peer"), _measured(ours, 2.0)).text() == verdict


def test_absolute_goal_needs_no_peer():
    """Without a peer the factor itself is the limit."""
    verdict = judge(Goal("cost", 10), _measured(5.0, 1.0))
    assert (verdict.limit, verdict.ratio) == (10.0, 0.5)


def test_goal_against_the_best_peer():
    """The least of the others counts, and our own number does not."""
    measured = {**_measured(1.0, 2.0), "other": {"cost": Spread(1.5, 1.5, 1.5, 1)}, "third": {}}
    assert judge(Goal("cost", 1, BEST), measured).limit == 1.5
    assert judge(Goal("cost", 1, BEST), {OURS: measured[OURS]}).text() == "not measured"


@pytest.mark.parametrize("missing", [OURS, "peer"])
def test_goal_with_one_side_missing_is_not_judged(missing):
    """A server that was left out neither meets nor misses anything."""
    measured = _measured(1.0, 1.0)
    del measured[missing]
    assert judge(Goal("cost", 1, "peer"), measured).text() == "not measured"


def test_goal_texts():
    """The report says goals the way people do."""
    assert Goal("CPU s", 0.09).text() == "CPU s <= 0.09"
    assert Goal("CPU s", 1, "vsftpd").text() == "CPU s <= vsftpd"
    assert Goal("CPU s", 0.8, "pure-ftpd").text() == "CPU s <= 0.8 x pure-ftpd"
