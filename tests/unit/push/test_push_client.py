"""Push's client in memory: what it sends byte by byte, and servers that misbehave."""

import io

import pytest
from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from twisted_xfer.errors import ConnectionLost, LocalProtocolError, SourceChanged, TimedOut
from twisted_xfer.protocols.push import send
from twisted_xfer.streams.client import HANDSHAKE
from twisted_xfer.streams.drain import PAUSE, WITHIN
from twisted_xfer.testing.clients import MemoryEndpoint, Outcome


class HalfEndpoint(MemoryEndpoint):
    """Its transport can be closed in one direction, which means nothing in memory."""

    def connect(self, protocolFactory):
        connected = super().connect(protocolFactory)
        if self.server is not None:
            self.server.transport.loseWriteConnection = lambda: None
        return connected


def push(endpoint, clock, data=b"hello", size=None, **more):
    size = len(data) if size is None else size
    return Outcome(send(endpoint, b"f", size, io.BytesIO(data).read, clock, within=20, **more))


def test_the_header_goes_out_alone():
    """The file only when the queue has emptied, or the wait for that is over."""
    clock, endpoint = Clock(), HalfEndpoint()
    endpoint_outcome = push(endpoint, clock, queued=lambda _transport: 1)
    server = endpoint.server
    assert server.received() == b"f<SEPARATOR>5"
    clock.advance(WITHIN - 0.01)
    assert server.received() == b""
    clock.advance(PAUSE)
    assert server.received() == b"hello"
    server.hang_up()
    assert endpoint_outcome.result is None
    assert clock.getDelayedCalls() == []


def test_a_receiver_that_resets_has_not_taken_it():
    """After the header, and after the file."""
    for wait in (0, WITHIN + PAUSE):
        clock, endpoint = Clock(), HalfEndpoint()
        outcome = push(endpoint, clock)
        clock.advance(wait)
        endpoint.server.transport.abortConnection()
        assert outcome.error is ConnectionLost
        assert clock.getDelayedCalls() == []


class TLSEndpoint(MemoryEndpoint):
    """Its connection says that it is one in TLS, which the test has to make."""

    def connect(self, protocolFactory):
        connected = super().connect(protocolFactory)
        alsoProvides(self.server.transport, ISSLTransport)
        return connected


def test_tls_comes_first():
    """Nothing is written before it is there, and then everything as ever."""
    clock, endpoint = Clock(), TLSEndpoint()
    push(endpoint, clock)
    assert endpoint.server.received() == b""
    endpoint.server.protocol.handshakeCompleted()
    assert endpoint.server.received() == b"f<SEPARATOR>5"
    assert IHandshakeListener.providedBy(endpoint.server.protocol)


def test_no_answer_in_tls():
    """A port without may wait for ever for the end of what it takes for a name: that is told sooner."""
    clock, endpoint = Clock(), TLSEndpoint()
    outcome = push(endpoint, clock)
    clock.advance(HANDSHAKE - 0.01)
    assert outcome.result is outcome
    clock.advance(0.01)
    assert outcome.error is TimedOut
    assert "in TLS" in outcome.result.value.detail
    assert endpoint.server.ended == "aborted"
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("reason", "detail"),
    [
        (error.ConnectionLost(), "the connection broke before TLS was there: it may be a port without"),
        (error.ConnectionDone(), "the connection was closed before TLS was there: it may be a port without"),
        (SSL.Error([("SSL routines", "", "wrong version number")]), "TLS failed: wrong version number"),
    ],
)
def test_an_end_instead_of_tls(reason, detail):
    """Whichever way the other side ends it."""
    clock, endpoint = Clock(), TLSEndpoint()
    outcome = push(endpoint, clock)
    endpoint.server.protocol.connectionLost(Failure(reason))
    assert outcome.error is ConnectionLost
    assert outcome.result.value.detail == detail
    assert clock.getDelayedCalls() == []


def test_silence_ends():
    """A receiver that never closes."""
    clock, endpoint = Clock(), HalfEndpoint()
    outcome = push(endpoint, clock)
    clock.advance(WITHIN + PAUSE)
    clock.advance(20)
    assert outcome.error is TimedOut
    assert endpoint.server.ended == "aborted"


def test_a_file_that_got_shorter_is_not_sent_as_whole():
    """The connection is cut, so that no size fits."""
    clock, endpoint = Clock(), HalfEndpoint()
    outcome = push(endpoint, clock, size=6)
    clock.advance(WITHIN + PAUSE)
    assert outcome.error is SourceChanged
    assert endpoint.server.ended == "aborted"


@pytest.mark.parametrize("answer", [fail(error.ConnectionRefusedError()), Deferred()])
def test_no_connection(answer):
    """Refused, or never made."""
    answer.addErrback(lambda failure: failure)
    clock = Clock()
    outcome = push(HalfEndpoint(answer), clock)
    clock.advance(20)
    assert outcome.error in {ConnectionLost, TimedOut}


@pytest.mark.parametrize("name", [b"a<SEPARATOR>b", b"\x16\x03\x01"])
def test_a_bad_name_is_not_tried(name):
    """Before any connection is made."""
    outcome = Outcome(send(HalfEndpoint(), name, 0, io.BytesIO().read, Clock()))
    assert outcome.error is LocalProtocolError
