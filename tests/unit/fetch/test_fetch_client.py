"""Fetch's client in memory: what it sends byte by byte, and servers that misbehave."""

import hashlib

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

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
from twisted_xfer.testing.clients import MemoryEndpoint, Outcome, feed

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
    clock, endpoint = Clock(), MemoryEndpoint()
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
    clock, endpoint = Clock(), MemoryEndpoint()
    outcome, _ = fetch(clock, endpoint)
    feed(sized(clock, endpoint), sent, 7)
    assert outcome.error is kind


def test_ends_that_come_too_early():
    """Before the size it is a missing file, later a cut one; silence is neither."""
    clock, endpoint = Clock(), MemoryEndpoint()
    outcome, _ = fetch(clock, endpoint)
    endpoint.server.hang_up()
    assert outcome.error is NotFound
    endpoint = MemoryEndpoint()
    outcome, _ = fetch(clock, endpoint)
    endpoint.server.transport.abortConnection()
    assert outcome.error is ConnectionLost
    endpoint = MemoryEndpoint()
    outcome, _ = fetch(clock, endpoint)
    server = sized(clock, endpoint)
    feed(server, DATA[:4], 4)
    server.hang_up()
    assert outcome.error is Truncated
    endpoint = MemoryEndpoint()
    outcome, _ = fetch(clock, endpoint)
    clock.advance(20)
    assert outcome.error is TimedOut
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("answer", [fail(error.ConnectionRefusedError()), Deferred()])
def test_no_connection(answer):
    """Refused, or never made."""
    answer.addErrback(lambda failure: failure)
    clock = Clock()
    outcome, _ = fetch(clock, MemoryEndpoint(answer))
    clock.advance(20)
    assert outcome.error in {ConnectionLost, TimedOut}
