"""Fetch's client in memory: what it sends byte by byte, and servers that misbehave."""

import hashlib

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from twisted_xfer.errors import (
    ConnectionLost,
    DigestMismatch,
    NotFound,
    RemoteProtocolError,
    TimedOut,
    Truncated,
)
from twisted_xfer.protocols.fetch import get
from twisted_xfer.protocols.fetch.client import QUIET
from twisted_xfer.testing.protocols import connect


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects at once to whoever holds ``server``, or answers as it is told."""

    def __init__(self, answer=None):
        self.server = None
        self.answer = answer

    def connect(self, protocolFactory):
        if self.answer is not None:
            return self.answer
        self.server = connect(protocolFactory)
        return succeed(self.server.protocol)


class Outcome:
    """What a coroutine came to."""

    def __init__(self, coroutine):
        self.result = self
        Deferred.fromCoroutine(coroutine).addBoth(self._keep)

    def _keep(self, result):
        self.result = result

    @property
    def error(self):
        return type(self.result.value)


def feed(server, data, cuts):
    """Deliver ``data`` in pieces of ``cuts`` bytes, as long as the client listens."""
    for at in range(0, len(data), cuts):
        if server.ended is None:
            server.protocol.dataReceived(data[at : at + cuts])


DATA = b"12345hello"
MD5 = hashlib.md5(DATA).hexdigest().encode()


def fetch(clock, endpoint, **more):
    got = []
    outcome = Outcome(get(endpoint, b"f", got.append, clock, within=20, **more))
    return outcome, got


def sized(clock, endpoint, size=b"10"):
    """The size came, and silence after it."""
    assert endpoint.server.received() == b"get f"
    feed(endpoint.server, size, 1)
    assert endpoint.server.received() == b""
    clock.advance(QUIET)
    return endpoint.server


@pytest.mark.parametrize("cuts", [1, 3, 10, 11, 100])
def test_a_fetch_however_it_is_cut(cuts):
    """Command, readiness, and what was sent; file and digest merged or split."""
    clock, endpoint = Clock(), Endpoint()
    outcome, got = fetch(clock, endpoint)
    server = sized(clock, endpoint)
    assert server.received() == b"ready to recv file"
    feed(server, DATA + MD5, cuts)
    assert outcome.result == len(DATA)
    assert b"".join(got) == DATA
    assert server.ended == "closed"
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("sent", "kind"),
    [(DATA + b"0" * 32, DigestMismatch), (DATA + b"x" * 32, RemoteProtocolError)],
)
def test_a_wrong_digest(sent, kind):
    """Is no success."""
    clock, endpoint = Clock(), Endpoint()
    outcome, _ = fetch(clock, endpoint)
    feed(sized(clock, endpoint), sent, 7)
    assert outcome.error is kind


def test_ends_that_come_too_early():
    """Before the size it is a missing file, later a cut one; silence is neither."""
    clock, endpoint = Clock(), Endpoint()
    outcome, _ = fetch(clock, endpoint)
    endpoint.server.hang_up()
    assert outcome.error is NotFound
    endpoint = Endpoint()
    outcome, _ = fetch(clock, endpoint)
    endpoint.server.transport.abortConnection()
    assert outcome.error is ConnectionLost
    endpoint = Endpoint()
    outcome, _ = fetch(clock, endpoint)
    server = sized(clock, endpoint)
    feed(server, DATA[:4], 4)
    server.hang_up()
    assert outcome.error is Truncated
    endpoint = Endpoint()
    outcome, _ = fetch(clock, endpoint)
    clock.advance(20)
    assert outcome.error is TimedOut
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("answer", [fail(error.ConnectionRefusedError()), Deferred()])
def test_no_connection(answer):
    """Refused, or never made."""
    answer.addErrback(lambda failure: failure)
    clock = Clock()
    outcome, _ = fetch(clock, Endpoint(answer))
    clock.advance(20)
    assert outcome.error in {ConnectionLost, TimedOut}
