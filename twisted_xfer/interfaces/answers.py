"""Going on with an ``Eventually``: an answer that may be a value, a coroutine or a Deferred.

Most storages answer at once, and a Deferred for each of a session's commands would cost more
than the commands themselves: so a plain value goes on in the same turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import CoroutineType
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.interfaces._storage import Eventually

T = TypeVar("T")
U = TypeVar("U")


def _is_late(kind: type) -> bool:
    return issubclass(kind, (Deferred, CoroutineType))


# Asked for each answer: Deferred has an abstract class above, whose own check is written in Python.
_late: Callable[[Any], bool] = lru_cache(256)(_is_late)


def then(answer: Eventually[T], go_on: Callable[[T], U | Deferred[U]]) -> U | Deferred[U]:
    """``go_on(value)``: now for a plain value, else when it has come."""
    if _late(type(answer)):
        return cast("Deferred[U]", as_deferred(answer).addCallback(cast("Any", go_on)))
    value: Any = answer
    return go_on(value)


def then_or(
    answer: Eventually[T],
    go_on: Callable[[T], U | Deferred[U]],
    fail: Callable[[Failure], U | Deferred[U] | Failure],
) -> U | Deferred[U]:
    """As ``then``, with ``fail(failure)`` for an answer that turns out to be an error."""
    if _late(type(answer)):
        return cast("Deferred[U]", as_deferred(answer).addCallbacks(cast("Any", go_on), cast("Any", fail)))
    value: Any = answer
    return go_on(value)


def as_deferred(answer: Any) -> Deferred[Any]:
    """What has to be waited for, as a Deferred."""
    return answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)


def waiting(answer: object) -> bool:
    """Whether ``answer`` still has to be waited for, or taken out of a Deferred."""
    return _late(type(answer))


async def resolve(answer: Eventually[T]) -> T:
    """The value of ``answer``, for coroutines."""
    value: Any = answer
    if _late(type(answer)):
        value = await value
    return cast("T", value)
