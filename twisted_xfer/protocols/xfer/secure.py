"""TLS as the protocol needs it: creators, the exporter, and the key that a peer is known by."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import PrivateCertificate
from zope.interface import implementer

from twisted_xfer.errors import ConfigError

ALPN: Final = b"xfer/1"
#: The first byte of every TLS connection.
HANDSHAKE_BYTE: Final = 0x16
#: RFC 9266.
_EXPORTER: Final = b"EXPORTER-Channel-Binding"


@attrs.frozen
class Own:
    """A caller's own certificate and its key."""

    certificate: x509.Certificate
    key: Any = attrs.field(repr=False)

    def for_twisted(self) -> PrivateCertificate:
        """As optionsForClientTLS takes it."""
        pem: bytes = self.certificate.public_bytes(Encoding.PEM) + self.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        made: PrivateCertificate = PrivateCertificate.loadPEM(pem)  # type: ignore[no-untyped-call]
        return made


@implementer(IOpenSSLClientConnectionCreator)
class PinningCreator:
    """The caller's side, for peers known by their key: the protocol looks at it before it logs in.

    ``own`` is the caller's own certificate, if it has one (see own_certificate).
    """

    def __init__(self, hostname: str, own: Own | None = None) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos([ALPN])
        if own is not None:
            context.use_certificate(own.certificate)
            context.use_privatekey(own.key)
        self._context = context
        self._hostname = hostname

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Called by Twisted."""
        connection = SSL.Connection(self._context, None)
        if self._hostname and not self._hostname.replace(".", "").isdigit() and ":" not in self._hostname:
            connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection


def own_certificate(certificate: str, key: str) -> Own | None:
    """A caller's certificate and key out of PEM texts, which may be one; None without any.

    Raises:
        ConfigError: it is no certificate, or not with that key. The texts are not repeated.
    """
    if not certificate:
        return None
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        private = load_pem_private_key((key or certificate).encode(), password=None)
        if found.public_key() != private.public_key():
            raise ValueError("not its key")
        return Own(found, private)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # OpenSSL's words may quote the text.
        remedy = "give PEM: a certificate, and its key that no password protects"
        raise ConfigError("cert", value=f"({type(error).__name__})", remedy=remedy) from None


def exporter_of(transport: Any) -> bytes:
    """Bytes that only the two ends of this TLS session know; empty without TLS."""
    handle = transport.getHandle() if transport is not None else None
    if not isinstance(handle, SSL.Connection):
        return b""
    material: bytes = handle.export_keying_material(_EXPORTER, 32)
    return material


def channel_of(transport: Any) -> bytes:
    """What SCRAM is bound to: ``exporter_of`` in TLS 1.3, else empty.

    RFC 9266 section 4.2: in TLS 1.2 the exporter binds only with the extended master secret, of
    which OpenSSL's bindings tell nothing.
    """
    handle = transport.getHandle() if transport is not None else None
    modern = isinstance(handle, SSL.Connection) and handle.get_protocol_version_name() == "TLSv1.3"
    return exporter_of(transport) if modern else b""


def is_unverified(error: object) -> bool:
    """Whether a handshake ended because of the peer's certificate: its chain, or the name in it."""
    broken = isinstance(error, SSL.Error) and "certificate verify failed" in repr(error.args)
    return broken or isinstance(error, VerificationError)


def key_digest(certificate: Any) -> str:
    """SHA-256 of a certificate's public key (SubjectPublicKeyInfo), in hexadecimal."""
    public = certificate.to_cryptography().public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
