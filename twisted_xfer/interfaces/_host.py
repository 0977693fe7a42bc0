"""What the daemon offers to protocols and plugins."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._avatar import ILogin
from twisted_xfer.interfaces._events import IEvents
from twisted_xfer.interfaces._transfer import IBlocking, IDataPorts, ILimits, ITransfers


@attrs.frozen
class Timeouts:
    """Deadlines in seconds; 0 switches one off."""

    idle: float = 300.0
    login: float = 60.0
    stall: float = 120.0
    accept: float = 30.0
    handshake: float = 20.0


class ITLS(Interface):
    """TLS for one daemon: certificates, reload, and one context per control connection."""

    def control_context() -> object:
        """A fresh OpenSSL context for one control connection and its data connections."""


class RandomBytes(Protocol):
    """``os.urandom`` or a fixed source in tests."""

    def __call__(self, size: int, /) -> bytes:
        """``size`` random bytes."""
        ...


class IHost(Interface):
    """Everything a protocol may use. Protocols import nothing of the kernel; they ask here."""

    login: ILogin = Attribute("ILogin: the one way in")
    transfers: ITransfers = Attribute("ITransfers")
    data_ports: IDataPorts = Attribute("IDataPorts")
    limits: ILimits = Attribute("ILimits")
    events: IEvents = Attribute("IEvents")
    blocking: IBlocking = Attribute("IBlocking")
    tls: ITLS | None = Attribute("ITLS, or None when no certificate is configured")
    clock: IReactorTime = Attribute("IReactorTime: for every deadline")
    random: RandomBytes = Attribute("random bytes")
    log: Logger = Attribute("twisted.logger.Logger for diagnostics")
    timeouts: Timeouts = Attribute("Timeouts")
    server_name: str = Attribute("what to call ourselves in greetings")

    def wall_time() -> float:
        """Unix time in seconds; frozen in tests."""

    def new_session_id() -> str:
        """A short id, unique in the daemon's life, for logs, events and replies."""
