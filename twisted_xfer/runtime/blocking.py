"""Bounded thread pools by name: where disks and hashes may take their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from twisted_xfer.errors import Busy, ConfigError, ShuttingDown
from twisted_xfer.interfaces import IBlocking

#: Threads and waiting calls of the pools that every daemon has. Disks gain from a few calls at
#: once; a hash takes tens of MiB and a whole core, so two at once are plenty and a short queue
#: tells a flood early that it is too much.
DEFAULT_SIZES: Final[Mapping[str, tuple[int, int]]] = {"disk": (8, 1000), "hash": (2, 50)}


class CallsFromThread(Protocol):
    """What is needed of a reactor."""

    def callFromThread(self, callable: Callable[..., Any], *args: object) -> None:  # noqa: A002 - Twisted's name
        """Call in the reactor's thread, soon."""


class _Pool:
    """One pool: a ThreadPool and a count of what it was given and has not given back."""

    def __init__(self, reactor: CallsFromThread, name: str, threads: int, queue: int) -> None:
        self._reactor = reactor
        self._threads = ThreadPool(0, threads, name)
        self.name = name
        self.most = threads + queue
        self.pending = 0
        self.stopping = False

    def start(self) -> None:
        self._threads.start()

    def run(self, function: Callable[..., Any], args: tuple[object, ...]) -> Deferred[Any]:
        if self.stopping:
            return fail(ShuttingDown(self.name))
        if self.pending >= self.most:
            return fail(Busy(self.name, "too many calls are waiting"))
        self.pending += 1
        job = _Job(self, function, args)
        self._threads.callInThreadWithCallback(job.done_in_thread, job.work_in_thread)
        return job.result

    def deliver(self, job: _Job, good: bool, outcome: Any) -> None:
        """In the reactor's thread: the outcome, unless nobody waits any more."""
        self.pending -= 1
        if job.cancelled:
            return
        if good:
            job.result.callback(outcome)
        else:
            job.result.errback(outcome)

    def send(self, job: _Job, good: bool, outcome: object) -> None:
        self._reactor.callFromThread(self.deliver, job, good, outcome)

    def stop(self) -> None:
        self.stopping = True
        if not self._threads.joined:
            self._threads.stop()


class _Job:
    """One call, between the two threads. A cancelled one that has not begun is skipped."""

    __slots__ = ("_args", "_function", "_pool", "cancelled", "result")

    def __init__(self, pool: _Pool, function: Callable[..., Any], args: tuple[object, ...]) -> None:
        self._pool = pool
        self._function = function
        self._args = args
        self.cancelled = False
        self.result: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _result: Deferred[Any]) -> None:
        self.cancelled = True

    def work_in_thread(self) -> Any:
        if self.cancelled:
            return None
        if self._pool.stopping:
            raise ShuttingDown(self._pool.name)
        return self._function(*self._args)

    def done_in_thread(self, good: bool, outcome: object) -> None:
        # What was passed in (a password, a buffer) must not live as long as the answer does.
        self._args = ()
        self._pool.send(self, good, outcome)


@implementer(IBlocking)
class BlockingPools:
    """Thread pools by name, each with a bound on threads and on waiting calls.

    Args:
        reactor: delivers answers into its thread (``callFromThread``).
        sizes: threads and queue length by pool name; the pools of DEFAULT_SIZES are always there.
    """

    def __init__(self, reactor: CallsFromThread, sizes: Mapping[str, tuple[int, int]] | None = None) -> None:
        self._pools: dict[str, _Pool] = {}
        for name, (threads, queue) in {**DEFAULT_SIZES, **(sizes or {})}.items():
            if threads < 1 or queue < 0:
                raise ConfigError(
                    f"pools.{name}",
                    value=(threads, queue),
                    remedy="give at least 1 thread and a queue of 0 or more",
                )
            self._pools[name] = _Pool(reactor, name, threads, queue)

    def start(self) -> None:
        """Let the calls begin; threads are made as they are needed."""
        for pool in self._pools.values():
            pool.start()

    def stop(self) -> None:
        """Refuse new calls, drop waiting ones with ShuttingDown, join the threads of running ones.

        Waits for the calls that run now, so it belongs after the drain. May be called twice.
        """
        for pool in self._pools.values():
            pool.stopping = True
        for pool in self._pools.values():
            pool.stop()

    def run(self, function: Callable[..., Any], *args: object, pool: str = "disk") -> Deferred[Any]:
        """Call ``function(*args)`` in a thread of ``pool``; an unknown name means ``disk``.

        Fails with Busy when the queue is full and ShuttingDown after stop(). Cancelling forgets
        the answer, and skips the call if it has not begun.
        """
        return (self._pools.get(pool) or self._pools["disk"]).run(function, args)

    def pending(self, pool: str = "disk") -> int:
        """Calls of ``pool`` that run or wait."""
        return self._pools[pool].pending


@implementer(IBlocking)
class InlineBlocking:
    """Calls at once in the caller's thread: for tests and for embedding without threads."""

    def run(self, function: Callable[..., Any], *args: object, pool: str = "disk") -> Deferred[Any]:
        """The answer of ``function(*args)``, which has come already."""
        return maybeDeferred(function, *args)
