"""Authorities of a test's own: certificates of clients, good and bad, and lists of revoked ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)
PEM = serialization.Encoding.PEM


def now() -> dt.datetime:
    """The moment, as certificates have it."""
    return dt.datetime.now(dt.UTC)


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(PEM)

    @property
    def fingerprint(self) -> str:
        """Its SHA-256."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, directory: Path, name: str) -> tuple[str, str]:
        """Write ``name.pem`` and ``name-key.pem``: their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
        certificate.write_bytes(self.pem)
        key.write_bytes(
            self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return str(certificate), str(key)


class Authority:
    """Signs certificates and lists; itself signed by ``above``, or by nobody else."""

    def __init__(
        self, name: str = "test authority", above: Authority | None = None, *, days: float = 365
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        signer = above or self
        self.certificate = (
            _builder(self.name, signer.name, self.key, now() - 2 * 365 * DAY, now() + days * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(PEM)

    def issue(
        self,
        common_name: str = "",
        *,
        names: Sequence[str] = (),
        start: dt.datetime | None = None,
        end: dt.datetime | None = None,
        server: bool = False,
    ) -> Issued:
        """A certificate for a client; ``names`` are e-mail addresses and DNS names. ``server``: for servers only."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            _name(common_name), self.name, key, start or now() - DAY, end or now() + 30 * DAY
        ).add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        if names:
            general: list[x509.GeneralName] = [
                x509.RFC822Name(name) if "@" in name else x509.DNSName(name) for name in names
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key)

    def revoke(
        self,
        *revoked: Issued,
        start: dt.datetime | None = None,
        end: dt.datetime | None = None,
        key: Any = None,
    ) -> bytes:
        """A list of ``revoked``, in PEM; ``key`` signs it instead of ours."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(start or now() - DAY)
            .next_update(end or now() + 30 * DAY)
        )
        for one in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(now() - dt.timedelta(hours=1))
                .build()
            )
        return builder.sign(key or self.key, hashes.SHA256()).public_bytes(PEM)


def bundle(path: Path, parts: Iterable[bytes]) -> str:
    """Write PEM parts into one file: its path."""
    path.write_bytes(b"".join(parts))
    return str(path)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def _usage() -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    return x509.KeyUsage(
        **dict.fromkeys(names.split(), False),
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
