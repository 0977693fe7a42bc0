"""The FTP plugin record's target."""

from __future__ import annotations

from typing import Final, Literal

from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.ftp.commands import HANDLERS
from twisted_xfer.protocols.ftp.extend import extended
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.server import FTPFactory
from twisted_xfer.protocols.ftp.wire.verbs import VERBS


@implementer(IProtocolPlugin)
class FTPPlugin:
    """FTP: RFC 959 and what came after; with ``implicit``, in TLS from the first byte."""

    def __init__(self, name: str = "ftp", *, implicit: bool = False) -> None:
        self.name = name
        self._implicit = implicit
        #: Whose section of the configuration holds for this one too.
        self.variant_of = "ftp" if implicit else ""

    api_version = API_VERSION
    options = FTPOptions
    needs_account = False
    #: Of an endpoint's own TLS the data connections would have nothing.
    starts_tls = True

    def describe(self) -> str:
        """One line for people."""
        return (
            "FTP in TLS from the first byte (implicit FTPS)"
            if self._implicit
            else "FTP (RFC 959, 2389, 2428, 2640, 3659) and explicit FTPS (RFC 4217) for any client"
        )

    def stream_factory(self, options: object, host: IHost) -> FTPFactory:
        """The factory for one listener."""
        if not isinstance(options, FTPOptions):
            options = FTPOptions()
        if host.tls is None and (self._implicit or options.require_tls not in {"none", False}):
            raise ConfigError(
                "tls.certificate",
                value="",
                remedy=f"{self.name} needs TLS as it is configured: give --tls-certificate and --tls-key",
            )
        verbs, handlers = extended(VERBS, HANDLERS, options.commands, host)
        return FTPFactory(host, options, verbs, handlers, implicit=self._implicit)

    def datagram(self, options: object, host: IHost) -> DatagramProtocol | None:
        """There is no FTP over UDP."""
        return None

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """Never: in FTP the server speaks first."""
        return "no"


plugin: Final = FTPPlugin()
implicit: Final = FTPPlugin("ftps", implicit=True)
