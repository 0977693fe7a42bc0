"""Certificates for tests, fresh ones, and their files."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from twisted_xfer.runtime.tls_identity import Identity, self_signed, write_pem

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REAL_NOW = dt.datetime.now(dt.UTC)


def pair(directory, name, *names):
    """PEM files of a fresh self-signed certificate."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    write_pem(self_signed(names or (name,), now=REAL_NOW), certificate, key)
    return str(certificate), str(key)


def made(key, *, start=NOW, end=None, names=("a.example",)):
    """An identity with a key of the test's."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end or start + dt.timedelta(days=90))
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return Identity.of([builder.sign(key, hashes.SHA256())], key, source="a.pem")
