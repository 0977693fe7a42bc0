"""Push's client in memory: what it sends byte by byte, and servers that misbehave."""

import io

import pytest
from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from twisted_xfer.errors import ConnectionLost, LocalProtocolError, SourceChanged, TimedOut
from twisted_xfer.protocols.push import send
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


def test_a_bad_name_is_not_tried():
    """Before any connection is made."""
    outcome = Outcome(send(HalfEndpoint(), b"a<SEPARATOR>b", 0, io.BytesIO().read, Clock()))
    assert outcome.error is LocalProtocolError
