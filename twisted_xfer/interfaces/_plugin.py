"""Plugins: what a third party writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import attrs
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._events import IEventListener
from twisted_xfer.interfaces._host import IHost
from twisted_xfer.interfaces._quota import IQuotaLedger
from twisted_xfer.interfaces._storage import IStorage

API_VERSION: Final = 1

PluginKind = Literal["protocol", "storage", "quota", "listener", "command"]


class IPluginRecord(IPlugin):
    """What a drop-in in ``twisted/plugins`` holds: names, and where the plugin is to be found."""

    kind: PluginKind = Attribute("protocol, storage, quota, listener or command")
    name: str = Attribute("unique within its kind")
    target: str = Attribute("'package.module:attribute', imported only when configured")
    summary: str = Attribute("one line for `xfer plugins`")


class IXferPlugin(Interface):
    """Common to all plugins."""

    name: str = Attribute("the same as the record's")
    api_version: int = Attribute("API_VERSION it was written for")
    options: type[attrs.AttrsInstance] = Attribute("frozen attrs class with a default for every field")

    def describe() -> str:
        """One line for people."""


class IProtocolPlugin(IXferPlugin):
    """A protocol over streams, datagrams or both.

    It may have ``variant_of``, the name of a protocol whose section of the configuration holds for
    this one too, and ``starts_tls``: it needs the daemon's own TLS, so ssl: endpoints are refused.
    """

    needs_account: bool = Attribute("True: no login of its own, acts as the account of PROTOCOL@ACCOUNT")

    def stream_factory(options: object, host: IHost) -> IProtocolFactory | None:
        """The factory for a stream endpoint, or None when there is no such thing."""

    def datagram(options: object, host: IHost) -> DatagramProtocol | None:
        """The protocol for a UDP port, or None."""

    def sniff(prefix: bytes) -> Literal["yes", "no", "more"]:
        """Whether a connection that starts with ``prefix`` speaks this protocol."""


class IStoragePlugin(IXferPlugin):
    """A storage."""

    def open(options: object, host: IHost) -> IStorage:
        """Open it; a failure stops the start."""


class IQuotaPlugin(IXferPlugin):
    """A quota ledger."""

    def open(options: object, host: IHost) -> IQuotaLedger:
        """Open it; a failure stops the start."""


class IListenerPlugin(IXferPlugin):
    """An event listener."""

    def open(options: object, host: IHost) -> IEventListener:
        """Open it; a failure is counted and logged, and does not stop the start."""


class ICommandPlugin(IXferPlugin):
    """Extra FTP commands."""

    def rows(options: object, host: IHost) -> Iterable[object]:
        """Rows for the FTP command table, as twisted_xfer.protocols.ftp.extend describes them.

        Asked once for each place where FTP listens with this plugin among its ``commands``; a
        failure stops the start.
        """
