"""Certificates and contexts: what is read, refused, warned of, chosen by name, and reloaded."""

import contextlib
import datetime as dt
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError, DataTLSRefused
from twisted_xfer.interfaces import ITLS, ITLSSession
from twisted_xfer.runtime.tls import RECHECK_SECONDS, RENEW_SECONDS, TLS, TLSFiles, has_aes
from twisted_xfer.runtime.tls_binding import CAN_SHARE
from twisted_xfer.runtime.tls_identity import (
    EXPIRY_DAYS,
    LEAST_RSA_BITS,
    Identity,
    exposure,
    read_pem,
    self_signed,
    write_pem,
)

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
REAL_NOW = dt.datetime.now(dt.UTC)


def pair(directory, name, *names):
    """PEM files of a fresh self-signed certificate."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}-key.pem"
    write_pem(self_signed(names or (name,), now=REAL_NOW), certificate, key)
    return str(certificate), str(key)


def serial(tls, name=None, alpn=None, version=None, maximum=None):
    """The serial number that a client sees, and its connection."""
    session = tls.control_session(b"ftp")
    server = session.creator.serverConnectionForTLS(None)
    server.set_accept_state()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    if maximum:
        context.maximum_version = maximum
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    from OpenSSL import SSL

    done = [False, False]
    for _ in range(10):
        if not done[0]:
            try:
                client.do_handshake()
                done[0] = True
            except ssl.SSLWantReadError:
                pass
        while data := outgoing.read():
            server.bio_write(data)
        if not done[1]:
            try:
                server.do_handshake()
                done[1] = True
            except SSL.WantReadError:
                pass
        with contextlib.suppress(SSL.WantReadError):
            incoming.write(server.bio_read(1 << 16))
    assert done == [True, True]
    shown = x509.load_der_x509_certificate(client.getpeercert(binary_form=True))
    return shown.serial_number, client, session


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


def test_interfaces(tmp_path):
    """As promised."""
    tls = TLS(Clock(), identities=[self_signed(now=REAL_NOW)])
    verifyObject(ITLS, tls)
    verifyObject(ITLSSession, tls.control_session())


def shake(server, client):
    """A handshake in memory and a byte behind it, so that tickets arrive."""
    server.set_accept_state()
    client.set_connect_state()
    ends = [(client, server), (server, client)]
    for _ in range(6):
        for one, other in ends:
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(1 << 17))
    server.send(b"x")
    client.bio_write(server.bio_read(1 << 17))
    assert client.recv(1) == b"x"


def resumes(first, second, version, name):
    """Whether a client that got a session from ``first`` resumes it with ``second``."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    states = []
    context.set_info_callback(lambda connection, _where, _code: states.append(connection.get_state_string()))
    client = SSL.Connection(context, None)
    if name:
        client.set_tlsext_host_name(name)
    shake(first, client)
    assert any(b"read server certificate" in state for state in states)
    states.clear()
    again = SSL.Connection(context, None)
    if name:
        again.set_tlsext_host_name(name)
    again.set_session(client.get_session())
    shake(second, again)
    return not any(b"read server certificate" in state for state in states)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("name", [b"", b"one.example", b"two.example", b"three.example"])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_session_is_worth_nothing_on_another_control_connection(monkeypatch, version, name, share):
    """Neither with the first certificate nor with one that SNI finds; on its own it is resumed."""
    assert CAN_SHARE
    if not share:
        monkeypatch.setattr("twisted_xfer.runtime.tls.CAN_SHARE", False)
        monkeypatch.setattr("twisted_xfer.runtime.tls_binding.CAN_SHARE", False)
    identities = [self_signed([f"{one}.example"], now=REAL_NOW) for one in ("one", "two", "three")]
    tls = TLS(Clock(), identities=identities)
    ours, theirs = tls.control_session(), tls.control_session()
    made = [one.creator.serverConnectionForTLS(None) for one in (ours, theirs, ours, ours, theirs, theirs)]
    assert (made[0].get_context() is made[1].get_context()) is share
    assert not resumes(made[0], made[1], version, name)
    assert resumes(made[2], made[3], version, name)
    assert resumes(made[4], made[5], version, name)


def test_contexts_are_renewed():
    """So that the key of the tickets does not live as long as the daemon; sessions keep theirs."""
    clock = Clock()
    tls = TLS(clock, identities=[self_signed(now=REAL_NOW)])
    first = tls.control_session()
    context = first.creator.serverConnectionForTLS(None).get_context()
    clock.advance(RENEW_SECONDS - 0.1)
    assert tls.control_session().creator.serverConnectionForTLS(None).get_context() is context
    assert tls.control_session(b"ftp").creator.serverConnectionForTLS(None).get_context() is not context
    clock.advance(0.1)
    assert tls.control_session().creator.serverConnectionForTLS(None).get_context() is not context
    assert first.creator.serverConnectionForTLS(None).get_context() is context


def test_certificate_by_name(tmp_path):
    """SNI finds the others; an unknown name and none get the first."""
    first, second = (pair(tmp_path, name) for name in ("first.example", "second.example"))
    tls = TLS(Clock(), TLSFiles((first, second)))
    serials = [identity.chain[0].serial_number for identity in tls.identities]
    assert serial(tls, "first.example")[0] == serials[0]
    assert serial(tls, "second.example")[0] == serials[1]
    assert serial(tls, "third.example")[0] == serials[0]
    assert serial(tls)[0] == serials[0]


