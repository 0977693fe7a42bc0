"""Arithmetic on samples: medians, spread, percentiles and ratios.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds between their least and their greatest."""

    middle: float
    low: float
    high: float
    rounds: int


def spread(samples: Iterable[float]) -> Spread:
    """Sum the rounds up; at least one sample is needed."""
    values = sorted(samples)
    if not values:
        raise ValueError("no samples")
    return Spread(median(values), values[0], values[-1], len(values))


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the least sample that at least `share` (0 to 1) of the samples do not exceed (nearest rank)."""
    if not samples:
        raise ValueError("no samples")
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is not within 0 and 1")
    ordered = sorted(samples)
    rank = max(1, -(-len(ordered) * round(share * 10_000) // 10_000))
    return ordered[rank - 1]


def best(middles: Iterable[float], *, higher_is_better: bool) -> float:
    """Return the winner among the medians of a row."""
    return max(middles) if higher_is_better else min(middles)


def times_worse(value: float, winner: float, *, higher_is_better: bool) -> float:
    """Return how many times worse `value` is than `winner`: 1.0 is level, 2.0 twice as dear or half as fast."""
    worse, better = (winner, value) if higher_is_better else (value, winner)
    if better <= 0:
        return 1.0 if worse <= 0 else float("inf")
    return worse / better
