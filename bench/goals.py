"""What our server is to reach: ratios to a peer of the same run where there is one, else absolute numbers.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .stats import Spread

OURS = "twisted-xfer"
#: Stands for whichever peer did best.
BEST = "the best peer"


@dataclass(frozen=True, slots=True)
class Goal:
    """`metric` of our server is at most `factor` times that of `peer`, or at most `factor` itself without a peer."""

    metric: str
    factor: float
    peer: str = ""

    def text(self) -> str:
        """Say the goal in a few words."""
        if not self.peer:
            return f"{self.metric} <= {self.factor:g}"
        return (
            f"{self.metric} <= {self.peer}"
            if self.factor == 1
            else f"{self.metric} <= {self.factor:g} x {self.peer}"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal held against the numbers of one run; `limit` and `ours` are None when that side was not measured."""

    goal: Goal
    limit: float | None
    ours: float | None

    @property
    def ratio(self) -> float | None:
        """Our number over the limit: at most 1.0 is met."""
        if self.limit is None or self.ours is None or self.limit <= 0:
            return None
        return self.ours / self.limit

    def text(self) -> str:
        """Say how it went."""
        if self.ratio is None:
            return "not measured"
        return f"met (x{self.ratio:.2f})" if self.ratio <= 1 else f"missed (x{self.ratio:.2f})"


def judge(goal: Goal, measured: Mapping[str, Mapping[str, Spread]]) -> Verdict:
    """Hold a goal against `measured`: server name to metric name to spread."""

    def middle(server: str) -> float | None:
        found = measured.get(server, {}).get(goal.metric)
        return None if found is None else found.middle

    def reference_of(peer: str) -> float | None:
        if peer != BEST:
            return middle(peer) if peer else 1.0
        others = [number for name in measured if name != OURS and (number := middle(name)) is not None]
        return min(others, default=None)

    reference = reference_of(goal.peer)
    return Verdict(goal, None if reference is None else goal.factor * reference, middle(OURS))
