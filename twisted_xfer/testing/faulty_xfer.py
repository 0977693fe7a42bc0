"""A server of the native protocol that misbehaves as it is told: the plugin ``faulty_xfer``."""

from __future__ import annotations

from typing import Any, Final

import attrs
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, ConnectionLost
from twisted_xfer.interfaces import IHost, IProtocolPlugin
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.plugin import XferPlugin
from twisted_xfer.protocols.xfer.server import XferServerProtocol
from twisted_xfer.testing.faulty import Counter, FaultOptions, FaultyHost


@attrs.frozen
class FaultyXferOptions(XferOptions):
    """Those of the native protocol, and the faults. A cut is a reset."""

    faults: FaultOptions = attrs.field(factory=FaultOptions)


class _Protocol(XferServerProtocol):
    """One caller, whose connection a fault may end."""

    def __init__(self, host: IHost, options: FaultyXferOptions, counter: Counter) -> None:
        super().__init__(FaultyHost(host, counter, self._hang_up), options)
        self._rude = options.faults.no_close_notify

    def _hang_up(self) -> None:
        self.cut(ConnectionLost(None, "cut by a fault"))

    def close(self) -> None:
        """As ever, or as plain TCP ends: with FIN alone, once everything was sent."""
        transport: Any = self.transport
        if not (self._rude and self.secure) or self._closing or transport is None:
            super().close()
            return
        self._closing = True
        transport.unregisterProducer()
        end: Any = FileDescriptor.loseConnection
        end(transport)


@implementer(IProtocolPlugin)
class FaultyXferPlugin(XferPlugin):
    """The native protocol with faults."""

    name = "faulty_xfer"
    options = FaultyXferOptions

    def describe(self) -> str:
        """One line for people."""
        return "the native protocol misbehaving, for tests of clients"

    def stream_factory(self, options: object, host: IHost) -> Any:
        """The factory of the native protocol, with other connections.

        Raises:
            ConfigError: options of another kind, or out of their bounds.
        """
        if not isinstance(options, FaultyXferOptions):
            raise ConfigError("faults", value=type(options).__name__, remedy="options of faulty_xfer")
        factory: Any = super().stream_factory(options, host)
        counter = Counter(options.faults)

        def build(_addr: IAddress | None) -> Protocol:
            protocol = _Protocol(host, options, counter)
            protocol.factory = factory
            return protocol

        factory.buildProtocol = build
        return factory


plugin: Final = FaultyXferPlugin()
