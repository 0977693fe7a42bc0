"""An FTP server that misbehaves as it is told, for tests of clients: the plugin ``faulty_ftp``.

It is the daemon's own FTP with a faulty host around it. ``server.XferServer(faults={...})`` installs
and listens with it; no installation has it otherwise.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, ConnectionLost
from twisted_xfer.interfaces import (
    ITLS,
    Eventually,
    IAvatar,
    IChannel,
    IHost,
    ILogin,
    IProtocolPlugin,
    ISecureChannel,
    ITLSSession,
    LoginContext,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import then
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.commands import HANDLERS
from twisted_xfer.protocols.ftp.extend import extended
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import FTPPlugin
from twisted_xfer.protocols.ftp.server import FTPFactory
from twisted_xfer.protocols.ftp.wire.verbs import VERBS
from twisted_xfer.testing.faults import Faults, FaultyAvatar


@attrs.frozen
class FaultyFTPOptions(FTPOptions):
    """What goes wrong; None, false and 0 mean nothing. Offsets are bytes of the file.

    Attributes:
        download_cut_at: the data connection of a RETR ends there with a reset, and 426.
        upload_cut_at: that of a STOR, the part being kept.
        download_stalls_at: from there on nothing more is sent.
        upload_stalls_at: from there on nothing more is read.
        wrong_226: a RETR that is cut ends in order and is answered with 226, and so is a STOR
            whose file is then not there.
        refuse_epsv: EPSV is answered with 502, as by servers from before RFC 2428.
        no_close_notify: a data connection in TLS ends without close_notify.
        times: only the first so many files that are opened go wrong; 0 means all of them.
    """

    download_cut_at: int | None = None
    upload_cut_at: int | None = None
    download_stalls_at: int | None = None
    upload_stalls_at: int | None = None
    wrong_226: bool = False
    refuse_epsv: bool = False
    no_close_notify: bool = False
    times: int = 0

    def faults(self) -> Faults:
        """The faults of one file."""
        return Faults(
            read_fails_at=None if self.wrong_226 else self.download_cut_at,
            read_ends_at=self.download_cut_at if self.wrong_226 else None,
            write_fails_at=self.upload_cut_at,
            read_stalls_at=self.download_stalls_at,
            write_stalls_at=self.upload_stalls_at,
            commit_lies=self.wrong_226,
            error=ConnectionLost(None, "cut by a fault"),
        )


class _Counter:
    """How many files may still go wrong."""

    def __init__(self, options: FaultyFTPOptions) -> None:
        self._options = options
        self._left: Iterator[int] = iter(range(options.times))

    def next_faults(self) -> Faults:
        """The faults of the next file, or none."""
        if self._options.times and next(self._left, None) is None:
            return Faults()
        return self._options.faults()


class _Avatar(FaultyAvatar):
    """A user some of whose files go wrong."""

    def __init__(self, inner: IAvatar, counter: _Counter) -> None:
        super().__init__(inner, Faults())
        self._counter = counter

    def open_read(self, path: VirtualPath, offset: int = 0) -> Any:
        """With the faults of this file."""
        return FaultyAvatar(self.inner, self._counter.next_faults()).open_read(path, offset)

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Any:
        """With the faults of this file."""
        return FaultyAvatar(self.inner, self._counter.next_faults()).open_write(path, intent)


class _Login(proxyForInterface(ILogin, "inner")):  # type: ignore[misc]
    inner: Any

    def __init__(self, inner: ILogin, counter: _Counter) -> None:
        super().__init__(inner)
        self._counter = counter

    def login(self, credentials: object, context: LoginContext) -> Eventually[_Avatar]:
        return then(self.inner.login(credentials, context), lambda avatar: _Avatar(avatar, self._counter))


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


class _Host(proxyForInterface(IHost, "inner")):  # type: ignore[misc]
    """The daemon, with other logins and another TLS."""

    inner: Any

    def __init__(self, inner: IHost, options: FaultyFTPOptions) -> None:
        super().__init__(inner)
        self._login = _Login(inner.login, _Counter(options))
        self._tls = _RudeTLS(inner.tls) if options.no_close_notify and inner.tls is not None else inner.tls

    @property
    def login(self) -> Any:
        """With faults."""
        return self._login

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
        if options.refuse_epsv:
            handlers = {name: handler for name, handler in handlers.items() if name != b"EPSV"}
        return FTPFactory(_Host(host, options), options, verbs, handlers)


plugin: Final = FaultyFTPPlugin()
