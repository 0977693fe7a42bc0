"""What both ends of a transfer are given, a daemon's and a client's: threads, randomness, a bandwidth limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from zope.interface import Interface


class IBlocking(Interface):
    """Bounded thread pools by name."""

    def run(function: Callable[..., Any], *args: object, pool: str = "disk") -> Deferred[Any]:
        """Call ``function(*args)`` in a thread. Fails with Busy when the queue is full."""


class RandomBytes(Protocol):
    """``os.urandom`` or a fixed source in tests."""

    def __call__(self, size: int, /) -> bytes:
        """``size`` random bytes."""
        ...


class ILimiter(Interface):
    """A bandwidth limit on one direction of one session, all its buckets together."""

    def take(wanted: int) -> int:
        """How many of ``wanted`` bytes may move now (0 to ``wanted``); they count as moved."""

    def give_back(unused: int) -> None:
        """Bytes taken but not moved after all."""

    def delay() -> float:
        """Seconds until take() will give something again."""
