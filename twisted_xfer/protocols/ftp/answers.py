"""Going on with an answer that may be a value, a coroutine or a Deferred."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutine
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred

from twisted_xfer.interfaces import Eventually

T = TypeVar("T")
U = TypeVar("U")


def when(answer: Eventually[T], then: Callable[[T], Eventually[U]]) -> Eventually[U]:
    """``then(answer)``: at once for a plain value, because most storages answer at once."""
    if isinstance(answer, Deferred):
        return answer.addCallback(then)
    if iscoroutine(answer):
        return Deferred.fromCoroutine(cast("Coroutine[Deferred[T], Any, T]", answer)).addCallback(then)
    return then(cast("T", answer))


async def settled(answer: Eventually[T]) -> T:
    """The answer, awaited where it has to be."""
    if isinstance(answer, Deferred) or iscoroutine(answer):
        return cast("T", await answer)
    return cast("T", answer)
