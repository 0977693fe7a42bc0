"""How many may come in, how fast they may guess, and who stays out."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from twisted_xfer.errors import Banned, LimitReached
from twisted_xfer.interfaces import IEvents, ILease, ILimits
from twisted_xfer.runtime.bans import AllowList, Ban, Bans

#: Remembered addresses and (address, user) pairs that failed: some megabytes at most. The oldest go first.
MAX_FAILURES: Final = 10_000
#: Failures of one user from one address before answers slow down: people mistype.
FREE_PER_USER: Final = 2
#: The same for an address as a whole, where many users may share a NAT.
FREE_PER_ADDRESS: Final = 10
#: The first delay in seconds; it doubles with each further failure.
FIRST_DELAY: Final = 0.5
#: The longest step: more would only hold connections open.
MAX_STEP: Final = 16.0
#: Seconds in which a count of failures falls by half.
HALF_LIFE: Final = 60.0
#: A login that would have to queue for longer than this is refused instead.
MAX_QUEUE: Final = 30.0
#: Addresses whose rate of connections is remembered; the oldest go first.
MAX_RATES: Final = 10_000
#: Connections that an address may make at once beyond its rate, as a part of a minute's worth:
#: clients open a handful together.
BURST: Final = 0.5
#: Bytes of a user name that count: longer ones are no account anyhow.
MAX_USERNAME: Final = 255


def network_of(address: str) -> str:
    """What ``address`` counts as: itself for IPv4 (mapped too), the /64 network for IPv6.

    One IPv6 host owns a whole /64 and would otherwise be as many addresses as it likes.
    """
    if ":" not in address:
        return address
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + b"\0" * 8) + "/64"


class Guesses:
    """The failures of one key: a count that decays, and when the next answer is due."""

    __slots__ = ("count", "next_answer", "updated")

    def __init__(self, now: float) -> None:
        self.count = 0.0
        self.updated = now
        self.next_answer = now

    def decay(self, now: float) -> float:
        """Bring the count up to ``now`` and return it."""
        passed = now - self.updated
        if passed > 0:
            self.count *= 0.5 ** (passed / HALF_LIFE)
            self.updated = now
        return self.count


@implementer(ILease)
class _Lease:
    """A place in one or two counting tables. Bounded by the connections that are open."""

    __slots__ = ("_counts", "_key", "_limits")

    def __init__(self, limits: Limits | None, counts: dict[str, int], key: str) -> None:
        self._limits = limits
        self._counts: dict[str, int] | None = counts
        self._key = key

    def release(self) -> None:
        counts = self._counts
        if counts is None:
            return
        self._counts = None
        left = counts[self._key] - 1
        if left:
            counts[self._key] = left
        else:
            del counts[self._key]
        if self._limits is not None:
            self._limits.clients -= 1


@implementer(ILimits)
class Limits:
    """Counts for one process. A limit of 0 is none.

    Args:
        clock: for back-off and bans only.
        max_clients: connections in all.
        max_per_address: connections of one address (IPv6: of one /64).
        max_per_user: sessions of one account that has no limit of its own.
        max_failures: size of the back-off tables.
        connects_per_minute: connections that one address may make.
        ban_after: score of one address that bans it; 0 never bans. A failed login counts 1 and so does
            an attempt refused for its queue; HALF_LIFE lets it fall.
        ban_seconds: how long such a ban lasts.
        ban_file: where bans, and the scores of addresses, are kept and shared with other processes;
            empty for nowhere.
        allow: networks that are neither banned nor slowed down as a whole.
        events: hears of bans.
        wall_time: Unix seconds, for the file; unless given, the clock's.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        max_clients: int = 0,
        max_per_address: int = 0,
        max_per_user: int = 0,
        max_failures: int = MAX_FAILURES,
        connects_per_minute: int = 0,
        ban_after: int = 0,
        ban_seconds: float = 600.0,
        ban_file: str = "",
        allow: Iterable[str] = (),
        events: IEvents | None = None,
        wall_time: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self.max_clients = max_clients
        self.max_per_address = max_per_address
        self.max_per_user = max_per_user
        self.ban_after = ban_after
        self.ban_seconds = ban_seconds
        #: Connections open now.
        self.clients = 0
        self._addresses: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._failures: OrderedDict[tuple[str, str], Guesses] = OrderedDict()
        self._max_failures = max_failures
        self._connects = connects_per_minute
        self._rates: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._allow = AllowList(allow)
        self._bans = Bans(clock, wall_time=wall_time, events=events, path=ban_file, forget=self._forget)

    def admit(self, peer: str) -> _Lease:
        """A connection from ``peer``.

        Raises:
            Banned: field ``retry_after``.
            LimitReached: field ``limit`` is ``clients``, ``address`` or ``rate``.
        """
        key = network_of(peer) if ":" in peer else peer
        self._refuse_banned(key, peer)
        if 0 < self.max_clients <= self.clients:
            raise LimitReached(detail="too many connections", limit="clients")
        addresses = self._addresses
        here = addresses.get(key, 0)
        if 0 < self.max_per_address <= here:
            raise LimitReached(peer, "too many connections from this address", limit="address")
        if self._connects:
            self._refuse_hasty(key, peer)
        addresses[key] = here + 1
        self.clients += 1
        return _Lease(self, addresses, key)

    def session(self, username: str, peer: str, most: int = 0) -> _Lease:
        """A login of ``username``.

        Raises:
            LimitReached: field ``limit`` is ``user``.
        """
        users = self._users
        now = users.get(username, 0)
        limit = most or self.max_per_user
        if 0 < limit <= now:
            raise LimitReached(username, "too many sessions of this account", limit="user")
        users[username] = now + 1
        return _Lease(None, users, username)

    def delay(self, peer: str, username: str) -> float:
        """Seconds to wait before this attempt may go on; takes its turn behind the earlier ones.

        Each attempt after failures books the next free moment, so that many connections at once
        guess no faster than one.

        Raises:
            Banned: the address is banned, or the turn would come later than MAX_QUEUE.
        """
        address = network_of(peer)
        self._refuse_banned(address, peer)
        if not self._failures:
            return 0.0
        now = self._clock.seconds()
        longest = 0.0
        turns: list[tuple[Guesses, float]] = []
        for key, free in (((address, ""), FREE_PER_ADDRESS), ((address, _name(username)), FREE_PER_USER)):
            entry = self._failures.get(key)
            if entry is None or (not key[1] and peer in self._allow):
                continue
            over = entry.decay(now) - free
            if over > -0.5:  # Counts decay from the first moment: the free ones are whole failures.
                step = min(MAX_STEP, FIRST_DELAY * 2.0 ** min(over, 32.0))
                turn = max(now, entry.next_answer) + step
                turns.append((entry, turn))
                longest = max(longest, turn - now)
        if longest > MAX_QUEUE:
            # Whoever goes on all the same is no one who mistyped.
            self._score(self._count_address(address, now), address, peer)
            raise Banned(peer, "too many failed logins", retry_after=longest)
        for entry, turn in turns:
            entry.next_answer = turn
        return longest

    def failed(self, peer: str, username: str) -> None:
        """A login failed: count it for the address, and for the user at this address."""
        now = self._clock.seconds()
        address = network_of(peer)
        total = self._count_address(address, now)
        self._count((address, _name(username)), now)
        self._score(total, address, peer)

    def succeeded(self, peer: str, username: str) -> None:
        """A login was good: the user's own failures are forgotten, the address's are not.

        Else one good account would buy an address endless guesses at the others.
        """
        if self._failures:
            self._failures.pop((network_of(peer), _name(username)), None)

    def ban(self, address: str, seconds: float, reason: str = "") -> None:
        """Keep ``address`` out for ``seconds``."""
        self._bans.add(_key(address), seconds, reason)

    def lift(self, address: str) -> bool:
        """Let ``address`` in again and forget its failures; False when it was not banned."""
        return self._bans.lift(_key(address))

    def bans(self) -> list[Ban]:
        """Who is kept out now."""
        return self._bans.current()

    def close(self) -> None:
        """Let go of the file of bans. May be called twice."""
        self._bans.close()

    def _forget(self, key: str) -> None:
        """A ban is over: what led to it does not count twice."""
        self._failures.pop((key, ""), None)

    def _score(self, total: float, address: str, peer: str) -> None:
        # Counts decay from the first moment: as many failures as configured must be enough.
        if not self.ban_after or total <= self.ban_after - 0.5 or peer in self._allow:
            return
        if not self._bans.left(address):
            self.ban(address, self.ban_seconds, "failed logins")

    def _refuse_banned(self, key: str, peer: str) -> None:
        left = self._bans.left(key)
        if left > 0 and peer not in self._allow:
            raise Banned(key, retry_after=left)

    def _refuse_hasty(self, key: str, peer: str) -> None:
        """Count a connection against the rate of its address: a bucket that fills up steadily."""
        now = self._clock.seconds()
        most = max(1.0, self._connects * BURST)
        left, updated = self._rates.get(key, (most, now))
        left = min(most, left + max(0.0, now - updated) * self._connects / 60.0)
        if left < 1.0:
            if peer in self._allow:
                return
            raise LimitReached(peer, "too many connections in a short time", limit="rate")
        self._rates[key] = (left - 1.0, now)
        self._rates.move_to_end(key)
        while len(self._rates) > MAX_RATES:
            self._rates.popitem(last=False)

    def _count_address(self, address: str, now: float) -> float:
        """Count a failure of an address, where it can be together with those in other processes."""
        entry = self._count((address, ""), now)
        shared = self._bans.failed(address, HALF_LIFE)
        if shared is not None:
            entry.count = shared
        return entry.count

    def _count(self, key: tuple[str, str], now: float) -> Guesses:
        entry = self._failures.get(key)
        if entry is None:
            entry = self._failures[key] = Guesses(now)
            while len(self._failures) > self._max_failures:
                self._failures.popitem(last=False)
        else:
            self._failures.move_to_end(key)
        entry.decay(now)
        entry.count += 1.0
        return entry


def _key(address: str) -> str:
    """What a ban of ``address`` is filed under; a /64 may be given as such."""
    return address if address.endswith("/64") else network_of(address)


def _name(username: str) -> str:
    """``username`` as a key: bounded, and never the empty name that stands for the address."""
    return "=" + username[:MAX_USERNAME]
