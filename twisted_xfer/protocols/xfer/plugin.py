"""The xfer plugin record's target."""

from __future__ import annotations

from typing import Final, Literal

from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.xfer.factory import XferFactory
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.wire.frames import DEFAULT_MAX_DATA, LEAST_MAX_DATA, PREAMBLE
from twisted_xfer.protocols.xfer.wire.messages import MAX_WINDOW

#: Connections of one session, at most: more than any line gains from.
MAX_CONNECTIONS: Final = 64


@implementer(IProtocolPlugin)
class XferPlugin:
    """The native protocol."""

    name = "xfer"
    api_version = API_VERSION
    options = XferOptions
    needs_account = False

    def describe(self) -> str:
        """One line for people."""
        return "the native protocol: verified and resumable, for `xfer send`"

    def stream_factory(self, options: object, host: IHost) -> XferFactory:
        """The factory for one listener.

        Raises:
            ConfigError: an option is out of its bounds.
        """
        if not isinstance(options, XferOptions):
            options = XferOptions()
        for name, value, low, high in (
            ("window", options.window, 1, MAX_WINDOW),
            ("connections", options.connections, 1, MAX_CONNECTIONS),
            ("max_data", options.max_data, LEAST_MAX_DATA, DEFAULT_MAX_DATA),
        ):
            if not low <= value <= high:
                key = f"protocols.xfer.{name}"
                raise ConfigError(key, value=value, remedy=f"must be from {low} to {high}")
        return XferFactory(host, options)

    def datagram(self, options: object, host: IHost) -> DatagramProtocol | None:
        """There is no xfer over UDP."""
        return None

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """By the preamble."""
        head = prefix[: len(PREAMBLE)]
        if not PREAMBLE.startswith(head):
            return "no"
        return "yes" if len(head) == len(PREAMBLE) else "more"


plugin: Final = XferPlugin()
