"""Client certificates: who is taken, who is refused and why, what a certificate says, and reloads."""

import contextlib
import datetime as dt
import os
import socket
import ssl

import pytest
from client_pki import DAY, Authority, bundle, now
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.task import Clock

from twisted_xfer.errors import ConfigError, DataTLSRefused
from twisted_xfer.interfaces import WantRead, WantWrite
from twisted_xfer.runtime.tls import RECHECK_SECONDS, TLS, TLSFiles
from twisted_xfer.runtime.tls_channel import TLSChannel
from twisted_xfer.runtime.tls_clients import MAX_NAMES, ClientTrust, facts_of
from twisted_xfer.runtime.tls_identity import EXPIRY_DAYS, self_signed, write_pem

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SERVER = self_signed(now=now())


@pytest.fixture(scope="module")
def ca():
    """The authority that signs for clients."""
    return Authority()


def trust(ca, policy="ask", lists=(), more=()):
    """What the daemon would have read."""
    parsed = [x509.load_pem_x509_crl(one) for one in lists]
    return ClientTrust.of(policy, [ca.certificate, *more], parsed)


def shake(tls, directory, issued=None, version="1.3", name=None):
    """One handshake of a control connection: the session, and what ended it on either side."""
    session = tls.control_session(b"ftp")
    server = session.creator.serverConnectionForTLS(None)
    server.set_accept_state()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = VERSIONS[version]
    if issued is not None:
        context.load_cert_chain(*issued.write(directory, "client"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    ours, theirs = None, None
    for _ in range(10):
        try:
            client.do_handshake()
            # In TLS 1.3 a client hears only now what the server thinks of it.
            with contextlib.suppress(ssl.SSLWantReadError):
                client.read(1)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            theirs = error.reason
            break
        if data := outgoing.read():
            server.bio_write(data)
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            ours = error
        with contextlib.suppress(SSL.WantReadError):
            incoming.write(server.bio_read(1 << 16))
    return session, ours, theirs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("policy", ["ask", "require"])
def test_a_good_certificate(ca, tmp_path, policy, version):
    """Taken, and what it says is known."""
    alice = ca.issue("Alice", names=["Alice@Example.com", "a.example"])
    tls = TLS(Clock(), identities=[SERVER], trust=trust(ca, policy, [ca.revoke()]))
    session, ours, theirs = shake(tls, tmp_path, alice, version)
    assert (ours, theirs) == (None, None)
    assert session.facts.common_name == "Alice"
    assert session.facts.names == ("Alice@Example.com", "a.example")
    assert session.facts.fingerprint == alice.fingerprint
    assert session.refusal(None) == ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("which", "reason", "alert"),
    [
        ("other", "'Alice' refused: its authority is not in tls.client_ca", "UNKNOWN_CA"),
        ("expired", "'Alice' refused: it has expired", "CERTIFICATE_EXPIRED"),
        ("early", "'Alice' refused: it is not valid yet", "BAD_CERTIFICATE"),
        ("revoked", "'Alice' refused: it was revoked", "CERTIFICATE_REVOKED"),
        ("server", "'Alice' refused: it is not for clients", "UNSUPPORTED_CERTIFICATE"),
        ("old list", "list of its authority has expired: renew tls.client_crl", "CERTIFICATE_EXPIRED"),
    ],
)
def test_a_bad_certificate(ca, tmp_path, version, which, reason, alert):
    """Refused with its reason, and the alert tells the client: shown is not the same as not shown."""
    options = {
        "expired": {"start": now() - 2 * DAY, "end": now() - DAY},
        "early": {"start": now() + DAY},
        "server": {"server": True},
    }.get(which, {})
    alice = (Authority() if which == "other" else ca).issue("Alice", **options)
    if which == "other":
        alice = Authority("somebody else").issue("Alice")
    end = now() - dt.timedelta(hours=1) if which == "old list" else None
    crl = ca.revoke(*([alice] if which == "revoked" else []), end=end)
    tls = TLS(Clock(), identities=[SERVER], trust=trust(ca, lists=[crl]))
    session, ours, theirs = shake(tls, tmp_path, alice, version)
    assert isinstance(ours, SSL.Error)
    assert reason in session.refusal(ours)
    assert alert in theirs


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("policy", ["ask", "require"])
def test_no_certificate(ca, tmp_path, version, policy):
    """Missed only where it is required."""
    tls = TLS(Clock(), identities=[SERVER], trust=trust(ca, policy))
    session, ours, theirs = shake(tls, tmp_path, None, version)
    assert session.facts is None
    if policy == "ask":
        assert (ours, theirs) == (None, None)
    else:
        assert "certificate" in session.refusal(ours)
        assert theirs is not None


def test_reasons_are_kept_apart(ca, tmp_path):
    """Of clients that come at the same time, in whatever order their handshakes end."""
    alice, mallory = ca.issue("Alice"), ca.issue("Mallory")
    tls = TLS(Clock(), identities=[SERVER], trust=trust(ca, lists=[ca.revoke(mallory)]))
    before = tls.control_session(b"ftp")
    before.creator.serverConnectionForTLS(None)
    bad, ours, _ = shake(tls, tmp_path, mallory)
    good, _, _ = shake(tls, tmp_path, alice)
    assert "'Mallory' refused" in bad.refusal(ours)
    assert (before.refusal(None), good.refusal(None)) == ("", "")


def test_nobody_is_asked(ca, tmp_path):
    """With ``off`` and without authorities a client keeps its certificate to itself."""
    for given in (None, trust(ca, "off")):
        session, ours, _ = shake(TLS(Clock(), identities=[SERVER], trust=given), tmp_path, ca.issue("Alice"))
        assert ours is None
        assert session.certificate is None
        assert session.facts is None


def test_a_certificate_chosen_by_name(ca, tmp_path):
    """The contexts that SNI switches to verify clients as the first one does."""
    second = self_signed(("second.example",), now=now())
    tls = TLS(Clock(), identities=[SERVER, second], trust=trust(ca, "require"))
    session, ours, _ = shake(tls, tmp_path, ca.issue("Alice"), name="second.example")
    assert ours is None
    assert session.facts.common_name == "Alice"
    session, ours, _ = shake(tls, tmp_path, Authority("other").issue("Alice"), name="second.example")
    assert "not in tls.client_ca" in session.refusal(ours)


def test_an_authority_below_another(tmp_path):
    """Each needs its list; one that was revoked takes all with it."""
    root = Authority("root")
    middle = Authority("middle", root)
    alice = middle.issue("Alice")
    for revoked in (False, True):
        lists = [root.revoke(*([middle] if revoked else [])), middle.revoke()]
        tls = TLS(Clock(), identities=[SERVER], trust=trust(root, lists=lists, more=[middle.certificate]))
        session, ours, _ = shake(tls, tmp_path, alice)
        assert (ours is not None) is revoked
        assert ("it was revoked" in session.refusal(ours)) is revoked


class TestData:
    """Data connections of a client that has shown a certificate."""

    def pair(self, context, directory, issued, again=None):
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        client = again and again._connection.get_context()
        if client is None:
            client = SSL.Context(SSL.TLS_METHOD)
            client.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
            if issued is not None:
                certificate, key = issued.write(directory, "data")
                client.use_certificate_file(certificate)
                client.use_privatekey_file(key)
        session = again and again.session
        ends = [TLSChannel(ours, "x", context), TLSChannel(theirs, "x", client, False, session=session)]
        failure = None
        left = list(ends)
        for _ in range(10_000):
            for one in list(left):
                try:
                    one.handshake()
                    left.remove(one)
                except (WantRead, WantWrite):
                    pass
                except DataTLSRefused as error:
                    failure = failure or error
                    left.remove(one)
            if not left:
                break
        return ends, failure

    def test_shown_again(self, ca, tmp_path):
        """The channel knows which certificate it was."""
        tls = TLS(Clock(), identities=[SERVER], trust=trust(ca))
        alice = ca.issue("Alice")
        for shown in (alice, None):
            ends, failure = self.pair(tls.control_session()._binding, tmp_path, shown)
            assert failure is None
            assert ends[0].certificate == (shown and shown.certificate)
            for end in ends:
                end.close()

    def test_resumed(self, ca, tmp_path):
        """The certificate comes with the session, which is worth nothing to another client."""
        tls = TLS(Clock(), identities=[SERVER], trust=trust(ca))
        alice = ca.issue("Alice")
        mine, other = tls.control_session()._binding, tls.control_session()._binding
        first, _ = self.pair(mine, tmp_path, alice)
        first[0].send(b"x")
        assert first[1].recv_into(memoryview(bytearray(1))) == 1
        for binding, resumed in ((other, False), (mine, True)):
            ends, failure = self.pair(binding, tmp_path, alice, first[1])
            assert failure is None
            assert ends[0].resumed is resumed
            assert ends[0].certificate == alice.certificate
            for end in ends:
                end.close()
        for end in first:
            end.close()

    def test_a_revoked_one(self, ca, tmp_path):
        """Refused there as well, with the reason."""
        alice = ca.issue("Alice")
        tls = TLS(Clock(), identities=[SERVER], trust=trust(ca, lists=[ca.revoke(alice)]))
        ends, failure = self.pair(tls.control_session()._binding, tmp_path, alice)
        assert "it was revoked" in failure.detail
        for end in ends:
            end.close()


def files(directory, ca, *, lists=None, policy="ask"):
    """PEM files for TLSFiles."""
    certificate, key = directory / "server.pem", directory / "server-key.pem"
    write_pem(SERVER, certificate, key)
    crl = "" if lists is None else bundle(directory / "clients.crl", lists)
    return TLSFiles(((str(certificate), str(key)),), bundle(directory / "ca.pem", [ca.pem]), crl, policy)


def test_a_new_list_takes_effect(ca, tmp_path):
    """At the next client after RECHECK_SECONDS or at once by hand; a broken list keeps the one before."""
    alice, clock = ca.issue("Alice"), Clock()
    given = files(tmp_path, ca, lists=[ca.revoke()])
    tls = TLS(clock, given)
    assert shake(tls, tmp_path, alice)[1] is None
    bundle(tmp_path / "new", [ca.revoke(alice)])
    os.replace(tmp_path / "new", given.client_crl)
    clock.advance(RECHECK_SECONDS - 0.1)
    assert shake(tls, tmp_path, alice)[1] is None
    clock.advance(0.1)
    session, ours, _ = shake(tls, tmp_path, alice)
    assert "it was revoked" in session.refusal(ours)
    bundle(tmp_path / "clients.crl", [b"junk"])
    with pytest.raises(ConfigError):
        tls.reload()
    assert shake(tls, tmp_path, alice)[1] is not None
    bundle(tmp_path / "clients.crl", [ca.revoke()])
    tls.reload()
    assert shake(tls, tmp_path, alice)[1] is None


def test_wrong_files(ca, tmp_path):
    """Each is refused by the key that names it, and with what to do."""
    other = Authority("other")
    good = bundle(tmp_path / "ca.pem", [ca.pem])
    both = bundle(tmp_path / "both.pem", [ca.pem, other.pem])
    junk = bundle(tmp_path / "junk.pem", [b"junk"])
    half = bundle(tmp_path / "half.crl", [b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
    crl = bundle(tmp_path / "good.crl", [ca.revoke()])
    forged = bundle(tmp_path / "forged.crl", [ca.revoke(key=other.key)])
    for authorities, lists, key, hint in (
        (str(tmp_path / "none"), "", "tls.client_ca", "No such file"),
        (junk, "", "tls.client_ca", "authorities"),
        (good, str(tmp_path / "none"), "tls.client_crl", "No such file"),
        (good, junk, "tls.client_crl", "revocation lists"),
        (good, half, "tls.client_crl", "revocation lists"),
        (good, forged, "tls.client_crl", "'test authority' has not signed"),
        (both, crl, "tls.client_crl", "no list of 'other'"),
    ):
        with pytest.raises(ConfigError) as caught:
            ClientTrust.load("ask", authorities, lists)
        assert caught.value.key == key
        assert hint in caught.value.remedy
    assert len(ClientTrust.load("ask", both, "").authorities) == 2


def test_warnings():
    """Expiry of authorities and lists at the limit and past it, and lists of nobody."""
    moment = now().replace(microsecond=0)
    ca = Authority(days=100)
    end = ca.certificate.not_valid_after_utc
    crl = ca.revoke(start=moment - DAY, end=moment + DAY)
    told = trust(ca, lists=[crl])
    assert told.warnings(moment) == []
    assert told.warnings(moment + DAY) == []
    assert "expired on" in told.warnings(moment + DAY + dt.timedelta(seconds=1))[0]
    assert "check the clock" in told.warnings(moment - 2 * DAY)[0]
    plain = trust(ca)
    assert plain.warnings(end - dt.timedelta(days=EXPIRY_DAYS)) == []
    assert "expires on" in plain.warnings(end - dt.timedelta(days=EXPIRY_DAYS) + dt.timedelta(seconds=1))[0]
    assert "nobody whom it signed gets in" in plain.warnings(end + dt.timedelta(seconds=1))[0]
    assert trust(ca, "off").warnings(end + DAY) == []
    strange = trust(ca, lists=[ca.revoke(), Authority("other").revoke()])
    assert "no authority in" in strange.warnings(moment)[0]


def test_what_a_certificate_says(ca):
    """No name, several, and more alternative names than anybody needs."""
    nobody = facts_of(ca.issue().certificate)
    assert (nobody.common_name, nobody.names) == ("", ())
    many = facts_of(ca.issue("m", names=[f"n{n}.example" for n in range(MAX_NAMES + 1)]).certificate)
    assert len(many.names) == MAX_NAMES
    assert str(many).startswith("'m' (sha256:")
    assert str(nobody).startswith("'' (sha256:")
