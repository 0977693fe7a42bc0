"""Certificates and their keys: what is read, refused and warned of."""

import datetime as dt
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tls_files import NOW, made, pair

from twisted_xfer.errors import ConfigError
from twisted_xfer.runtime.tls_identity import (
    EXPIRY_DAYS,
    LEAST_RSA_BITS,
    Identity,
    exposure,
    read_pem,
    self_signed,
)


def test_pem_files_are_read_whole(tmp_path):
    """Chain, key and names; the key is its owner's alone."""
    certificate, key = pair(tmp_path, "a", "a.example", "192.0.2.1")
    identity = Identity.load(certificate, key)
    assert identity.names == {"a.example"}
    assert len(identity.chain) == 1
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(identity)


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("a.example", True),
        ("A.Example.", True),
        ("b.a.example", False),
        ("x.wild.example", True),
        ("y.x.wild.example", False),
        ("wild.example", False),
        ("", False),
    ],
)
def test_names(name, matches):
    """A wildcard stands for one label."""
    assert self_signed(("a.example", "*.wild.example"), now=NOW).matches(name) is matches


def test_wrong_files_are_refused(tmp_path):
    """Missing, no PEM, another certificate's key, an encrypted key: each with a remedy."""
    certificate, key = pair(tmp_path, "a")
    _, other_key = pair(tmp_path, "b")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        Identity.load(certificate, key).key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    for files, setting in (
        ((str(tmp_path / "none"), key), "tls.certificate"),
        ((str(junk), key), "tls.certificate"),
        ((certificate, str(junk)), "tls.key"),
        ((certificate, other_key), "tls.key"),
        ((certificate, str(locked)), "tls.key"),
    ):
        with pytest.raises(ConfigError) as caught:
            Identity.load(*files)
        assert caught.value.key == setting
        assert caught.value.remedy


def test_pem_files_are_bounded(tmp_path, monkeypatch):
    """At the limit and one past it."""
    monkeypatch.setattr("twisted_xfer.runtime.tls_identity.MAX_FILE", 5)
    path = tmp_path / "x.pem"
    path.write_bytes(b"12345")
    assert read_pem("tls.key", str(path)) == b"12345"
    path.write_bytes(b"123456")
    with pytest.raises(ConfigError, match="at most 5"):
        read_pem("tls.key", str(path))


def test_warnings():
    """Expiry at its limit and past it, a clock before the time, weak keys, no name; else silence."""
    key = ec.generate_private_key(ec.SECP256R1())
    limit = NOW + dt.timedelta(days=90 - EXPIRY_DAYS)
    identity = made(key)
    assert identity.warnings(NOW) == []
    assert identity.warnings(limit) == []
    assert "expires on" in identity.warnings(limit + dt.timedelta(seconds=1))[0]
    assert "expired on" in identity.warnings(NOW + dt.timedelta(days=91))[0]
    assert "not valid before" in identity.warnings(NOW - dt.timedelta(days=1))[0]
    assert "names no host" in made(key, names=()).warnings(NOW)[0]
    assert made(rsa.generate_private_key(65537, LEAST_RSA_BITS)).warnings(NOW) == []
    assert "RSA of 1024 bits" in made(rsa.generate_private_key(65537, 1024)).warnings(NOW)[0]


def test_warnings_of_the_chain():
    """Of what stands behind the leaf: its end, and a certificate that does not belong there."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("leaf", "middle", "top")]
    days = (90, 30, 90)
    chain = [
        x509.CertificateBuilder()
        .subject_name(names[at])
        .issuer_name(names[min(at + 1, 2)])
        .public_key(keys[at].public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=days[at]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
        .sign(keys[min(at + 1, 2)], hashes.SHA256())
        for at in range(3)
    ]
    limit = NOW + dt.timedelta(days=30 - EXPIRY_DAYS)
    whole = Identity.of(chain, keys[0], source="a.pem")
    assert whole.warnings(limit) == []
    (late,) = whole.warnings(limit + dt.timedelta(seconds=1))
    assert "'CN=middle' in a.pem ends on 2026-01-31" in late
    (broken,) = Identity.of([chain[0], chain[2]], keys[0], source="a.pem").warnings(NOW)
    assert "behind 'CN=leaf' belongs the certificate of 'CN=middle'" in broken


@pytest.mark.parametrize(
    ("mode", "told"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True), (0o660, True)]
)
def test_a_key_that_is_everybodys(tmp_path, mode, told):
    """A group may read it, for daemons that are not root; nobody else, and nobody but its owner writes."""
    _, key = pair(tmp_path, "a")
    os.chmod(key, mode)
    assert bool(exposure(key)) is told
    assert not told or f"{mode:04o}" in exposure(key)
    assert exposure(str(tmp_path / "missing")) == ""
