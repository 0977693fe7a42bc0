"""What the small protocols share: the wait for the queue, the account of a listener, limits on speed."""

import socket

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_xfer.errors import TLSRequired
from twisted_xfer.interfaces import Expected, LoginContext, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.streams import drained, kernel_queue
from twisted_xfer.streams.drain import PAUSE, SHORTEST, WITHIN
from twisted_xfer.streams.stream import WireStream
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import Transport


class Pulled(Transport):
    """A stream that asks pull producers as Twisted's do: at once, and when its buffer is empty."""

    def registerProducer(self, producer, streaming):
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()


def test_the_wait_ends_after_the_queue_is_empty():
    """Buffer, then the kernel's queue, then a moment."""
    clock, transport, left = Clock(), Pulled(), [7, 3, 0]
    done = []
    drained(transport, b"x", clock, lambda _transport: left.pop(0)).addCallback(done.append)
    assert transport.take() == b"x"
    assert len(left) == 3
    transport.producer.resumeProducing()
    assert transport.producer is None
    assert left == [3, 0]
    clock.pump([SHORTEST, SHORTEST * 2])
    assert (left, done) == ([], [])
    clock.advance(PAUSE)
    assert done == [None]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(("seconds", "over"), [(WITHIN - 0.01, False), (WITHIN, True)])
def test_the_wait_is_bounded(seconds, over):
    """A peer that acknowledges nothing."""
    clock, transport = Clock(), Pulled()
    done = []
    drained(transport, b"x", clock, lambda _transport: 1).addCallback(done.append)
    transport.producer.resumeProducing()
    clock.pump([seconds - 1, 1])
    assert bool(done) is over


def test_cancelling_leaves_nothing():
    """No timer and no producer."""
    clock, transport = Clock(), Pulled()
    waiting = drained(transport, b"x", clock, lambda _transport: 1)
    waiting.addErrback(lambda _failure: None)
    waiting.cancel()
    assert clock.getDelayedCalls() == []
    assert transport.producer is None


def test_the_kernels_queue():
    """What the other side has not got; nothing where there is no socket."""
    one, two = socket.socketpair()
    with one, two:
        transport = type("T", (), {"getHandle": lambda _self: one})()
        assert kernel_queue(transport) == 0
    assert kernel_queue(transport) == 0
    assert kernel_queue(object()) == 0


class Slow:
    """Ten bytes a second."""

    def __init__(self, clock):
        self.clock, self.taken = clock, 0

    def take(self, wanted):
        granted = min(wanted, int(self.clock.seconds() * 10) + 10 - self.taken)
        self.taken += granted
        return granted

    def give_back(self, unused):
        self.taken -= unused

    def delay(self):
        return 1.0


def stream(clock):
    made = WireStream(clock, 0)
    transport = Transport()
    transport.protocol = made
    made.makeConnection(transport)
    return made, transport


def test_sending_keeps_to_a_limit():
    """Ten at once, then ten a second."""
    clock = Clock()
    made, transport = stream(clock)
    data = bytes(25)
    done = []
    Deferred.fromCoroutine(made.send_bytes(lambda size: data[:size], 25, Slow(clock))).addCallback(
        done.append
    )
    assert len(transport.take()) == 10
    clock.advance(1)
    assert len(transport.take()) == 10
    clock.advance(1)
    assert (len(transport.take()), done) == (5, [None])


def test_storing_keeps_to_a_limit():
    """And all of it arrives."""
    clock, host = Clock(), MemoryHost()
    made, _ = stream(clock)
    home = host.storage.view("/alice", owner="alice", create=True)
    upload = home.open_write(VirtualPath.parse(b"/f"), WriteIntent())
    done = []
    Deferred.fromCoroutine(made.store(upload, bytes(25), Slow(clock))).addCallback(done.append)
    assert upload.offset == 10
    clock.advance(1)
    assert upload.offset == 20
    clock.advance(1)
    assert (upload.offset, done) == (25, [None])
    assert upload.commit(Expected(size=25)).size == 25


def test_a_listeners_account_needs_no_password_but_tls_where_that_is_demanded():
    """The seam that push and fetch use."""
    host = MemoryHost()
    entered = []
    host.login.trusted("alice", LoginContext("push", "s1", "192.0.2.1")).addCallback(entered.append)
    assert entered[0].username == "alice"
    assert host.recorder.of("login.ok")[0].protocol == "push"
    entered[0].logout()
    host.login._require_tls = True
    with pytest.raises(TLSRequired):
        host.login.trusted("alice", LoginContext("push", "s2", "192.0.2.1"))
    assert host.recorder.of("login.failed")[0].fields["code"] == "tls_required"
    assert host.limits.held == 0
