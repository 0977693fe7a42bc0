"""TLS of the daemon: sessions that belong to one control connection, from certificates kept in memory.

A session, or a ticket, of one control connection is worth nothing on another: what a data connection
resumes proves whose it is. OpenSSL sees to that by the session id context, which is kept in each
session and compared before it is resumed, in TLS 1.2 and 1.3; see ``tls_binding``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, ITLSTransport
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, DataTLSRefused, XferError
from twisted_xfer.interfaces import ITLS, CertificateFacts, IChannel, ISecureChannel, ITLSSession
from twisted_xfer.runtime.channels import SocketChannel
from twisted_xfer.runtime.dial import DescriptorReactor
from twisted_xfer.runtime.prompt import PromptServer
from twisted_xfer.runtime.tls_binding import CAN_SHARE, Binding
from twisted_xfer.runtime.tls_channel import HandshakeNotes, TLSChannel, reason_of, watch_resumption
from twisted_xfer.runtime.tls_clear import leave_tls
from twisted_xfer.runtime.tls_clients import ClientTrust, Policy, facts_of
from twisted_xfer.runtime.tls_handshake import handshake_channel
from twisted_xfer.runtime.tls_identity import Identity
from twisted_xfer.runtime.tls_trial import refusal_of

#: TLS 1.2 with forward secrecy and authenticated encryption only; 128 bits first, for they cost a
#: third less than 256 and nobody breaks either.
_AES_FIRST: Final = (
    b":".join(
        b"ECDHE-%b-%b" % (kind, suite)
        for suite in (b"AES128-GCM-SHA256", b"AES256-GCM-SHA384", b"CHACHA20-POLY1305")
        for kind in (b"ECDSA", b"RSA")
    ),
    b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
)
#: For processors without AES instructions.
_CHACHA_FIRST: Final = (
    b":".join(
        b"ECDHE-%b-%b" % (kind, suite)
        for suite in (b"CHACHA20-POLY1305", b"AES128-GCM-SHA256", b"AES256-GCM-SHA384")
        for kind in (b"ECDSA", b"RSA")
    ),
    b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
)
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
#: What RFC 8446 section 4.6.1 allows: a session is worth something as long as its control connection lives.
SESSION_SECONDS: Final = 7 * 24 * 3600
#: Files are looked at no oftener than this, in seconds, and only when a client comes.
RECHECK_SECONDS: Final = 5.0
#: A context, and with it the key of its tickets, serves new control connections for so long: who gets
#: hold of that key can read no more than the TLS 1.2 connections of that hour and what they resumed.
RENEW_SECONDS: Final = 3600.0

Stamp = tuple[tuple[int, int, int], ...]


def has_aes(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor has AES instructions; True where the system does not tell."""
    try:
        with open(cpuinfo, encoding="ascii", errors="replace") as stream:
            text = stream.read(64 * 1024)
    except OSError:
        return True
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return not lines or " aes" in f"{lines[0]} "


@attrs.frozen
class TLSFiles:
    """Where certificates and keys are: pairs of PEM files, the default first, the others found by SNI.

    ``client_ca`` is a PEM file of the authorities that sign certificates of clients, ``client_crl``
    one of lists of those that were revoked; empty for none. ``policy`` is whether clients are asked.
    """

    pairs: tuple[tuple[str, str], ...]
    client_ca: str = ""
    client_crl: str = ""
    policy: Policy = "ask"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file."""
        rest = tuple(path for path in (self.client_ca, self.client_crl) if path)
        return tuple(path for pair in self.pairs for path in pair) + rest

    def trust(self) -> ClientTrust | None:
        """Whose certificates clients may show; None when they are not asked. May raise ConfigError."""
        return ClientTrust.load(self.policy, self.client_ca, self.client_crl) if self.asks else None

    @property
    def asks(self) -> bool:
        """Whether clients are asked for a certificate."""
        return bool(self.client_ca) and self.policy != "off"

    def stamp(self) -> Stamp:
        """What changes when one of the files does; a file that is missing counts as zeros."""
        return tuple(_stamp(path) for path in self.paths)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@implementer(IOpenSSLServerConnectionCreator)
class Creator:
    """Makes the server's end of a control connection for Twisted, and keeps it to be asked."""

    def __init__(self, binding: Binding, trust: ClientTrust | None = None) -> None:
        self._binding = binding
        self._trust = trust
        #: Clients may show a certificate.
        self.asks = trust is not None
        self.connection: SSL.Connection | None = None
        self.notes = HandshakeNotes()

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """A connection over memory buffers."""
        return self.connection_over(None)

    def connection_over(self, sock: socket.socket | None) -> SSL.Connection:
        """A connection over ``sock``, or over memory buffers."""
        self.connection = self._binding.connection(sock)
        if self._trust is not None:
            self._trust.watch(self.connection, self.notes)
        return self.connection


