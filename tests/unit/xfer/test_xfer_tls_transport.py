"""TLS between a raw transport and a connection, both ends in memory."""

import tempfile

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.python.failure import Failure
from xfer_pipes import End
from zope.interface import implementer

from twisted_xfer.cli.trust import _make_certificate
from twisted_xfer.protocols.xfer.tls_transport import PLAINTEXT, TLSTransport


@implementer(IHandshakeListener)
class Ends:
    """A protocol that keeps what it is told."""

    def __init__(self):
        self.data, self.shaken, self.reason, self.transport = bytearray(), 0, None, None
        self.hold_at = None

    def handshakeCompleted(self):
        self.shaken += 1

    def dataReceived(self, data):
        assert len(data) <= PLAINTEXT
        self.data += data
        if self.hold_at is not None and len(self.data) >= self.hold_at:
            self.transport.pauseProducing()

    def connectionLost(self, reason):
        assert self.reason is None
        self.reason = reason.value


@pytest.fixture(scope="module")
def context():
    made = SSL.Context(SSL.TLS_METHOD)
    with tempfile.NamedTemporaryFile() as file:
        file.write(_make_certificate())
        file.flush()
        made.use_privatekey_file(file.name)
        made.use_certificate_file(file.name)
    return made


class Pair:
    """A client and a server, and the wire between them."""

    def __init__(self, context):
        self.client, self.server = Ends(), Ends()
        self.raw = End("127.0.0.1"), End("127.0.0.1")
        made = (SSL.Context(SSL.TLS_METHOD), context)
        for raw, protocol, one, server in zip(
            self.raw, (self.client, self.server), made, (False, True), strict=True
        ):
            secure = TLSTransport(
                raw, protocol, lambda _self, one=one: SSL.Connection(one, None), server=server
            )
            protocol.transport = secure

    def begin(self):
        for protocol in (self.client, self.server):
            protocol.transport.begin()

    def pump(self, piece=1000):
        """Carry until nothing moves."""
        for _ in range(100_000):
            moved = False
            for source, sink in (self.raw, self.raw[::-1]):
                if source.out and sink.connected and not sink.paused:
                    data = bytes(source.out[:piece])
                    del source.out[:piece]
                    sink.protocol.dataReceived(data)
                    moved = True
                if source.closing and source.connected and not source.out:
                    source.lost(ConnectionDone)
                    sink.closing = True
                    moved = True
            if not moved:
                return
        raise AssertionError("it never falls silent")


@pytest.fixture
def pair(context):
    return Pair(context)


@pytest.mark.parametrize("piece", [1, 37, 5000, 1 << 20])
def test_what_is_written_arrives_however_it_is_cut(pair, piece):
    """Also what was written before the handshake was done."""
    pair.client.transport.write(b"early ")
    pair.begin()
    pair.client.transport.writeSequence([b"and ", b"at once"])
    pair.pump(piece)
    assert bytes(pair.server.data) == b"early and at once"
    pair.server.transport.write(b"x" * (3 * PLAINTEXT if piece > 1 else 10))
    pair.pump(piece)
    assert set(pair.client.data) == set(b"x")
    assert (pair.client.shaken, pair.server.shaken) == (1, 1)
    assert ISSLTransport.providedBy(pair.client.transport)
    assert isinstance(pair.client.transport.getHandle(), SSL.Connection)
    assert pair.client.transport.getPeerCertificate() is not None


def test_nothing_is_handed_out_while_paused(pair):
    """What was decrypted already waits, and comes first afterwards."""
    pair.begin()
    pair.pump()
    pair.server.hold_at = 1
    content = bytes(range(256)) * 4096
    pair.client.transport.write(content)
    pair.pump(1 << 20)
    held = len(pair.server.data)
    assert 0 < held < len(content)
    assert pair.raw[1].paused
    pair.server.hold_at = None
    pair.server.transport.resumeProducing()
    pair.pump(1 << 20)
    assert bytes(pair.server.data) == content


