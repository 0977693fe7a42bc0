"""Prompt transports that go over to TLS, and leave it again."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
from typing import Any

import pytest
from new_keys import Sealer, secret_in
from OpenSSL import SSL
from prompt_rig import IDENTITY, LARGE, VERSIONS, connection, context_of, read
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol

from twisted_xfer.runtime.prompt_tls import ALERT_SECONDS
from twisted_xfer.runtime.tls import TLS

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def rig():
    """A connection."""
    yield from connection()


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_in_tls(rig, version):
    """Both ways, and the session tells which version it is."""
    assert not ISSLTransport.providedBy(rig.transport)
    client = rig.secure(version)
    assert ISSLTransport.providedBy(rig.transport)
    assert rig.transport.getPeerCertificate() is None
    assert rig.session.version == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    rig.protocol.answer = lambda data: rig.transport.send(data.upper()) and None
    for text in (b"abc", b"def" * 1000):
        client.sendall(text)
        assert read(rig, len(text)) == text.upper()
    assert rig.reactor.asked == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ends", ["finish", "loseConnection"])
def test_the_end_in_tls(rig, version, ends):
    """close_notify behind the last words, and then the end of the connection, in one segment."""
    client = rig.secure(version)
    # Unread, it must not keep the last words from arriving.
    client.sendall(b"too late")
    if ends == "finish":
        rig.transport.finish(b"bye")
        assert rig.protocol.told == ["secure", ConnectionDone]
    else:
        rig.transport.write(b"bye")
        rig.transport.loseConnection()
    # An end without close_notify would be an error.
    assert read(rig) == b"bye"
    rig.until(lambda: rig.protocol.told[-1:] == [ConnectionDone])


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="keeps segments back on Linux only")
@pytest.mark.parametrize("version", VERSIONS)
def test_last_words_and_close_notify_in_one_segment(rig, version):
    """The first are kept back until both are there."""
    client = rig.secure(version)
    corks: list[int] = []

    class Watched:
        """OpenSSL's, noting what the socket keeps back when the end is said."""

        def __getattr__(self, name: str) -> Any:
            if name == "shutdown":
                corks.append(rig.transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))
            return getattr(connection, name)

    client.sendall(b"QUIT")
    rig.until_told("secure", b"QUIT")
    rig.transport.send(b"one more")
    connection, rig.transport.tls.connection = rig.transport.tls.connection, Watched()
    rig.transport.finish(b"bye")
    assert corks == [1]
    assert read(rig) == b"one morebye"


def test_a_client_that_says_close_notify_instead_of_a_handshake(rig):
    """It is an end, and no handshake."""
    rig.start_tls()
    rig.client.sendall(b"\x15\x03\x01\x00\x02\x01\x00")
    rig.client.shutdown(socket.SHUT_WR)
    rig.until(lambda: rig.protocol.told)
    assert issubclass(rig.protocol.told[0], SSL.Error)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_ends_tls(rig, version):
    """Its close_notify ends the connection, and gets ours."""
    client = rig.secure(version)
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    rig.until_told("secure", ConnectionDone)
    client.settimeout(10)
    assert client.unwrap() is not None


def test_a_client_that_leaves_without_close_notify(rig):
    """The end is told as an error of TLS: something may be missing."""
    rig.secure().shutdown(socket.SHUT_RDWR)
    rig.until(lambda: len(rig.protocol.told) == 2)
    assert rig.protocol.told[0] == "secure"
    assert issubclass(rig.protocol.told[1], SSL.Error)


def test_a_client_that_leaves_behind_our_last_words(rig):
    """Then nothing was missing."""
    client = rig.secure()
    rig.transport.finish(b"bye")
    client.shutdown(socket.SHUT_RDWR)
    rig.until_told("secure", ConnectionDone)


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(40), b"\0" * 300]
)
def test_noise_instead_of_a_handshake(rig, noise):
    """It ends the connection with what OpenSSL says of it."""
    rig.start_tls()
    rig.client.sendall(noise)
    rig.client.shutdown(socket.SHUT_WR)
    rig.until(lambda: rig.protocol.told)
    (reason,) = rig.protocol.told
    assert issubclass(reason, SSL.Error)
    assert not rig.reactor.readers


@pytest.mark.parametrize(("seconds", "ended"), [(ALERT_SECONDS - 0.01, False), (ALERT_SECONDS, True)])
def test_an_alert_has_time_to_arrive(rig, seconds, ended):
    """What the client sends meanwhile is dropped, and does not turn the end into a reset."""
    rig.start_tls()
    rig.client.sendall(b"\x16\x03\x01\x00\x05hello")
    rig.until(lambda: select.select([rig.client], [], [], 0)[0])
    rig.client.sendall(b"more")
    assert read(rig)[:2] == b"\x15\x03"
    rig.client.sendall(b"and more")
    rig.until(lambda: not select.select(rig.fileno(), [], [], 0)[0])
    assert rig.protocol.told == []
    rig.reactor.advance(seconds)
    assert bool(rig.protocol.told) is ended


