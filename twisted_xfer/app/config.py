"""The configuration: one frozen tree, whole and valid once it exists.

Each field is a key of the TOML file; ``load`` reads them, ``dump`` writes them back.
"""

# ruff: noqa: RUF009 - setting() and section() make attrs fields, which ruff cannot see
from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from twisted_xfer.app import rules
from twisted_xfer.app.rules import Rule, Table, section, setting
from twisted_xfer.app.throttle import ThrottleSettings
from twisted_xfer.interfaces import Timeouts
from twisted_xfer.protocols.ftp.wire.server import MAX_LINE

#: Failed logins from one address, less than a minute old on average: a person has given up long before.
DEFAULT_BAN_AFTER: Final = 30
#: Ten seconds, the patience of most service managers' own stop is 90.
DEFAULT_GRACE: Final = 10.0
#: Days that a part waits for its client: longer than a weekend and a holiday.
DEFAULT_PARTS_EXPIRE: Final = 7.0
#: Ten years: what is to stay longer is to stay for ever, which 0 says.
MAX_DAYS: Final = 3650


@attrs.frozen
class Listen:
    """One place to listen at.

    Attributes:
        protocol: the plugin's name.
        endpoint: a Twisted server endpoint string, or ``udp:PORT[:interface=ADDR]``.
        account: for protocols without a login: who they act as.
        options: plugin options that hold for this place only.
    """

    protocol: str
    endpoint: str
    account: str = ""
    options: Table = attrs.field(default=rules.EMPTY, repr=False)

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read ``PROTOCOL[@ACCOUNT]=ENDPOINT``.

        Raises:
            ValueError: when it is not of that form.
        """
        left, equals, endpoint = rules.as_text(text).partition("=")
        protocol, at, account = left.strip().partition("@")
        if not equals or not _is_plugin_name(protocol) or not endpoint.strip() or (at and not account):
            raise ValueError
        return cls(protocol, endpoint.strip(), account)

    def __str__(self) -> str:
        return f"{self.label}={self.endpoint}"

    @property
    def label(self) -> str:
        """``PROTOCOL`` or ``PROTOCOL@ACCOUNT``."""
        return f"{self.protocol}@{self.account}" if self.account else self.protocol

    @property
    def is_datagram(self) -> bool:
        """Whether it is a UDP port."""
        return self.endpoint.startswith("udp:")


@attrs.frozen
class Auth:
    """One credentials checker: its strcred type, and its argument, which may hold a password."""

    type: str
    argument: str = attrs.field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Auth:
        """Read ``TYPE[:ARGUMENT]``.

        Raises:
            ValueError: when it is not of that form.
        """
        kind, _, argument = rules.as_text(text).partition(":")
        if not kind.strip() or kind != kind.strip():
            raise ValueError
        return cls(kind, argument)

    @property
    def description(self) -> str:
        """What strcred.makeChecker takes: with the secret."""
        return f"{self.type}:{self.argument}" if self.argument else self.type


def _is_plugin_name(text: str) -> bool:
    return bool(text) and all(char.isalnum() or char in "-_." for char in text)


def _one_listen(value: object) -> Listen:
    if isinstance(value, str):
        return Listen.parse(value)
    if not isinstance(value, Mapping):
        raise TypeError
    rest = {key: inner for key, inner in value.items() if key not in {"protocol", "endpoint", "account"}}
    account = rules.as_text(value.get("account", ""))
    label = f"{rules.as_text(value.get('protocol'))}@{account}" if account else value.get("protocol")
    plain = Listen.parse(f"{label}={rules.as_text(value.get('endpoint'))}")
    return attrs.evolve(plain, options=rules.freeze(rest))


def _listens(value: object) -> tuple[Listen, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(_one_listen(inner) for inner in value)


def _render_listens(value: tuple[Listen, ...]) -> list[object]:
    return [
        {
            "protocol": one.protocol,
            "endpoint": one.endpoint,
            **({"account": one.account} if one.account else {}),
            **rules.thaw(one.options),
        }
        if one.options
        else str(one)
        for one in value
    ]


def _auths(value: object) -> tuple[Auth, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(Auth.parse(rules.as_text(inner)) for inner in value)


LISTEN: Final = Rule(
    _listens,
    'an array of "PROTOCOL[@ACCOUNT]=ENDPOINT", such as "ftp=tcp:2121", or of tables with protocol and endpoint',
    _render_listens,
)
AUTH: Final = Rule(
    _auths,
    'an array of "TYPE[:ARGUMENT]", such as "users:/etc/xfer/users.toml" or "unix"',
    lambda value: [one.description for one in value],
    secret=True,
)


def _certificates(value: object) -> tuple[Table, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    for one in value:
        if not isinstance(one, Mapping) or set(one) != {"certificate", "key"}:
            raise ValueError
        for path in one.values():
            rules.as_text(path)
    return tuple(rules.freeze(one) for one in value)


CERTIFICATES: Final = Rule(
    _certificates,
    "an array of tables with certificate and key, the paths of PEM files",
    lambda value: [rules.thaw(one) for one in value],
)


def _accounts(value: object) -> Table:
    """Tables, in which the date of an end is a text: workers are told the configuration in JSON."""
    tables: Table = rules.TABLE_OF_TABLES.parse(value)
    ended: Table = rules.freeze({name: {**table, **_end(table)} for name, table in tables.items()})
    return ended


def _end(table: Table) -> dict[str, str]:
    end = table.get("expires")
    return {"expires": end.isoformat()} if isinstance(end, dt.date) else {}


ACCOUNTS: Final = Rule(_accounts, "a table of tables", rules.thaw)


def _days(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DAYS:
        raise ValueError
    return float(value)


DAYS: Final = Rule(_days, f"a number of days from 0 (for ever) to {MAX_DAYS}")


@attrs.frozen
class TLS:
    """Where the certificate chain and its key are; both or neither.

    ``more`` are tables with certificate and key of further names, which clients ask for by SNI.
    ``client_ca`` and ``client_crl`` are the authorities that sign for clients and the lists of what they
    revoked; ``client_certificate`` is whether a client is asked for one, or must show one.
    """

    certificate: str = setting(rules.FILE, "")
    key: str = setting(rules.FILE, "")
    more: tuple[Table, ...] = setting(CERTIFICATES, ())
    client_ca: str = setting(rules.FILE, "")
    client_crl: str = setting(rules.FILE, "")
    client_certificate: Literal["off", "ask", "require"] = setting(
        rules.choice("off", "ask", "require"), "ask"
    )


@attrs.frozen
class Deadlines:
    """Seconds, 0 switches one off; the same as interfaces.Timeouts."""

    idle: float = setting(rules.DEADLINE, 300.0)
    login: float = setting(rules.DEADLINE, 60.0)
    stall: float = setting(rules.DEADLINE, 120.0)
    accept: float = setting(rules.DEADLINE, 30.0)
    handshake: float = setting(rules.DEADLINE, 20.0)

    def timeouts(self) -> Timeouts:
        """As protocols see them."""
        return Timeouts(**attrs.asdict(self))


@attrs.frozen
class Limits:
    """How much at once; 0 is no limit, except for the line."""

    clients: int = setting(rules.whole(0, 1_000_000, " (0: no limit)"), 0)
    per_address: int = setting(rules.whole(0, 1_000_000, " (0: no limit)"), 0)
    per_user: int = setting(rules.whole(0, 1_000_000, " (0: no limit)"), 0)
    connects_per_minute: int = setting(rules.whole(0, 1_000_000, " (0: no limit)"), 0)
    line_length: int = setting(rules.whole(512, 1_048_576, " bytes"), MAX_LINE)


@attrs.frozen
class Bans:
    """When an address stays out, for how long, which never, and the file that remembers it."""

    after: int = setting(rules.whole(0, 1_000_000, " (0: never)"), DEFAULT_BAN_AFTER)
    seconds: float = setting(rules.SECONDS, 600.0)
    allow: tuple[str, ...] = setting(rules.TEXTS, ())
    file: str = setting(rules.FILE, "")


@attrs.frozen
class Log:
    """Diagnostics, not events: ``text`` or ``json`` lines to a file, or to standard output."""

    format: str = setting(rules.choice("text", "json"), "text")
    file: str = setting(rules.FILE, "")


@attrs.frozen
class Config:
    """Everything that a daemon needs to know."""

    root: str = setting(rules.DIRECTORY, ".")
    listen: tuple[Listen, ...] = setting(LISTEN, ())
    auth: tuple[Auth, ...] = setting(AUTH, ())
    anonymous: str = setting(
        Rule(rules.as_text, 'a directory relative to the root ("." is the root), or "" for none'), ""
    )
    home: str = setting(rules.HOME, "{root}/{username}")
    require_tls: bool = setting(rules.FLAG, default=False)
    passive_ports: tuple[int, int] | None = setting(rules.PORTS, None)
    public_address: tuple[tuple[str, str], ...] = setting(rules.PUBLIC_ADDRESS, ())
    workers: int = setting(rules.WORKERS, 1)
    charset: str = setting(rules.CHARSET, "utf-8")
    uploads: str = setting(rules.choice("staged", "in-place"), "staged")
    if_exists: Literal["", "overwrite", "refuse", "rename"] = setting(
        rules.choice("", "overwrite", "refuse", "rename"), ""
    )
    parts_expire: float = setting(DAYS, DEFAULT_PARTS_EXPIRE)
    symlinks: str = setting(rules.choice("inside", "none", "follow"), "inside")
    fsync: bool = setting(rules.FLAG, default=False)
    xferlog: str = setting(rules.FILE, "")
    grace: float = setting(rules.SECONDS, DEFAULT_GRACE)
    server_name: str = setting(rules.NAME, "twisted-xfer")
    tls: TLS = section(TLS)
    timeouts: Deadlines = section(Deadlines)
    limits: Limits = section(Limits)
    throttle: ThrottleSettings = section(ThrottleSettings)
    quota: Table = setting(rules.TABLE, rules.EMPTY)
    bans: Bans = section(Bans)
    log: Log = section(Log)
    protocols: Table = setting(rules.TABLE_OF_TABLES, rules.EMPTY)
    storage: Table = setting(rules.TABLE, rules.freeze({"plugin": "local"}))
    listeners: tuple[Table, ...] = setting(rules.TABLES, ())
    events: Table = setting(rules.TABLE_OF_TABLES, rules.EMPTY)
    accounts: Table = setting(ACCOUNTS, rules.EMPTY)

    def protocol_options(self, name: str) -> dict[str, Any]:
        """The section ``[protocols.NAME]``, empty when there is none."""
        options: dict[str, Any] = rules.thaw(self.protocols.get(name, rules.EMPTY))
        return options
