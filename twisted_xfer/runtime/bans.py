"""Who stays out: bans of addresses and IPv6 /64 networks, with their ends."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_xfer.errors import ConfigError, StorageFailure
from twisted_xfer.interfaces import IEvents
from twisted_xfer.runtime.bans_store import BanStore, Row

#: Bans at once; the oldest goes first.
MAX_BANS: Final = 10_000
#: Seconds between two looks at the ends of bans, and at what other processes did.
POLL_SECONDS: Final = 1.0
#: After a failure of the file: seconds until it is tried again.
RETRY_SECONDS: Final = 30.0
#: Networks in the allow list: each is compared with an address that is about to be refused.
MAX_ALLOWED: Final = 1000

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Ban(NamedTuple):
    """An address or network that stays out until ``until`` (seconds of the clock)."""

    address: str
    until: float


class AllowList:
    """Networks that are never banned.

    Raises:
        ConfigError: what is no network, or over MAX_ALLOWED of them.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        texts = tuple(networks)
        if len(texts) > MAX_ALLOWED:
            raise ConfigError("bans.allow", value=len(texts), remedy=f"name at most {MAX_ALLOWED} networks")
        found: list[Network] = []
        for text in texts:
            try:
                found.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    "bans.allow", value=text, remedy='write networks such as "10.0.0.0/8"'
                ) from None
        self._networks = tuple(found)

    def __contains__(self, peer: str) -> bool:
        """Whether ``peer``, an IP address, lies in one of them."""
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        return any(address.version == network.version and address in network for network in self._networks)


class Bans:
    """The bans of one process, and of those that share its file.

    A file that fails is logged; the bans of this process then hold in it alone.

    Args:
        clock: for the ends.
        wall_time: Unix seconds, as the file has them.
        events: hears ban.added, and ban.removed from the process that notices it first.
        path: the file; empty for none. Opened when it is first needed: after privileges were dropped.
        forget: called with each address whose ban is over.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        wall_time: Callable[[], float] | None = None,
        events: IEvents | None = None,
        path: str = "",
        forget: Callable[[str], object] = lambda _address: None,
        most: int = MAX_BANS,
        log: Logger | None = None,
    ) -> None:
        self._clock = clock
        self._wall_time = wall_time or clock.seconds
        self._events = events
        self._path = path
        self._forget = forget
        self._most = most
        self._log = log or Logger(namespace="twisted_xfer.bans")
        self._store: BanStore | None = None
        self._bans: OrderedDict[str, Ban] = OrderedDict()
        self._next_look = self._retry_at = float("-inf")

    def left(self, key: str) -> float:
        """Seconds for which ``key`` still stays out; 0 when it may come in."""
        if not self._bans and not self._path:
            return 0.0
        now = self._clock.seconds()
        if now >= self._next_look:
            self._look(now)
        ban = self._bans.get(key)
        return 0.0 if ban is None else max(0.0, ban.until - now)

    def add(self, key: str, seconds: float, reason: str = "") -> None:
        """Keep ``key`` out for ``seconds``."""
        now = self._clock.seconds()
        self._keep(Ban(key, now + seconds))
        wall = self._wall_time()

        def put(store: BanStore) -> None:
            store.put(Row(key, wall + seconds, wall, reason))
            # What led to the ban does not count again after it.
            store.forget(key)

        self._stored(put)
        if self._events is not None:
            self._events.emit("ban.added", address=key, seconds=seconds)

    def failed(self, key: str, half_life: float) -> float | None:
        """Count a failure of ``key`` for all processes: its count there; None when there is no file that works."""
        if not self._path:
            return None
        wall = self._wall_time()
        return self._stored(lambda store: store.score(key, wall, half_life))

    def lift(self, key: str) -> bool:
        """Let ``key`` in; whether it was kept out."""
        wall = self._wall_time()
        shared = self._stored(lambda store: store.end(key, wall))
        here = self._bans.get(key)
        if here is None and not shared:
            return False
        if shared:
            self._look(self._clock.seconds())
        if key in self._bans:
            self._removed(key)
        return True

    def current(self) -> list[Ban]:
        """Who is kept out now."""
        now = self._clock.seconds()
        self._look(now)
        return list(self._bans.values())

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _keep(self, ban: Ban) -> None:
        self._bans[ban.address] = ban
        self._bans.move_to_end(ban.address)
        while len(self._bans) > self._most:
            self._bans.popitem(last=False)

    def _look(self, now: float) -> None:
        """Let out whose time is over, and take over what others did."""
        self._next_look = now + POLL_SECONDS
        if self._path and self._share(now):
            return
        for key in [ban.address for ban in self._bans.values() if ban.until <= now]:
            self._removed(key)

    def _share(self, now: float) -> bool:
        """Make the table that of the file; False when there is none to be had."""
        wall = self._wall_time()
        gone = self._stored(lambda store: store.expire(wall))
        if gone is None:
            return False
        for key in gone:
            # Whoever takes the row out reports it: once, however many processes there are.
            self._bans.pop(key, None)
            self._removed(key)
        rows = self._stored(lambda store: store.rows(wall) if store.changed() else None)
        if rows is not None:
            table = {row.address: Ban(row.address, now + row.until - wall) for row in rows}
            for key in self._bans.keys() - table.keys():
                self._forget(key)
            self._bans = OrderedDict(table)
        for key in [ban.address for ban in self._bans.values() if ban.until <= now]:
            del self._bans[key]
            self._forget(key)
        return True

    def _removed(self, key: str) -> None:
        self._bans.pop(key, None)
        self._forget(key)
        if self._events is not None:
            self._events.emit("ban.removed", address=key)

    def _tell_all(self, store: BanStore, now: float) -> None:
        """Put bans into a file that was out of order when they came about."""
        wall = self._wall_time()
        for ban in self._bans.values():
            store.put(Row(ban.address, wall + ban.until - now, wall, "while the file failed"))

    def _stored(self, act: Callable[[BanStore], T]) -> T | None:
        """What ``act`` answers, or None when there is no file that works."""
        now = self._clock.seconds()
        if not self._path or now < self._retry_at:
            return None
        try:
            if self._store is None:
                self._store = BanStore(self._path)
                self._tell_all(self._store, now)
            return act(self._store)
        except StorageFailure as error:
            self._log.error("bans are not shared: {path}: {reason}", path=self._path, reason=error.detail)
            self.close()
            self._retry_at = now + RETRY_SECONDS
            return None
