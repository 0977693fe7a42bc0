"""One way to go on from an answer that may be there already."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.interfaces import Eventually

T = TypeVar("T")
U = TypeVar("U")


def then(answer: Eventually[T], go_on: Callable[[T], Any]) -> Any:
    """``go_on(value)``, now when ``answer`` is a plain value, else when it has come.

    Storages on a local disk answer at once, and a Deferred for each of a session's commands
    would cost more than the commands themselves.
    """
    if isinstance(answer, Deferred):
        return answer.addCallback(go_on)
    if isinstance(answer, Coroutine):
        return Deferred.fromCoroutine(answer).addCallback(go_on)
    return go_on(answer)


def then_or(answer: Eventually[T], go_on: Callable[[T], Any], fail: Callable[[Failure], Any]) -> Any:
    """As ``then``, with ``fail(failure)`` for an answer that turns out to be an error."""
    if isinstance(answer, Coroutine):
        answer = Deferred.fromCoroutine(answer)
    if isinstance(answer, Deferred):
        return answer.addCallbacks(go_on, fail)
    return go_on(answer)


def waiting(answer: object) -> bool:
    """Whether ``answer`` still has to be waited for, or taken out of a Deferred."""
    return isinstance(answer, (Deferred, Coroutine))


async def resolve(answer: Eventually[T]) -> T:
    """The value of ``answer``, for coroutines."""
    if isinstance(answer, (Deferred, Coroutine)):
        value: T = await answer
        return value
    return answer