@implementer(ITLSSession)
class TLSSession:
    """See ITLSSession."""

    __slots__ = ("_binding", "_facts", "_reactor", "creator")

    def __init__(
        self, reactor: DescriptorReactor, binding: Binding, trust: ClientTrust | None = None
    ) -> None:
        self._reactor = reactor
        self._binding = binding
        self.creator = Creator(binding, trust)
        self._facts: CertificateFacts | None = None

    @property
    def version(self) -> str:
        """``TLSv1.3``, or empty before the handshake."""
        connection = self.creator.connection
        if connection is None or connection.get_cipher_name() is None:
            return ""
        return connection.get_protocol_version_name()

    @property
    def cipher(self) -> str:
        """The cipher's name, or empty before the handshake."""
        connection = self.creator.connection
        return "" if connection is None else connection.get_cipher_name() or ""

    @property
    def certificate(self) -> x509.Certificate | None:
        """The client's, which OpenSSL has verified; none where none is asked for."""
        connection = self.creator.connection
        if connection is None or not self.creator.asks:
            return None
        return connection.get_peer_certificate(as_cryptography=True)

    @property
    def facts(self) -> CertificateFacts | None:
        """What it says, read once."""
        if self._facts is None:
            certificate = self.certificate
            self._facts = None if certificate is None else facts_of(certificate)
        return self._facts

    def refusal(self, reason: BaseException | None) -> str:
        """See ITLSSession."""
        if self.creator.notes.refusal:
            return self.creator.notes.refusal
        return reason_of(reason) if isinstance(reason, SSL.Error) else ""

    def start(self, transport: object) -> None:
        """See ITLSSession."""
        if isinstance(transport, PromptServer):
            transport.secure(self.creator.connection_over(transport.getHandle()))
        else:
            ITLSTransport(transport).startTLS(self.creator)

    def leave(self, transport: object, timeout: float) -> None:
        """See ITLSSession."""
        leave_tls(transport, self._reactor, timeout)

    def secure(self, channel: IChannel, timeout: float) -> Deferred[ISecureChannel]:
        """See ITLSSession."""
        if not isinstance(channel, SocketChannel):
            channel.abort()
            return fail(DataTLSRefused(detail="not a socket"))
        secured = TLSChannel(channel.detach(), channel.peer, self._binding, prepared=True)
        done: Deferred[ISecureChannel] = handshake_channel(self._reactor, secured, timeout)  # type: ignore[assignment]
        return done


