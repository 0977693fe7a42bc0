"""Jsonftp's client in memory: what it sends byte by byte, and servers that misbehave."""

import hashlib
import io
import json

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from twisted_xfer.errors import (
    ConnectionLost,
    DigestMismatch,
    LoginFailed,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
    TimedOut,
)
from twisted_xfer.protocols.jsonftp import log_in
from twisted_xfer.protocols.jsonftp.client import LAST_WORD
from twisted_xfer.streams.drain import PAUSE, WITHIN
from twisted_xfer.testing.clients import MemoryEndpoint, Outcome, feed

DATA = b'{"data": 1}1{'
MD5 = hashlib.md5(DATA).hexdigest()


def status(code, **more):
    return json.dumps({"status_code": code, "status_msg": "text", **more}).encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def begun(clock):
    """A session, and the server's hands."""
    endpoint = MemoryEndpoint()
    outcome = Outcome(log_in(endpoint, "alice", "secret", clock, within=20))
    sent = json.loads(endpoint.server.received())
    assert sent == {"action": "auth", "username": "alice", "password": "secret"}
    feed(endpoint.server, status(254), 1)
    return outcome.result, endpoint.server


@pytest.mark.parametrize(
    ("code", "kind"), [(253, LoginFailed), (252, LoginFailed), (999, RemoteProtocolError)]
)
def test_a_login_that_fails(clock, code, kind):
    """By its code; the connection is dropped."""
    endpoint = MemoryEndpoint()
    outcome = Outcome(log_in(endpoint, "alice", "secret", clock))
    feed(endpoint.server, status(code), 5)
    assert outcome.error is kind
    assert endpoint.server.ended == "aborted"
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("cuts", [1, 4, 1000])
def test_get(begun, cuts):
    """A file that looks like objects, with its digest glued or apart."""
    session, server = begun
    got = []
    outcome = Outcome(session.get("f", got.append))
    assert json.loads(server.received()) == {"action": "get", "filename": "f", "md5": True}
    feed(server, status(257, file_size=len(DATA)), cuts)
    assert server.received() == b"1"
    feed(server, DATA + status(258, md5=MD5), cuts)
    assert outcome.result == len(DATA)
    assert b"".join(got) == DATA


def test_get_from_a_breakpoint(begun):
    """The size is the whole one, the bytes are the rest."""
    session, server = begun
    got = []
    outcome = Outcome(session.get("f", got.append, offset=8, md5=False))
    assert json.loads(server.received()) == {"action": "breakpoint", "filename": "f", "breakpoint": 8}
    feed(server, status(257, file_size=len(DATA)), 1000)
    feed(server, DATA[8:], 1)
    assert (outcome.result, b"".join(got)) == (len(DATA), DATA[8:])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(256), NotFound),
        (status(260), QuotaExceeded),
        (status(257), RemoteProtocolError),
        (b"[]", RemoteProtocolError),
        (b"no JSON", RemoteProtocolError),
        (status(257, file_size=len(DATA)) + DATA + status(258, md5="0" * 32), DigestMismatch),
    ],
)
def test_a_get_that_fails(begun, answer, kind):
    """By code, size, shape and digest."""
    session, server = begun
    outcome = Outcome(session.get("f", lambda data: None))
    feed(server, answer, 1000)
    assert outcome.error is kind


def put(session, server, clock, **more):
    outcome = Outcome(session.put("f", len(DATA), io.BytesIO(DATA).read, **more))
    assert json.loads(server.received()) == {"action": "put", "filename": "f", "md5": True}
    clock.advance(WITHIN + PAUSE)
    assert json.loads(server.received())["file_size"] == len(DATA)
    return outcome


@pytest.mark.parametrize(
    ("word", "result"), [(b"done", True), (b"md5 false", DigestMismatch), (b"", False), (status(900), True)]
)
def test_put(begun, clock, word, result):
    """Both objects apart, the file after the go-on, its digest apart from it; the last word or none."""
    session, server = begun
    outcome = put(session, server, clock)
    feed(server, b"1", 1)
    clock.advance(WITHIN + PAUSE)
    sent = server.received()
    assert sent.startswith(DATA)
    assert json.loads(sent[len(DATA) :])["md5"] == MD5
    feed(server, word, 1)
    clock.advance(LAST_WORD)
    if result is DigestMismatch:
        assert outcome.error is DigestMismatch
    else:
        assert outcome.result is result


def test_a_put_that_is_refused(begun, clock):
    """An object in place of the go-on."""
    session, server = begun
    outcome = put(session, server, clock)
    feed(server, status(260), 3)
    assert outcome.error is QuotaExceeded


@pytest.mark.parametrize("cuts", [1, 1000])
def test_ls_and_cd(begun, cuts):
    """A bare list; a code."""
    session, server = begun
    outcome = Outcome(session.ls())
    assert json.loads(server.received()) == {"action": "ls"}
    feed(server, b'["a", "b"]', cuts)
    assert outcome.result == ["a", "b"]
    outcome = Outcome(session.cd("d"))
    assert json.loads(server.received()) == {"action": "cd", "path": "d"}
    feed(server, status(259), cuts)
    assert outcome.result is None


def test_the_end_of_the_connection(begun, clock):
    """Lost, or silent."""
    session, server = begun
    outcome = Outcome(session.ls())
    server.hang_up()
    assert outcome.error is ConnectionLost
    endpoint = MemoryEndpoint()
    outcome = Outcome(log_in(endpoint, "alice", "secret", clock, within=20))
    clock.advance(20)
    assert outcome.error is TimedOut
    assert isinstance(fail(error.ConnectionDone()).addErrback(lambda _: None), Deferred)
