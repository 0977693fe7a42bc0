"""An FTP server that misbehaves as it is told, for tests of clients: the plugin ``faulty_ftp``."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import (
    ITLS,
    IChannel,
    IHost,
    IProtocolPlugin,
    ISecureChannel,
    ITLSSession,
)
from twisted_xfer.protocols.ftp.commands import HANDLERS
from twisted_xfer.protocols.ftp.extend import extended
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import FTPPlugin
from twisted_xfer.protocols.ftp.server import FTPFactory
from twisted_xfer.protocols.ftp.wire.verbs import VERBS
from twisted_xfer.testing.faults import Faults
from twisted_xfer.testing.faulty import Counter, FaultOptions, FaultyHost


@attrs.frozen
class FTPFaultOptions(FaultOptions):
    """FTP has more that may go wrong. A cut is a reset of the data connection, and 426.

    Attributes:
        wrong_226: a RETR that is cut ends in order and is answered with 226, and so is a STOR
            whose file is then not there.
        refuse_epsv: EPSV is answered with 502, as by servers from before RFC 2428.
    """

    wrong_226: bool = False
    refuse_epsv: bool = False

    def faults(self) -> Faults:
        """The faults of one file."""
        faults = FaultOptions.faults(self)
        if self.wrong_226:
            faults.read_fails_at, faults.read_ends_at = None, self.download_cut_at
            faults.commit_lies = True
        return faults


@attrs.frozen
class FaultyFTPOptions(FTPOptions):
    """Those of FTP, and the faults."""

    faults: FTPFaultOptions = attrs.field(factory=FTPFaultOptions)


class _RudeChannel(proxyForInterface(ISecureChannel, "inner")):  # type: ignore[misc]
    """A channel in TLS that ends as plain TCP does."""

    inner: Any

    def shutdown(self) -> bool:
        """FIN alone. The descriptor is doubled, since closing a socket object would close the channel."""
        with socket.socket(fileno=os.dup(self.inner.fileno())) as plain:
            plain.shutdown(socket.SHUT_WR)
        return True


class _RudeSession(proxyForInterface(ITLSSession, "inner")):  # type: ignore[misc]
    inner: Any

    def secure(self, channel: IChannel, timeout: float, **hints: Any) -> Deferred[ISecureChannel]:
        secured: Deferred[ISecureChannel] = self.inner.secure(channel, timeout, **hints)
        return secured.addCallback(_RudeChannel)


class _RudeTLS(proxyForInterface(ITLS, "inner")):  # type: ignore[misc]
    inner: Any

    def control_session(self, alpn: bytes = b"") -> ITLSSession:
        session: ITLSSession = _RudeSession(self.inner.control_session(alpn))
        return session


class _Host(FaultyHost):
    """The daemon, with other logins and another TLS."""

    def __init__(self, inner: IHost, options: FaultyFTPOptions) -> None:
        super().__init__(inner, Counter(options.faults))
        self._tls = (
            _RudeTLS(inner.tls) if options.faults.no_close_notify and inner.tls is not None else inner.tls
        )

    @property
    def tls(self) -> Any:
        """With faults, if it is there at all."""
        return self._tls


@implementer(IProtocolPlugin)
class FaultyFTPPlugin(FTPPlugin):
    """FTP with faults."""

    options = FaultyFTPOptions

    def __init__(self) -> None:
        super().__init__("faulty_ftp")

    def describe(self) -> str:
        """One line for people."""
        return "FTP that misbehaves, for tests of clients"

    def stream_factory(self, options: object, host: IHost) -> FTPFactory:
        """The factory. Raises ConfigError for options of another kind."""
        if not isinstance(options, FaultyFTPOptions):
            raise ConfigError("faults", value=type(options).__name__, remedy="options of faulty_ftp")
        verbs, handlers = extended(VERBS, HANDLERS, options.commands, host)
        if options.faults.refuse_epsv:
            handlers = {name: handler for name, handler in handlers.items() if name != b"EPSV"}
        return FTPFactory(_Host(host, options), options, verbs, handlers)


plugin: Final = FaultyFTPPlugin()
