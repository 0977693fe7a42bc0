"""Certificates and keys: read, checked, matched to server names, and made for a demonstration."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import stat
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from twisted_xfer.errors import ConfigError

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

#: A chain of a few certificates has some KiB; more than this is a wrong file.
MAX_FILE: Final = 1024 * 1024
#: Weaker keys are told of by ``warnings``: NIST SP 800-57 part 1, 112 bits of security.
LEAST_RSA_BITS: Final = 2048
LEAST_EC_BITS: Final = 224
#: Certificate authorities renew when a third of 90 days is left; later than this nobody has.
EXPIRY_DAYS: Final = 14
#: A demonstration's certificate: long enough that nobody meets its end.
DEMO_DAYS: Final = 365


@attrs.frozen
class Identity:
    """One certificate chain, leaf first, and its key.

    ``names`` are the DNS names of the leaf, in lower case, wildcards included.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = attrs.field(repr=False)
    names: frozenset[str]
    source: str = ""

    @classmethod
    def load(cls, certificate: str, key: str) -> Identity:
        """Read two PEM files; they may be the same one.

        Raises:
            ConfigError: unreadable, no PEM, an encrypted key, or a key that is not the certificate's.
        """
        raw = read_pem("tls.certificate", certificate)
        try:
            chain = x509.load_pem_x509_certificates(raw)
        except ValueError as error:
            raise ConfigError(
                "tls.certificate", value=certificate, remedy="must be a PEM file, the leaf first"
            ) from error
        return cls.of(chain, _load_key(key, read_pem("tls.key", key)), source=certificate, key_source=key)

    @classmethod
    def of(
        cls, chain: Sequence[x509.Certificate], key: PrivateKey, *, source: str = "", key_source: str = ""
    ) -> Identity:
        """Of parts that are in memory.

        Raises:
            ConfigError: the key is not the certificate's.
        """
        if _public_bytes(chain[0].public_key()) != _public_bytes(key.public_key()):
            raise ConfigError(
                "tls.key", value=key_source, remedy=f"must be the key of the first certificate in {source}"
            )
        return cls(tuple(chain), key, frozenset(_dns_names(chain[0])), source)

    def matches(self, name: str) -> bool:
        """Whether a client that asks for ``name`` is meant (RFC 6125 section 6.4.3: one label a wildcard)."""
        name = name.lower().rstrip(".")
        return name in self.names or "*." + name.partition(".")[2] in self.names

    def warnings(self, now: dt.datetime) -> list[str]:
        """What will soon, or should not, be relied upon."""
        leaf = self.chain[0]
        found: list[str] = []
        left = leaf.not_valid_after_utc - now
        if left < dt.timedelta(0):
            found.append(
                f"the certificate {self.source} expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it"
            )
        elif left < dt.timedelta(days=EXPIRY_DAYS):
            found.append(
                f"the certificate {self.source} expires on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it"
            )
        if leaf.not_valid_before_utc > now:
            found.append(
                f"the certificate {self.source} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M}: "
                "check the clock"
            )
        found += self._chain_warnings(now)
        weak = _weakness(leaf)
        if weak:
            found.append(f"the key of {self.source} is weak ({weak}): make a new one")
        if not self.names and not _has_addresses(leaf):
            found.append(
                f"the certificate {self.source} names no host (subjectAltName): clients that verify will refuse it"
            )
        return found

    def _chain_warnings(self, now: dt.datetime) -> list[str]:
        """Of the certificates behind the leaf: clients need them all, and in this order (RFC 8446 section 4.4.2)."""
        found: list[str] = []
        for one, issuer in pairwise(self.chain):
            if one.issuer != issuer.subject:
                found.append(
                    f"the chain in {self.source} is broken: behind {one.subject.rfc4514_string()!r} belongs "
                    f"the certificate of {one.issuer.rfc4514_string()!r}"
                )
            if issuer.not_valid_after_utc - now < dt.timedelta(days=EXPIRY_DAYS):
                found.append(
                    f"the certificate of {issuer.subject.rfc4514_string()!r} in {self.source} ends on "
                    f"{issuer.not_valid_after_utc:%Y-%m-%d}: fetch the new chain"
                )
        return found


def exposure(key: str) -> str:
    """A warning about who may read or replace the file ``key``; empty when that is as it should be.

    A group may read it: that is how systems give keys to daemons that are not root.
    """
    try:
        mode = stat.S_IMODE(os.stat(key).st_mode)
    except OSError:
        return ""
    if mode & (stat.S_IRWXO | stat.S_IWGRP) & ~stat.S_IXOTH:
        return f"the key {key} is everybody's on this machine (mode {mode:04o}): chmod 600 {key}"
    return ""


def self_signed(
    names: Sequence[str] = ("localhost", "127.0.0.1", "::1"), *, now: dt.datetime, days: int = DEMO_DAYS
) -> Identity:
    """A fresh P-256 key and a certificate for ``names`` (DNS names and IP addresses) that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clients with a clock that is a little late take it as well.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity.of([certificate], key, source="self-signed")


def write_pem(identity: Identity, certificate: Path, key: Path) -> None:
    """Write both files; the key is readable by its owner alone from the first moment."""
    certificate.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in identity.chain))
    key.touch(mode=0o600)
    key.chmod(0o600)
    key.write_bytes(
        identity.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, in lower-case hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def read_pem(setting: str, path: str) -> bytes:
    """The file at ``path``, which ``setting`` names; at most MAX_FILE bytes.

    Raises:
        ConfigError: unreadable or too large.
    """
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            setting, value=path, remedy=f"{error.strerror}: must be a PEM file that this process may read"
        ) from error
    if len(raw) > MAX_FILE:
        raise ConfigError(setting, value=path, remedy=f"must be a PEM file of at most {MAX_FILE} bytes")
    return raw


def _load_key(path: str, raw: bytes) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(raw, password=None)
    except TypeError as error:
        raise ConfigError(
            "tls.key", value=path, remedy="is encrypted: a daemon has nobody to ask, store it decrypted"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError("tls.key", value=path, remedy="must be a private key in PEM") from error
    if not isinstance(key, PrivateKey):
        raise ConfigError("tls.key", value=path, remedy="must be an RSA, ECDSA or EdDSA key")
    return key


def _public_bytes(key: object) -> bytes:
    raw: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return raw


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _dns_names(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    return [] if names is None else [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _has_addresses(certificate: x509.Certificate) -> bool:
    names = _alternative_names(certificate)
    return names is not None and bool(names.get_values_for_type(x509.IPAddress))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _weakness(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        return f"RSA of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_EC_BITS:
        return f"{key.curve.name} of {key.key_size} bits"
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA"
    if isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        return f"signed with {certificate.signature_hash_algorithm.name}"
    return ""
