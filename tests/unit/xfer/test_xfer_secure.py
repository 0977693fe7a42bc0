"""What xfer asks of TLS: exporters of both ends, the binding of SCRAM, and a caller's own certificate."""

import contextlib
import datetime as dt
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from twisted_xfer.errors import ConfigError
from twisted_xfer.protocols.xfer.secure import PinningCreator, channel_of, exporter_of, own_certificate
from twisted_xfer.runtime.tls_identity import self_signed

IDENTITY = self_signed(now=dt.datetime.now(dt.UTC))
OTHER = self_signed(now=dt.datetime.now(dt.UTC))


def pem(identity):
    key = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return identity.chain[0].public_bytes(serialization.Encoding.PEM).decode(), key.decode()


def shake(version, own=None):
    """Both ends of a handshake in memory, as transports."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    context.use_certificate(IDENTITY.chain[0])
    context.use_privatekey(IDENTITY.key)
    context.set_alpn_select_callback(lambda _connection, offered: offered[0])
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    caller, listener = (
        PinningCreator("localhost", own).clientConnectionForTLS(None),
        SSL.Connection(context, None),
    )
    caller.set_connect_state()
    listener.set_accept_state()
    for _ in range(6):
        for one, other in ((caller, listener), (listener, caller)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))
    return [SimpleNamespace(getHandle=lambda end=end: end) for end in (caller, listener)]


def test_exporters():
    """Both ends of a session have the same 32 bytes, and another session has others."""
    ends = shake(SSL.TLS1_3_VERSION)
    assert exporter_of(ends[0]) == exporter_of(ends[1])
    assert len(exporter_of(ends[0])) == 32
    assert channel_of(ends[1]) == exporter_of(ends[0])
    assert channel_of(shake(SSL.TLS1_3_VERSION)[1]) != channel_of(ends[1])


def test_the_version_that_is_not_enough():
    """RFC 9266: in TLS 1.2 SCRAM is not bound, though an exporter there is."""
    ends = shake(SSL.TLS1_2_VERSION)
    assert channel_of(ends[1]) == b""
    assert exporter_of(ends[0]) == exporter_of(ends[1]) != b""


def test_without_tls():
    """There is nothing."""
    for transport in (None, SimpleNamespace(getHandle=lambda: None)):
        assert (exporter_of(transport), channel_of(transport)) == (b"", b"")


@pytest.mark.parametrize("together", [True, False])
def test_our_own_certificate_is_shown(together):
    """From one text or from two."""
    certificate, key = pem(OTHER)
    own = own_certificate(certificate + key, "") if together else own_certificate(certificate, key)
    listener = shake(SSL.TLS1_3_VERSION, own)[1].getHandle()
    assert listener.get_peer_certificate(as_cryptography=True) == OTHER.chain[0]
    assert own_certificate("", key) is None


def test_certificates_that_are_none():
    """Neither text is repeated in the error."""
    certificate, key = pem(OTHER)
    locked = OTHER.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    ).decode()
    for texts in (
        (certificate, pem(IDENTITY)[1]),
        (certificate, ""),
        ("x", key),
        (certificate, locked),
        (key, ""),
    ):
        with pytest.raises(ConfigError) as caught:
            own_certificate(*texts)
        assert "BEGIN" not in f"{caught.value!r} {caught.value.value}"
        assert caught.value.__cause__ is None