@pytest.mark.parametrize(
    ("aes", "cipher"), [(True, "TLS_AES_128_GCM_SHA256"), (False, "TLS_CHACHA20_POLY1305_SHA256")]
)
def test_the_server_chooses_what_the_processor_is_good_at(aes, cipher):
    """128 bits of AES where there are instructions for it, ChaCha20 elsewhere."""
    tls = TLS(Clock(), identities=[self_signed(now=REAL_NOW)], aes=lambda: aes)
    _, client, session = serial(tls)
    assert client.cipher()[0] == cipher
    assert client.version() == "TLSv1.3"
    assert (session.version, session.cipher) == ("TLSv1.3", cipher)
    assert client.compression() is None
    _, older, _ = serial(tls, maximum=ssl.TLSVersion.TLSv1_2)
    assert older.version() == "TLSv1.2"
    assert ("AES128-GCM" in older.cipher()[0]) is aes


def test_has_aes(tmp_path):
    """By the flags of the first processor; a system that does not tell has them."""
    info = tmp_path / "cpuinfo"
    for text, expected in (
        ("flags\t: fpu aes avx\n", True),
        ("flags\t: fpu avx\n", False),
        ("Features\t: fp aes\n", True),
        ("nothing\n", True),
    ):
        info.write_text(text)
        assert has_aes(str(info)) is expected
    assert has_aes(str(tmp_path / "missing"))


def test_reload_on_change(tmp_path):
    """Seen at the next client after RECHECK_SECONDS, not before; half a change keeps what there was."""
    certificate, key = pair(tmp_path, "a")
    clock = Clock()
    tls = TLS(clock, TLSFiles(((certificate, key),)))
    old = tls.identities
    kept = tls.control_session()
    fresh, fresh_key = pair(tmp_path, "b")
    os.replace(fresh, certificate)
    clock.advance(RECHECK_SECONDS - 0.1)
    tls.control_session()
    assert tls.identities is old
    clock.advance(0.1)
    tls.control_session()
    assert tls.identities is old, "the key is still the old one"
    os.replace(fresh_key, key)
    clock.advance(RECHECK_SECONDS)
    tls.control_session()
    assert tls.identities[0].names == {"b"}
    assert kept.creator.serverConnectionForTLS(None) is not None


def test_what_stays_wrong_is_told_once(tmp_path):
    """Not with every client for weeks; again when it is wrong in another way, or wrong again."""
    certificate, key = pair(tmp_path, "a")
    told = []
    clock = Clock()
    tls = TLS(clock, TLSFiles(((certificate, key),)), log=Logger(observer=told.append))

    def look():
        clock.advance(RECHECK_SECONDS)
        tls.control_session()
        return [event["log_level"].name for event in told]

    kept = certificate + ".kept"
    os.rename(certificate, kept)
    assert [look(), look()] == [["error"], ["error"]]
    with open(certificate, "w") as junk:
        junk.write("junk")
    assert [look(), look()] == [["error"] * 2] * 2
    os.rename(kept, certificate)
    assert look() == ["error"] * 2
    os.unlink(certificate)
    assert look() == ["error"] * 3


def test_reload_by_hand(tmp_path):
    """At once; a wrong file is told of and what was in use stays."""
    certificate, key = pair(tmp_path, "a")
    tls = TLS(Clock(), TLSFiles(((certificate, key),)))
    old = tls.identities
    os.unlink(key)
    with pytest.raises(ConfigError):
        tls.reload()
    assert tls.identities is old


def unusable(directory):
    """PEM files that are in order, of a key that TLS has no signature for: X9.62's curve of Bitcoin."""
    identity = made(ec.generate_private_key(ec.SECP256K1()), start=REAL_NOW)
    certificate, key = directory / "k1.pem", directory / "k1-key.pem"
    write_pem(identity, certificate, key)
    return str(certificate), str(key)


def test_a_certificate_that_openssl_serves_nobody_with_is_refused(tmp_path):
    """At the start, with the file and why; also among those for SNI."""
    good, bad = pair(tmp_path, "a"), unusable(tmp_path)
    for files in ((bad,), (good, bad)):
        with pytest.raises(ConfigError) as caught:
            TLS(Clock(), TLSFiles(files))
        assert caught.value.key == "tls.certificate"
        assert caught.value.value == bad[0]
        assert "cannot be used" in caught.value.remedy


def test_a_key_that_openssl_finds_too_weak_is_refused():
    """A wrong one would raise with the first client, and with each after it."""
    with pytest.raises(ConfigError, match="cannot be used"):
        TLS(Clock(), identities=[made(ec.generate_private_key(ec.SECP192R1()), start=REAL_NOW)])


def test_reload_keeps_what_is_usable(tmp_path):
    """A certificate that replaces a good one and serves nobody is told of, and not taken."""
    certificate, key = pair(tmp_path, "a")
    clock = Clock()
    tls = TLS(clock, TLSFiles(((certificate, key),)))
    old = tls.identities
    bad, bad_key = unusable(tmp_path)
    os.replace(bad, certificate)
    os.replace(bad_key, key)
    clock.advance(RECHECK_SECONDS)
    tls.control_session()
    with pytest.raises(ConfigError):
        tls.reload()
    assert tls.identities is old
    assert serial(tls)[0] == old[0].chain[0].serial_number


def test_only_sockets_are_secured():
    """Another kind of channel is closed and refused."""

    class Other:
        peer = "x"
        aborted = False

        def abort(self):
            self.aborted = True

    other = Other()
    failed = []
    TLS(Clock(), identities=[self_signed(now=REAL_NOW)]).control_session().secure(other, 1.0).addErrback(
        lambda failure: failed.append(failure.value)
    )
    assert isinstance(failed[0], DataTLSRefused)
    assert other.aborted
