"""The protocol plugin ``timeecho``: what the daemon asks for, and nothing else."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.timeecho.server import TimeEchoDatagrams, TimeEchoFactory
from twisted_xfer.protocols.timeecho.wire import SERVICES, ServiceName


@attrs.frozen
class TimeEchoOptions:
    """What the configuration may say.

    ``service`` is one of the three; ``idle`` closes a connection on which nothing came for so many
    seconds (0: never); ``public_udp`` answers datagrams from anywhere, which lets forgers amplify
    their traffic through this host.
    """

    service: ServiceName = "ctime-echo"
    idle: float = attrs.field(default=300.0, validator=attrs.validators.ge(0))
    public_udp: bool = False


@implementer(IProtocolPlugin)
class TimeEchoPlugin:
    """Time and echo, as socket tutorials have them."""

    name = "timeecho"
    api_version = API_VERSION
    needs_account = False
    options: type[attrs.AttrsInstance] = TimeEchoOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "The time and echo services of socket tutorials, on TCP and UDP."

    def stream_factory(self, options: Any, host: IHost) -> TimeEchoFactory:
        """See IProtocolPlugin."""
        return TimeEchoFactory(SERVICES[options.service], host, options.idle)

    def datagram(self, options: Any, host: IHost) -> TimeEchoDatagrams:
        """See IProtocolPlugin."""
        return TimeEchoDatagrams(SERVICES[options.service], host, options.public_udp)

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """See IProtocolPlugin. Any bytes may be echoed, so none are typical of this protocol."""
        return "no"


timeecho: Final = TimeEchoPlugin()
