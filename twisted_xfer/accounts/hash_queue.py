"""A fair queue before the pool that checks hashes: no address gets more than its turn."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail

from twisted_xfer.errors import Busy
from twisted_xfer.interfaces import IBlocking

#: Checks handed to the pool at once: as many as its threads, so that what waits, waits here in order.
AT_ONCE: Final = 2
#: Checks of one address that wait: devices behind one NAT that all come back after a failure of the
#: network; at some 20 ms each and two at once, the last of them waits for a second.
MAX_PER_KEY: Final = 100
#: Checks that wait in all: some seconds of work, and some hundred KiB of passwords.
MAX_WAITING: Final = 500


def key_of(peer: str) -> str:
    """What the checks of ``peer`` wait under: its address; for IPv6 its /64, as a host may use all of one."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return peer
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else f"{int(address) >> 64:x}::/64"


class _Turn:
    """One check that waits."""

    __slots__ = ("args", "function", "result")

    def __init__(self, function: Callable[..., Any], args: tuple[object, ...]) -> None:
        self.function = function
        self.args = args
        self.result: Deferred[Any] = Deferred()


class HashQueue:
    """Runs calls in the pool ``hash``, taking the keys in turn and each key's calls in order.

    What waits is bounded for each key and in all. When all is full, the key with most in the
    queue loses its newest: a flood from one address never pushes out another's only login.
    """

    def __init__(
        self,
        blocking: IBlocking,
        *,
        at_once: int = AT_ONCE,
        per_key: int = MAX_PER_KEY,
        most: int = MAX_WAITING,
    ) -> None:
        self._blocking = blocking
        self._at_once = at_once
        self._per_key = per_key
        self._most = most
        self._queues: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._running = 0
        self._feeding = False
        #: Calls that wait.
        self.waiting = 0

    def run(self, key: str, function: Callable[..., Any], *args: object) -> Deferred[Any]:
        """``function(*args)`` in a thread, when it is the turn of ``key``.

        Fails with Busy when too much waits, or as the pool does.
        """
        if self._running < self._at_once and not self.waiting:
            return self._start(function, args)
        queue = self._queues.get(key)
        here = 0 if queue is None else len(queue)
        if here >= self._per_key:
            return _busy(key)
        if self.waiting >= self._most:
            longest = max(self._queues, key=lambda name: len(self._queues[name]))
            if len(self._queues[longest]) <= here + 1:
                return _busy(key)
            self._take(longest, newest=True).result.errback(Busy(longest, "too many logins wait"))
        turn = _Turn(function, args)
        self._queues.setdefault(key, deque()).append(turn)
        self.waiting += 1
        return turn.result

    def _start(self, function: Callable[..., Any], args: tuple[object, ...]) -> Deferred[Any]:
        self._running += 1
        return self._blocking.run(function, *args, pool="hash").addBoth(self._ended)

    def _ended(self, outcome: Any) -> Any:
        self._running -= 1
        if self._feeding:
            # A pool that refuses at once comes back here from within: a loop, not a recursion.
            return outcome
        self._feeding = True
        while self._queues and self._running < self._at_once:
            key = next(iter(self._queues))
            turn = self._take(key)
            if key in self._queues:
                # Others first: that is all the fairness there is to it.
                self._queues.move_to_end(key)
            self._start(turn.function, turn.args).chainDeferred(turn.result)
        self._feeding = False
        return outcome

    def _take(self, key: str, *, newest: bool = False) -> _Turn:
        queue = self._queues[key]
        turn = queue.pop() if newest else queue.popleft()
        self.waiting -= 1
        if not queue:
            del self._queues[key]
        return turn


def _busy(key: str) -> Deferred[Any]:
    return fail(Busy(key, "too many logins wait"))
