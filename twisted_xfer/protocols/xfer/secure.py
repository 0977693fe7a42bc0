"""TLS as the protocol needs it: creators, the exporter, and the key that a peer is known by."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

ALPN: Final = b"xfer/1"
#: The first byte of every TLS connection.
HANDSHAKE_BYTE: Final = 0x16
#: RFC 9266.
_EXPORTER: Final = b"EXPORTER-Channel-Binding"


@implementer(IOpenSSLClientConnectionCreator)
class PinningCreator:
    """The caller's side, for peers known by their key: the protocol looks at it before it logs in."""

    def __init__(self, hostname: str) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos([ALPN])
        self._context = context
        self._hostname = hostname

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Called by Twisted."""
        connection = SSL.Connection(self._context, None)
        if self._hostname and not self._hostname.replace(".", "").isdigit() and ":" not in self._hostname:
            connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection


def exporter_of(transport: Any) -> bytes:
    """Bytes that only the two ends of this TLS session know; empty without TLS."""
    handle = transport.getHandle() if transport is not None else None
    if not isinstance(handle, SSL.Connection):
        return b""
    material: bytes = handle.export_keying_material(_EXPORTER, 32)
    return material


def key_digest(certificate: Any) -> str:
    """SHA-256 of a certificate's public key (SubjectPublicKeyInfo), in hexadecimal."""
    public = certificate.to_cryptography().public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
