"""The FTP plugin record's target."""

from __future__ import annotations

from typing import Final, Literal

from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.ftp.commands import HANDLERS
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.server import FTPFactory
from twisted_xfer.protocols.ftp.wire.verbs import VERBS


@implementer(IProtocolPlugin)
class FTPPlugin:
    """FTP: RFC 959 and what came after."""

    name = "ftp"
    api_version = API_VERSION
    options = FTPOptions
    needs_account = False

    def describe(self) -> str:
        """One line for people."""
        return "FTP (RFC 959, 2389, 2428, 2640, 3659) for any client"

    def stream_factory(self, options: object, host: IHost) -> FTPFactory:
        """The factory for one listener."""
        if not isinstance(options, FTPOptions):
            options = FTPOptions()
        return FTPFactory(host, options, VERBS, HANDLERS)

    def datagram(self, options: object, host: IHost) -> DatagramProtocol | None:
        """There is no FTP over UDP."""
        return None

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """Never: in FTP the server speaks first."""
        return "no"


plugin: Final = FTPPlugin()
