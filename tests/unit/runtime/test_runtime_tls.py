"""Contexts of TLS: by name, renewed, reloaded, and of no use to other sessions."""

import contextlib
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from tls_files import REAL_NOW, made, pair
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError, DataTLSRefused
from twisted_xfer.interfaces import ITLS, ITLSSession
from twisted_xfer.runtime.tls import RECHECK_SECONDS, RENEW_SECONDS, TLS, TLSFiles, has_aes
from twisted_xfer.runtime.tls_binding import CAN_SHARE
from twisted_xfer.runtime.tls_identity import self_signed, write_pem


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
