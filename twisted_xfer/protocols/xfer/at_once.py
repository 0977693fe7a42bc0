"""Coroutines that mostly end in the turn in which they begin: then a Deferred costs more than what they do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def begin(work: Coroutine[Any, Any, None], failed: Callable[[Failure], object]) -> None:
    """Run ``work`` now, as far as it goes, and the rest when what it waits for is there; ``failed`` if it fails."""
    try:
        waited = work.send(None)
    except StopIteration:
        return
    except Exception:  # noqa: BLE001 - whatever it is, whoever began it is told
        failed(Failure())  # type: ignore[no-untyped-call]
        return
    Deferred.fromCoroutine(_rest(work, waited)).addErrback(failed)


def _rest(work: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    """``work`` from where it waits for ``waited`` on, for Deferred.fromCoroutine."""
    proceed: Callable[[], Any]
    while True:
        try:
            value = yield waited
        except GeneratorExit:
            # Nobody will ever answer; ``work`` may be closed already, when both go at once.
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for ``work`` to deal with
            proceed = partial(work.throw, error)
        else:
            proceed = partial(work.send, value)
        try:
            waited = proceed()
        except StopIteration:
            return
