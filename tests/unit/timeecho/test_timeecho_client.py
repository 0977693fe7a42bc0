"""Asking: against our own server, and against servers that misbehave."""

import time

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from twisted_xfer.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from twisted_xfer.protocols.timeecho import TimeEchoOptions, ask, timeecho
from twisted_xfer.testing.host import WALL_TIME, MemoryHost
from twisted_xfer.testing.protocols import connect, pump

STAMP = time.ctime(WALL_TIME).encode()


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects at once to whoever holds ``client``, or answers as it is told."""

    def __init__(self, answer=None):
        self.client = None
        self.answer = answer

    def connect(self, protocolFactory):
        if self.answer is not None:
            return self.answer
        self.client = connect(protocolFactory)
        # connectProtocol's factory gives the protocol itself.
        return succeed(self.client.protocol)


class Outcome:
    """What a Deferred came to."""

    def __init__(self, deferred):
        self.result = None
        deferred.addBoth(self._keep)

    def _keep(self, result):
        self.result = result

    @property
    def error(self):
        return type(self.result.value)


@pytest.fixture
def host():
    return MemoryHost()


def asked(host, endpoint, service="ctime-echo", message=b"hello"):
    return Outcome(ensureDeferred(ask(endpoint, service, message, host.clock)))


@pytest.mark.parametrize(
    ("service", "reply"),
    [("time", STAMP + b"\n"), ("echo", b"hello"), ("ctime-echo", STAMP + b" hello")],
)
def test_our_client_understands_our_server(host, service, reply):
    """Question and reply through memory; nothing is left afterwards."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, service)
    server = connect(timeecho.stream_factory(TimeEchoOptions(service=service), host))
    pump(endpoint.client, server)
    assert outcome.result == reply
    assert endpoint.client.ended == server.ended == "closed"
    assert host.later() == []
    assert host.limits.held == 0


def test_a_reply_in_pieces_is_whole(host):
    """The tutorial's servers reply in as many writes as they like."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, "echo")
    for byte in b"hell":
        endpoint.client.send(bytes([byte]))
    assert outcome.result is None
    endpoint.client.send(b"o")
    assert outcome.result == b"hello"


def test_a_long_reply_is_an_error_and_a_reset(host):
    """A server that talks on is cut off."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, "echo")
    endpoint.client.send(b"hello!")
    assert outcome.error is RemoteProtocolError
    assert endpoint.client.ended == "aborted"
    assert host.later() == []


def test_a_short_reply_is_an_error(host):
    """The end of the stream is not the end of an echo."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, "echo")
    endpoint.client.send(b"hell")
    endpoint.client.hang_up()
    assert outcome.error is RemoteProtocolError
    assert host.later() == []


def test_a_broken_connection_is_told(host):
    """Not the same as a short reply."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, "echo")
    endpoint.client.transport.abortConnection()
    assert outcome.error is ConnectionLost
    assert host.later() == []


@pytest.mark.parametrize(("seconds", "late"), [(9.9, False), (10.0, True)])
def test_a_silent_server_is_waited_for_so_long(host, seconds, late):
    """The deadline covers the whole question."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint)
    host.clock.advance(seconds)
    assert (endpoint.client.ended == "aborted") is late
    if late:
        assert outcome.error is TimedOut


def test_connecting_counts_too(host):
    """An endpoint that never connects is cancelled at the deadline."""
    cancelled = []
    outcome = asked(host, Endpoint(Deferred(cancelled.append)))
    host.clock.advance(10)
    assert outcome.error is TimedOut
    assert len(cancelled) == 1


def test_a_refused_connection_is_told(host):
    """The caller sees one family of errors."""
    outcome = asked(host, Endpoint(fail(error.ConnectionRefusedError())))
    assert outcome.error is ConnectionLost
    assert host.later() == []


def test_cancelling_drops_the_connection(host):
    """Nobody waits, so nothing stays open."""
    endpoint = Endpoint()
    asking = ensureDeferred(ask(endpoint, "echo", b"hello", host.clock))
    asking.addErrback(lambda _failure: None)
    asking.cancel()
    assert endpoint.client.ended == "aborted"
    assert host.later() == []


def test_a_message_that_cannot_be_asked_is_refused_before_connecting(host):
    """No connection is made for it."""
    endpoint = Endpoint()
    outcome = asked(host, endpoint, "echo", b"")
    assert outcome.error is LocalProtocolError
    assert endpoint.client is None
    assert host.later() == []
