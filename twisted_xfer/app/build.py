"""The composition root: from a Config to the one service of the daemon.

The only place where kernel packages, protocols, storages and listeners meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.logger import Logger

from twisted_xfer.accounts.chain import ChainChecker, SwiftPortal
from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.app.accounts import Accounts, inline_accounts, make_checkers
from twisted_xfer.app.config import Config, Listen
from twisted_xfer.app.drain import DaemonService
from twisted_xfer.app.explain import explain, warnings
from twisted_xfer.app.host import Host
from twisted_xfer.app.listen import (
    AdoptedDatagramPlace,
    DatagramPlace,
    Place,
    StreamPlace,
    adopted_endpoint,
    stream_endpoint,
)
from twisted_xfer.app.listeners import open_listeners
from twisted_xfer.app.load import located
from twisted_xfer.app.public import has_names, public_addresses
from twisted_xfer.app.quota import make_ledger
from twisted_xfer.app.rules import thaw
from twisted_xfer.app.signals import Reloads, Signals
from twisted_xfer.app.sweep import make_sweeper
from twisted_xfer.app.throttle import make_throttle
from twisted_xfer.app.tls import make_tls
from twisted_xfer.app.verify import about, check_anonymous, check_endpoint, check_whole, protocol_table
from twisted_xfer.app.workers.parent import WorkerGroup, check_shareable
from twisted_xfer.errors import ConfigError, NotADirectory, NotFound, PermissionDenied, PluginError, XferError
from twisted_xfer.events.bus import EventBus
from twisted_xfer.interfaces import Account, IQuotaLedger, IStorage
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.registry import Registry
from twisted_xfer.runtime.blocking import BlockingPools
from twisted_xfer.runtime.data_ports import DataPorts
from twisted_xfer.runtime.limits import Limits
from twisted_xfer.transfer import Transfers

#: Where a daemon listens that was not told: each that is installed.
DEFAULT_LISTEN = (Listen("ftp", "tcp:2121"), Listen("xfer", "tcp:5001"))

#: Seconds that event listeners have to hear what happened before the stop.
LAST_WORDS = 5.0


def build(
    config: Config,
    reactor: Any,
    registry: Registry | None = None,
    checkers: Sequence[ICredentialsChecker] = (),
    adopt: Sequence[int] | None = None,
    *,
    signals: bool = True,
) -> Daemon:
    """The daemon that ``config`` asks for: everything opened, nothing bound, no thread started.

    ``checkers`` are asked before those that ``config`` names. ``adopt``, in a worker process, is a
    descriptor for each place to listen at, already bound. Without ``signals`` it takes none.

    Raises:
        ConfigError: a plugin's section, a checker, an endpoint or a directory is wrong.
        PluginError: a plugin is missing or broken.
    """
    builder = _Builder(config, reactor, registry or Registry.discover(), checkers, adopt)
    return builder.daemon(signals=signals)


class Daemon(DaemonService):
    """The service, with what it was built from.

    Attributes:
        config: resolved, defaults included.
        host: what its protocols use.
        reloads: what SIGHUP rereads.
        root: where homes live; checkers: who was asked for, in order; ledger: quota, or None.
        workers: the processes that serve, or None when this one does.
        source: the configuration file and the flags, for what fails later.
        troubles: listeners that did not open, which stops no start.
    """

    config: Config
    host: Host
    reloads: Reloads
    root: str
    checkers: Sequence[object]
    ledger: IQuotaLedger | None
    workers: WorkerGroup | None = None
    troubles: Sequence[ConfigError] = ()
    source: tuple[str, Mapping[str, object]] = ("", {})

    def privilegedStartService(self) -> None:
        """Bind everything. Raises ConfigError, which names the file or the flag."""
        with located(*self.source):
            super().privilegedStartService()

    def end_or_hurry(self) -> None:
        """The first time stop in order, the second time at once."""
        if not self.ending:
            self.end()
        elif self.workers is not None:
            self.workers.hurry()
        else:
            self.hurry()


class _Builder:
    """Builds once."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        registry: Registry,
        checkers: Sequence[ICredentialsChecker],
        adopt: Sequence[int] | None,
    ) -> None:
        self.adopt = adopt
        self.config = config if config.listen else attrs.evolve(config, listen=default_listen(registry))
        self.reactor = reactor
        self.registry = registry
        self._log = Logger(namespace="xfer")
        self.reloads = Reloads(self._log)
        self.root = self.config.root
        self.more = bool(checkers)
        self.checkers = [*checkers, *make_checkers(self.config)]

    def daemon(self, *, signals: bool) -> Daemon:
        config = self.config
        if config.workers > 1:
            check_shareable(config)
        check_whole(config, self.registry)
        host = self._host()
        storage = self._storage(host)
        ledger: Any = None
        try:
            if self.adopt is None:
                check_anonymous(config, self.root)
            with about("quota.plugin"):
                ledger = make_ledger(config.quota, self.root, self.registry, host)
            host.login = self._login(host, storage, ledger)
            troubles = open_listeners(config, self.registry, host)
            places = [self._place(index, listen, host) for index, listen in enumerate(config.listen)]
        except BaseException:
            storage.close()
            raise
        events: Any = host.events
        blocking: Any = host.blocking
        transfers: Any = host.transfers
        closing = [] if ledger is None else [ledger.close]
        limits: Any = host.limits
        rounds: Any = host.rounds

        def heard() -> Any:
            """Let slow listeners hear the end, within bounds."""
            return events.idle().addTimeout(LAST_WORDS, self.reactor)

        daemon = Daemon(
            self.reactor,
            places,
            events,
            grace=config.grace,
            on_start=[blocking.start],
            on_stop=[
                rounds.stop,
                blocking.stop,
                *closing,
                limits.close,
                transfers.close,
                storage.close,
                events.close,
                heard,
            ],
            quiet=self.adopt is not None,
            log=self._log,
        )
        daemon.config, daemon.host, daemon.reloads = config, host, self.reloads
        daemon.root, daemon.checkers, daemon.ledger = self.root, self.checkers, ledger
        daemon.troubles = troubles
        if self.adopt is None:
            sweeper = make_sweeper(config, self.root, self.checkers, host)
            daemon.before(sweeper.start, sweeper.stop)
        self.reloads.add("event logs", events.reopen)
        if signals:
            self._take_signals(daemon)
        if self.adopt is None:
            daemon.before(self._warn)
        if config.workers > 1 and self.adopt is None:
            workers = WorkerGroup(self.reactor, config, places, on_last=daemon.fail, log=self._log)
            daemon.workers = workers
            daemon.before(workers.start, workers.stop)
            self.reloads.add("workers", workers.reload)
        return daemon

    def _take_signals(self, daemon: Daemon) -> None:
        actions: dict[str, Callable[[], object]] = {
            "SIGHUP": self.reloads.reload,
            "SIGTERM": daemon.end_or_hurry,
        }
        if self.adopt is not None:
            # A worker may hear of one stop twice: from its parent, and with the whole group.
            actions.update({"SIGTERM": daemon.end, "SIGINT": daemon.end, "SIGUSR1": daemon.hurry})
        signals = Signals(self.reactor.callFromThread, actions)

        def take() -> None:
            """At once, and again when the reactor has taken some for itself, which is when it runs."""
            signals.install()
            self.reactor.callWhenRunning(signals.install)

        daemon.before(take, signals.uninstall)

    def _warn(self) -> None:
        for warning in warnings(self.config, checkers=self.more, asked=self.checkers):
            self._log.warn("xfer: {warning}", warning=warning)

    def _host(self) -> Host:
        import time

        config = self.config
        events = EventBus(time.time)
        blocking = BlockingPools(self.reactor)
        limits = Limits(
            self.reactor,
            max_clients=config.limits.clients,
            max_per_address=config.limits.per_address,
            max_per_user=config.limits.per_user,
            connects_per_minute=config.limits.connects_per_minute,
            ban_after=config.bans.after,
            ban_seconds=config.bans.seconds,
            ban_file=config.bans.file,
            allow=config.bans.allow,
            events=events,
            wall_time=time.time,
        )
        public = public_addresses(config)
        data_ports = DataPorts(
            self.reactor, ports=config.passive_ports, public_addresses=public, events=events
        )
        if has_names(config):
            self.reloads.add(
                "public addresses",
                lambda: blocking.run(public_addresses, config).addCallback(data_ports.advertise),
            )
        tls = make_tls(config, self.reactor, self._log)
        if tls is not None:
            self.reloads.add("certificates", tls.reload)
        return Host(
            tls=tls,
            clock=self.reactor,
            events=events,
            blocking=blocking,
            limits=limits,
            data_ports=data_ports,
            transfers=Transfers(self.reactor, blocking),
            timeouts=config.timeouts.timeouts(),
            server_name=config.server_name,
            log=self._log,
            registry=self.registry,
        )

    def _storage(self, host: Host) -> IStorage:
        config = self.config
        table = thaw(config.storage)
        name = table.pop("plugin", "local")
        if not isinstance(name, str):
            raise ConfigError("storage.plugin", value=name, remedy="must be the name of a storage plugin")
        with about("storage.plugin"):
            plugin = self.registry.get("storage", name)
        shared = {
            "root": config.root,
            "uploads": config.uploads,
            "symlinks": config.symlinks,
            "fsync": config.fsync,
        }
        options = options_from_table(
            plugin.options, with_shared(plugin.options, shared, table), where="storage"
        )
        # A storage without a root of its own is one tree, whose root is "/".
        self.root = str(getattr(options, "root", "/"))
        try:
            return plugin.open(options, host)
        except ConfigError:
            raise
        except (NotFound, NotADirectory, PermissionDenied, OSError) as error:
            own = "root" in table
            key, other = (
                ("storage.root", "write another directory in full") if own else ("root", "give --root")
            )
            remedy = f"{explain(error)}: make it, or {other}"
            raise ConfigError(key, value=table.get("root", config.root), remedy=remedy) from error
        except XferError:
            raise
        except Exception as error:
            raise PluginError(name, f"the storage does not open: {type(error).__name__}: {error}") from error

    def _login(self, host: Host, storage: IStorage, ledger: IQuotaLedger | None) -> Login:
        config = self.config
        lookups: list[Any] = [checker for checker in self.checkers if hasattr(checker, "account")]
        accounts = Accounts(inline_accounts(config), lookups)
        realm = Realm(
            storage,
            root=self.root,
            events=host.events,
            limits=host.limits,
            clock=self.reactor,
            home_template=config.home,
            defaults=Account("", if_exists=config.if_exists),
            accounts=accounts,
            anonymous=config.anonymous or None,
            ledger=ledger,
            limiters=make_throttle(config.throttle, self.reactor, config.workers),
        )
        for checker in self.checkers:
            # Checkers of our own may use the pools and be reread; strangers' need know nothing of it.
            attach, refresh = getattr(checker, "attach", None), getattr(checker, "refresh", None)
            if callable(attach):
                attach(host.blocking)
            if callable(refresh):
                self.reloads.add(type(checker).__name__, refresh)
        portal = SwiftPortal(realm, [ChainChecker(self.checkers, self._log)])
        return Login(
            portal,
            host.limits,
            host.events,
            self.reactor,
            require_tls=config.require_tls,
            accounts=accounts,
            anonymous=bool(config.anonymous),
            log=self._log,
        )

    def _place(self, index: int, listen: Listen, host: Host) -> Place:
        with about("listen"):
            plugin = self.registry.get("protocol", listen.protocol)
        if plugin.needs_account and not listen.account:
            remedy = (
                f"has no login of its own: name who it acts as, {listen.protocol}@ACCOUNT={listen.endpoint}"
            )
            raise ConfigError("listen", value=str(listen), remedy=remedy)
        if listen.account and not plugin.needs_account:
            remedy = f"has a login of its own: write {listen.protocol}={listen.endpoint}"
            raise ConfigError("listen", value=str(listen), remedy=remedy)
        shared = {
            "charset": self.config.charset,
            **({"if_exists": self.config.if_exists} if self.config.if_exists else {}),
            "max_line": self.config.limits.line_length,
            "require_tls": self.config.require_tls,
            "account": listen.account,
        }
        check_endpoint(listen, plugin)
        table = protocol_table(self.config, listen, plugin)
        where = f"protocols.{listen.protocol}"
        options = options_from_table(plugin.options, with_shared(plugin.options, shared, table), where=where)
        if listen.is_datagram:
            protocol = plugin.datagram(options, host)
            if protocol is None:
                raise ConfigError(
                    "listen", value=str(listen), remedy="does not speak UDP: use a tcp: endpoint"
                )
            if self.adopt is not None:
                return AdoptedDatagramPlace(listen, self.reactor, protocol, self.adopt[index])
            return DatagramPlace(listen, self.reactor, protocol)
        if self.adopt is not None:
            endpoint = adopted_endpoint(self.reactor, self.adopt[index])
        else:
            endpoint = stream_endpoint(self.reactor, listen)
        with about(where):
            factory = plugin.stream_factory(options, host)
        if factory is None:
            raise ConfigError("listen", value=str(listen), remedy="speaks UDP only: use a udp: endpoint")
        return StreamPlace(listen, endpoint, factory)


def default_listen(registry: Registry) -> tuple[Listen, ...]:
    """Where to listen without being told."""
    names = registry.names("protocol")
    return tuple(listen for listen in DEFAULT_LISTEN if listen.protocol in names)


def with_shared(options: type[Any], shared: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` over those of the daemon's ``shared`` settings that the plugin's options have too."""
    known = {field.alias for field in attrs.fields(options)}
    return {**{name: value for name, value in shared.items() if name in known}, **table}