def test_what_is_said_before_the_handshake_is_done_waits_for_it(rig):
    """It must not go out in clear."""
    rig.start_tls()
    assert rig.transport.send(b"hello")
    rig.client.setblocking(False)
    with pytest.raises(BlockingIOError):
        rig.client.recv(10)
    rig.shake()
    assert read(rig, 5) == b"hello"


def test_a_protocol_that_does_not_ask_for_the_handshake(rig):
    """It need not be an IHandshakeListener."""

    class Plain(Protocol):
        def dataReceived(self, data: bytes) -> None:
            rig.protocol.told.append(data)

    rig.transport.protocol = Plain()
    rig.start_tls()
    rig.client.settimeout(10)
    rig.protocol.told.append("secure")
    rig.shake().sendall(b"abc")
    rig.until_told("secure", b"abc")


@pytest.mark.parametrize("say", ["send", "finish", "write"])
def test_nothing_leaves_in_clear_behind_startTLS(rig, say):
    """Twisted's own way to start TLS is there for whoever wants it, and holds for our methods too."""
    session = TLS(rig.reactor, identities=[IDENTITY]).control_session()
    rig.transport.startTLS(session.creator)
    getattr(rig.transport, say)(b"secret")
    rig.reactor.turn()
    rig.client.setblocking(False)
    told = b""
    with contextlib.suppress(BlockingIOError):
        told = rig.client.recv(100)
    assert b"secret" not in told


def test_the_end_before_the_handshake_is_done(rig):
    """There is nobody yet to whom last words could be said."""
    rig.start_tls()
    rig.transport.finish(b"bye")
    assert read(rig) == b""
    assert rig.protocol.told == [ConnectionDone]


def test_a_client_that_took_nothing_gets_no_tls(rig):
    """What waits is in clear, and cannot be told from what would come behind it."""
    assert not rig.transport.send(bytes(LARGE))
    rig.start_tls()
    rig.reactor.advance(0)
    assert rig.protocol.told == [ConnectionAborted]


@pytest.mark.parametrize("version", VERSIONS)
def test_records_that_come_byte_by_byte(rig, version):
    """OpenSSL keeps what it has: the handshake, and a command."""
    rig.start_tls()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context_of(version).wrap_bio(incoming, outgoing)

    def carry() -> None:
        for byte in outgoing.read():
            rig.client.sendall(b"%c" % byte)
            rig.reactor.turn()
        with contextlib.suppress(BlockingIOError):
            incoming.write(rig.client.recv(1 << 16))

    def shaken() -> bool:
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        carry()
        return client.version() is not None and rig.protocol.told == ["secure"]

    rig.client.setblocking(False)
    rig.until(shaken)
    client.write(b"slowly")
    carry()
    rig.until_told("secure", b"slowly")


def test_new_keys_without_end(rig, tmp_path):
    """Of a client that sends nothing else one record is taken a turn: others have theirs in between."""
    keylog = tmp_path / "keys"
    rig.start_tls()
    raw = socket.socket(fileno=os.dup(rig.client.fileno()))
    rig.shake(keylog=str(keylog))
    sealer = Sealer(secret_in(keylog.read_text()))
    with raw:
        raw.sendall(sealer.new_keys(50) + sealer.seal(b"abc"))
    # Without a turn meanwhile, which would take one of them.
    assert select.select(rig.fileno(), [], [], 10)[0]
    for _ in range(50):
        rig.transport.doRead()
    assert rig.protocol.told == ["secure"]
    rig.until_told("secure", b"abc")


# --- leaving TLS ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_leaving_tls(rig, version):
    """close_notify from both ends, then clear, with the next words in the same segment."""
    client = rig.secure(version)
    rig.session.leave(rig.transport, 5)
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    rig.client = socket.socket(fileno=client.detach())
    rig.client.sendall(b"in clear")
    rig.until_told("secure", b"in clear")
    assert not ISSLTransport.providedBy(rig.transport)
    rig.transport.finish(b"so am I")
    assert read(rig).endswith(b"so am I")


def test_anything_else_when_tls_is_left(rig):
    """It was sent before the client knew."""
    client = rig.secure()
    rig.session.leave(rig.transport, 5)
    client.sendall(b"NOOP")
    rig.until_told("secure", ConnectionAborted)


@pytest.mark.parametrize(("seconds", "ended"), [(4.9, False), (5.0, True)])
def test_silence_when_tls_is_left(rig, seconds, ended):
    """Up to the deadline, and at it."""
    rig.secure()
    rig.session.leave(rig.transport, 5)
    rig.reactor.advance(seconds)
    rig.reactor.advance(0)
    assert (rig.protocol.told[1:] == [ConnectionAborted]) is ended


def test_no_tls_to_leave(rig):
    """An error of ours."""
    session = TLS(rig.reactor, identities=[IDENTITY]).control_session()
    with pytest.raises(TypeError):
        session.leave(rig.transport, 5)