class _Loaded:
    """What one reading of the files gave; sessions made from it keep it."""

    def __init__(
        self, identities: Sequence[Identity], suites: tuple[bytes, bytes], trust: ClientTrust | None
    ) -> None:
        self.identities = tuple(identities)
        self.trust = trust
        self._suites = suites
        for one in self.identities:
            self._try(one)
        #: Contexts that SNI switches to, for their certificates alone: tickets and sessions stay
        #: with the context that the connection was made from.
        self._others = [(one, self.context(one)) for one in self.identities[1:]]
        self._shared: dict[bytes, tuple[SSL.Context, float]] = {}

    def _try(self, identity: Identity) -> None:
        """Refuse what OpenSSL refuses now, and not when a client comes. Raises ConfigError."""
        try:
            reason = refusal_of(self.context(identity, asks=False))
        except SSL.Error as error:
            reason = reason_of(error)
        if reason:
            remedy = f"cannot be used ({reason}): get a certificate for a stronger key, such as P-256 or RSA of 2048 bits"
            raise ConfigError("tls.certificate", value=identity.source, remedy=remedy)

    def context(self, identity: Identity, *, asks: bool = True) -> SSL.Context:
        """A fresh context with ``identity``, which asks clients for their certificates if they are to be asked."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(_OPTIONS)
        context.set_cipher_list(self._suites[0])
        context.set_tls13_ciphersuites(self._suites[1])
        context.use_certificate(identity.chain[0])
        for certificate in identity.chain[1:]:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(identity.key)
        context.set_session_id(b"xfer")
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_timeout(SESSION_SECONDS)
        watch_resumption(context)
        if asks and self.trust is not None:
            # In those that SNI switches to as well: OpenSSL then verifies with their authorities.
            self.trust.apply(context)
        return context

    def shared_context(self, alpn: bytes, now: float) -> SSL.Context:
        """One for the control connections of the next RENEW_SECONDS; those that are up keep theirs."""
        context, made = self._shared.get(alpn, (None, 0.0))
        if context is None or now - made >= RENEW_SECONDS:
            context = self.control_context(alpn)
            self._shared[alpn] = (context, now)
        return context

    def control_context(self, alpn: bytes) -> SSL.Context:
        """A fresh context for control connections."""
        context = self.context(self.identities[0])
        if alpn:
            context.set_alpn_select_callback(lambda _connection, offered: _choose(alpn, offered))
        if self._others:
            context.set_tlsext_servername_callback(self._by_name)
        return context

    def _by_name(self, connection: SSL.Connection) -> None:
        """Switch to the certificate that the client's SNI asks for; an unknown name gets the default."""
        name = (connection.get_servername() or b"").decode("ascii", "replace")
        if not name or self.identities[0].matches(name):
            return
        for identity, context in self._others:
            if identity.matches(name):
                connection.set_context(context)
                return


def _choose(wanted: bytes, offered: list[bytes]) -> bytes:
    """``wanted``, or an error that ends the handshake: the client takes us for something else (RFC 7301)."""
    if wanted in offered:
        return wanted
    raise SSL.Error([("SSL routines", "", "no application protocol")])


@implementer(ITLS)
class TLS:
    """See ITLS.

    Args:
        reactor: drives the handshakes of data connections.
        files: what to read, now and again when it has changed; None for ``identities`` alone.
        identities, trust: used as they are, instead of files.
        log: hears of reloads.

    Raises:
        ConfigError: a file is wrong.
    """

    def __init__(
        self,
        reactor: Any,
        files: TLSFiles | None = None,
        *,
        identities: Sequence[Identity] = (),
        trust: ClientTrust | None = None,
        log: Logger | None = None,
        aes: Callable[[], bool] = has_aes,
    ) -> None:
        self._reactor = reactor
        self._files = files
        self._log = log or Logger()
        self._suites = _AES_FIRST if aes() else _CHACHA_FIRST
        self._stamp: Stamp = () if files is None else files.stamp()
        self._checked = reactor.seconds()
        self._trouble = ""
        self._loaded = self._read() if files is not None else _Loaded(identities, self._suites, trust)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Those in use for new connections."""
        return self._loaded.identities

    def control_session(self, alpn: bytes = b"") -> TLSSession:
        """See ITLS."""
        self._check_files()
        loaded = self._loaded
        if CAN_SHARE:
            context = loaded.shared_context(alpn, self._reactor.seconds())
        else:
            context = loaded.control_context(alpn)
        return TLSSession(self._reactor, Binding(context), loaded.trust)

    def reload(self) -> None:
        """Read the files again; connections that are up keep what they have.

        Raises:
            ConfigError: a file is wrong; what was in use stays in use.
        """
        if self._files is None:
            return
        stamp = self._files.stamp()
        self._loaded = self._read()
        self._stamp = stamp

    def _check_files(self) -> None:
        """Reload when a file has changed. One look every RECHECK_SECONDS costs a few microseconds."""
        now = self._reactor.seconds()
        if self._files is None or now - self._checked < RECHECK_SECONDS:
            return
        self._checked = now
        if self._files.stamp() == self._stamp:
            self._trouble = ""
            return
        try:
            self.reload()
        except XferError as error:
            # Often only one of the two files has been replaced yet: the next look sees both. What
            # stays wrong for weeks is told once, or once more when it is wrong in another way.
            if (trouble := str(error)) != self._trouble:
                self._trouble = trouble
                self._log.error("certificates not reloaded: {error}", error=trouble)
        else:
            self._trouble = ""
            self._log.info("certificates reloaded")

    def _read(self) -> _Loaded:
        files = self._files or TLSFiles(())
        return _Loaded([Identity.load(*pair) for pair in files.pairs], self._suites, files.trust())
