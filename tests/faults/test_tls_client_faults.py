"""What a client can do wrong on purpose while it shows its certificate: the handshake ends, and nothing else."""

import contextlib

import pytest
from client_pki import Authority, now
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.task import Clock

from twisted_xfer.accounts.certificates import keys_of, parse_rule
from twisted_xfer.interfaces import CertificateFacts
from twisted_xfer.runtime.tls import TLS
from twisted_xfer.runtime.tls_clients import ClientTrust
from twisted_xfer.runtime.tls_identity import self_signed

CA = Authority()
ALICE = CA.issue("Alice")
#: OpenSSL takes at most 100 KiB of certificates from a client.
LARGEST = 100 * 1024
VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


@pytest.fixture(scope="module")
def tls():
    """A daemon's TLS that requires certificates."""
    crl = x509.load_pem_x509_crl(CA.revoke())
    trust = ClientTrust.of("require", [CA.certificate], [crl])
    return TLS(Clock(), identities=[self_signed(now=now())], trust=trust)


def client(version, chain=()):
    """A client's end that shows Alice's certificate, and ``chain`` behind it."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(ALICE.certificate)
    context.use_privatekey(ALICE.key)
    for one in chain:
        context.add_extra_chain_cert(one)
    made = SSL.Connection(context, None)
    made.set_connect_state()
    return made


def shake(tls, theirs, spoil=lambda data, flight: data):
    """Pump a handshake, each flight of the client's through ``spoil``: session, and what ended it."""
    session = tls.control_session(b"ftp")
    ours = session.creator.serverConnectionForTLS(None)
    ours.set_accept_state()
    for flight in range(10):
        with contextlib.suppress(SSL.Error):
            theirs.do_handshake()
        with contextlib.suppress(SSL.Error):
            if data := spoil(theirs.bio_read(1 << 20), flight):
                ours.bio_write(data)
        try:
            ours.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            return session, error
        with contextlib.suppress(SSL.Error):
            theirs.bio_write(ours.bio_read(1 << 20))
    return session, None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("over", [False, True])
def test_a_long_chain(tls, version, over):
    """Up to what OpenSSL takes it is read; past it the handshake ends before anything is verified."""
    # Each with three bytes of length before it, and two for no extensions behind it in TLS 1.3.
    size = len(CA.certificate.public_bytes(Encoding.DER)) + 3
    count = (LARGEST + (4096 if over else -4096)) // size
    session, error = shake(tls, client(version, [CA.certificate] * count))
    if over:
        assert session.refusal(error) == "excessive message size"
        assert session.certificate is None
    else:
        assert error is None
        assert session.facts.common_name == "Alice"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_flipped_byte(tls, version, at):
    """Anywhere in the flight with the certificate: no handshake, and nobody is known by it."""

    def spoil(data, flight):
        if flight != 1 or not data:
            return data
        place = int(len(data) * at)
        return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]

    session, error = shake(tls, client(version), spoil)
    # A length that became too large only waits for more, which the deadline of the handshake bounds.
    assert error is not None or session.creator.connection.get_peer_finished() is None
    assert session.refusal(error) or error is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cut", [1, 100, 400])
def test_half_a_certificate(tls, version, cut):
    """The handshake waits and is never done."""
    session, error = shake(tls, client(version), lambda data, flight: data[:cut] if flight else data)
    assert error is None
    assert session.refusal(error) == ""
    state = session.creator.connection.get_state_string()
    assert b"finished successfully" not in state


names = st.text(max_size=50)


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=100))
def test_any_text_as_a_rule(text):
    """A rule in its one form, which it keeps, or a ValueError."""
    try:
        rule = parse_rule(text)
    except ValueError:
        return
    assert parse_rule(rule) == rule


@settings(derandomize=True, deadline=None)
@given(names, st.lists(names, max_size=5))
def test_any_names_in_a_certificate(common, others):
    """No name makes a key of another kind: what a certificate is called never looks like its fingerprint."""
    keys = keys_of(CertificateFacts(common, tuple(others), "ab" * 32))
    assert [key for key in keys if key.startswith("sha256:")] == ["sha256:" + "ab" * 32]
    assert len([key for key in keys if key.startswith("cn:")]) == bool(common)
    assert len([key for key in keys if key.startswith("san:")]) == len(others)
