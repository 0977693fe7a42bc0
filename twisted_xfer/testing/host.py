"""A daemon in memory: everything a protocol may ask its host for, under the control of a test."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.logger import ILogObserver, Logger
from zope.interface import implementer

from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.errors import PluginError, XferError
from twisted_xfer.events import EventBus
from twisted_xfer.interfaces import (
    ITLS,
    Account,
    Event,
    ICommandPlugin,
    IEventListener,
    IHost,
    ILease,
    ILimits,
    IStorage,
    Timeouts,
)
from twisted_xfer.plugins import options_from_table
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.data_ports import DataPorts
from twisted_xfer.runtime.rounds import Rounds
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.testing.memory_reactor import SteppedReactor
from twisted_xfer.transfer import Transfers

#: What wall_time() says in every test: 2001-09-09 01:46:40 UTC.
WALL_TIME: Final = 1_000_000_000.0


@implementer(IEventListener)
class Recorder:
    """Keeps every event it hears in ``events``."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [event.id for event in self.events]

    def of(self, event_id: str) -> list[Event]:
        """The events of one id, in order."""
        return [event for event in self.events if event.id == event_id]


@implementer(ILease)
class CountedLease:
    """A place in a Counter, given back once however often it is released."""

    def __init__(self, places: Counter[str], key: str) -> None:
        self._places: Counter[str] | None = places
        self._key = key
        places[key] += 1

    def release(self) -> None:
        """See ILease."""
        places, self._places = self._places, None
        if places is not None:
            places[self._key] -= 1


@implementer(ILimits)
class CountingLimits:
    """Limits that let everybody in, and count.

    Attributes:
        admitted: open connections by peer.
        sessions: open sessions by user name.
        failures: failed logins, as (peer, username).
        refuse: set it to an error, and admit() and session() raise it.
        wait: what delay() answers.
    """

    def __init__(self) -> None:
        self.admitted: Counter[str] = Counter()
        self.sessions: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self.refuse: XferError | None = None
        self.wait = 0.0

    @property
    def held(self) -> int:
        """Places that were not given back."""
        return self.admitted.total() + self.sessions.total()

    def admit(self, peer: str) -> CountedLease:
        """See ILimits."""
        return self._place(self.admitted, peer)

    def session(self, username: str, peer: str, most: int = 0) -> CountedLease:
        """See ILimits."""
        return self._place(self.sessions, username)

    def delay(self, peer: str, username: str) -> float:
        """See ILimits."""
        return self.wait

    def failed(self, peer: str, username: str) -> None:
        """See ILimits."""
        self.failures.append((peer, username))

    def succeeded(self, peer: str, username: str) -> None:
        """See ILimits."""

    def _place(self, places: Counter[str], key: str) -> CountedLease:
        if self.refuse is not None:
            raise self.refuse
        return CountedLease(places, key)


@implementer(ICredentialsChecker)
class PasswordTable:
    """Users and passwords of a test; each user may have an Account of its own."""

    credentialInterfaces = (IUsernamePassword, IAnonymous)

    def __init__(self, passwords: Mapping[str, str], accounts: Mapping[str, Account]) -> None:
        self._passwords = {name.encode(): password.encode() for name, password in passwords.items()}
        self._accounts = accounts

    def requestAvatarId(self, credentials: Any) -> Any:
        """A user name, an Account or ANONYMOUS. Raises UnauthorizedLogin."""
        if IAnonymous.providedBy(credentials):
            return ANONYMOUS
        name, password = (
            value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            for value in (credentials.username, credentials.password)
        )
        if name not in self._passwords or self._passwords[name] != password:
            raise UnauthorizedLogin
        return self._accounts.get(name.decode(), name)


class FixedRandom:
    """The same "random" bytes in each run, and other ones at each call."""

    def __init__(self, seed: bytes = b"twisted-xfer") -> None:
        self._seed = seed
        self._calls = itertools.count()

    def __call__(self, size: int, /) -> bytes:
        """``size`` bytes."""
        return hashlib.shake_128(b"%b %d" % (self._seed, next(self._calls))).digest(size)


@implementer(IHost)
class MemoryHost:
    """IHost for tests: real kernel parts on a reactor turned by hand, a memory storage, no threads.

    Args:
        users: passwords by user name; none by default.
        accounts: settings by user name, for users who have other than the defaults.
        storage: a memory storage of its own when None; homes are ``/NAME``.
        anonymous: the directory that anonymous logins see; None refuses them.
        timeouts: deadlines, IHost's own by default.
        tls: certificates, if the protocol under test needs them.
        commands: the command plugins that are installed.

    Attributes:
        reactor: turn it by hand; the same object as ``clock``.
        recorder: what was emitted.
        limits: CountingLimits; nothing may be ``held`` when all connections are gone.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        accounts: Mapping[str, Account] | None = None,
        storage: IStorage | None = None,
        anonymous: str | None = None,
        timeouts: Timeouts | None = None,
        tls: ITLS | None = None,
        commands: Iterable[ICommandPlugin] = (),
    ) -> None:
        self.reactor = SteppedReactor()
        self.clock = self.reactor
        self.recorder = Recorder()
        self.events = EventBus(self.wall_time, [self.recorder])
        self.limits = CountingLimits()
        self.blocking = InlineBlocking()
        self.random = FixedRandom()
        self.transfers = Transfers(self.reactor, self.blocking)
        self.data_ports = DataPorts(self.reactor, events=self.events)
        self.timeouts = timeouts or Timeouts()
        self.tls = tls
        self.server_name = "memory"
        self.logged: list[Mapping[str, Any]] = []
        self.log = Logger(namespace="memory_host", observer=cast(ILogObserver, self.logged.append))
        self.rounds = Rounds(self.clock, self.log)
        self.storage: IStorage = storage or MemoryStorage(self.wall_time, random=self.random)
        self._ids = itertools.count(1)
        self._commands = {plugin.name: plugin for plugin in commands}
        self.login = self._login(users or {}, accounts or {}, anonymous)

    def _login(
        self, users: Mapping[str, str], accounts: Mapping[str, Account], anonymous: str | None
    ) -> Login:
        realm = Realm(
            self.storage,
            root="/",
            events=self.events,
            limits=self.limits,
            clock=self.clock,
            anonymous=anonymous,
            log=self.log,
        )
        return Login(
            Portal(realm, [PasswordTable(users, accounts)]),
            self.limits,
            self.events,
            self.clock,
            minimum_seconds=0,
            anonymous=anonymous is not None,
            log=self.log,
        )

    def wall_time(self) -> float:
        """WALL_TIME plus what the clock was advanced by."""
        return WALL_TIME + self.clock.seconds()

    def new_session_id(self) -> str:
        """``s1``, ``s2`` and so on."""
        return f"s{next(self._ids)}"

    def command_rows(self, plugin: str, options: Mapping[str, object]) -> Iterable[object]:
        """The rows of one of ``commands``. Raises PluginError and ConfigError."""
        found = self._commands.get(plugin)
        if found is None:
            raise PluginError(plugin, "no such command plugin")
        return found.rows(options_from_table(found.options, options, where=f"commands.{plugin}"), self)

    def later(self) -> list[str]:
        """What is still to be called, by name: a test ends with none.

        The timer of the rounds is the host's; whoever is in them still is named.
        """
        timed = [getattr(call, "func", call) for call in self.clock.getDelayedCalls()]
        own = [call for call in timed if getattr(call, "__self__", None) is not self.rounds]
        return [_name(call) for call in (*own, *self.rounds.joined)]


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", repr(function))