def test_a_polite_end_is_clean_at_both_ends(pair):
    """close_notify goes both ways, behind everything that was written."""
    pair.begin()
    pair.pump()
    pair.client.transport.write(b"last words")
    pair.client.transport.loseConnection()
    pair.client.transport.write(b"too late")
    pair.pump()
    assert bytes(pair.server.data) == b"last words"
    assert isinstance(pair.server.reason, ConnectionDone)
    assert isinstance(pair.client.reason, ConnectionDone)


def test_what_comes_behind_our_end_is_dropped(pair):
    """It is read, so that it does not turn our last words into a reset."""
    pair.begin()
    pair.pump()
    pair.client.transport.loseConnection()
    pair.server.transport.write(b"unheard")
    pair.pump()
    assert not pair.client.data
    assert isinstance(pair.client.reason, ConnectionDone)


def test_an_end_before_the_handshake(pair):
    """Nothing to say, nobody to say it to."""
    pair.begin()
    pair.client.transport.loseConnection()
    pair.pump()
    assert pair.client.reason is not None
    assert not pair.client.shaken


def test_a_cut_is_no_polite_end(pair):
    """The reason is the raw transport's."""
    pair.begin()
    pair.pump()
    pair.raw[1].lost(ConnectionLost)
    assert isinstance(pair.server.reason, ConnectionLost)
    pair.client.transport.abortConnection()
    assert pair.raw[0].closing


@pytest.mark.parametrize("at", [0, 5, 20])
def test_a_flipped_bit_ends_the_connection(pair, at):
    """In a record's header or in its content: nothing of it is handed out."""
    pair.begin()
    pair.pump()
    pair.client.transport.write(b"content" * 10)
    record = bytearray(pair.raw[0].out)
    record[at] ^= 1
    pair.raw[0].out.clear()
    pair.raw[1].protocol.dataReceived(bytes(record))
    assert not pair.server.data
    assert pair.raw[1].closing
    pair.raw[1].lost(ConnectionLost)
    assert isinstance(pair.server.reason, SSL.Error)


def test_something_else_than_tls(pair):
    """The handshake fails, and the peer gets OpenSSL's alert."""
    pair.server.transport.begin(b"GET / HTTP/1.0\r\n\r\n" * 10)
    assert pair.raw[1].closing
    pair.raw[1].lost(ConnectionDone)
    assert isinstance(pair.server.reason, SSL.Error)
    assert not pair.server.shaken


def test_a_certificate_of_somebody_else(pair):
    """What Twisted's check says is the reason that the protocol hears."""
    pair.begin()
    pair.pump()
    wrong = ValueError("another's")
    pair.client.transport.failVerification(Failure(wrong))
    pair.raw[0].lost(ConnectionLost)
    assert pair.client.reason is wrong


def test_no_line_without_a_socket(pair):
    """Over any other transport content goes the ordinary way."""
    pair.begin()
    pair.pump()
    assert pair.client.transport.line() is None


def test_what_tcp_can_do_is_asked_of_tcp(pair):
    """And half an end is a whole one."""
    raw, secure = pair.raw[0], pair.client.transport
    kept = {}
    for option in ("TcpNoDelay", "TcpKeepAlive"):
        setattr(raw, f"set{option}", lambda on, option=option: kept.update({option: on}))
        setattr(raw, f"get{option}", lambda option=option: kept[option])
    secure.setTcpNoDelay(True)
    secure.setTcpKeepAlive(False)
    assert kept == {"TcpNoDelay": True, "TcpKeepAlive": False}
    assert (secure.getTcpNoDelay(), secure.getTcpKeepAlive()) == (True, False)
    pair.begin()
    pair.pump()
    secure.loseWriteConnection()
    pair.pump()
    assert isinstance(pair.server.reason, ConnectionDone)
    assert isinstance(pair.client.reason, ConnectionDone)
