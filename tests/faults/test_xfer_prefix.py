"""Large parts are hashed before they are gone on with: that takes minutes, and whoever asked may leave meanwhile."""

import os

import pytest
from twisted.internet.defer import Deferred
from xfer_pipes import local_net
from xfer_raw import Raw

from twisted_xfer.protocols.xfer import prefix
from twisted_xfer.protocols.xfer.content import make_hasher
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import data_header

#: A part of three steps.
STEP, SIZE = 16, 48
CONTENT = bytes(range(SIZE))
OFFER = m.Entry(stream=1, path=b"f", size=2 * SIZE, mtime_ns=1)


class Slow:
    """Threads that are done when a test says so."""

    def __init__(self):
        self.waiting = []

    def run(self, function, *args, pool="disk"):
        self.waiting.append((Deferred(), function, args))
        return self.waiting[-1][0]

    def finish_one(self):
        done, function, args = self.waiting.pop(0)
        done.callback(function(*args))


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.setattr(prefix, "STEP", STEP)
    made = local_net(tmp_path)
    made.slow = Slow()
    yield made
    made.close_clean()


@pytest.fixture
def slowly(net, monkeypatch):
    """From now on threads are slow."""
    return lambda: monkeypatch.setattr(net.host.blocking, "run", net.slow.run, raising=False)


def leave_a_part(net):
    peer = Raw(net).log_in()
    peer.say(OFFER, data_header(1, SIZE) + CONTENT)
    peer.say(m.Segment(stream=1, offset=SIZE, digest=digest_of(CONTENT)))
    net.lines[-1].cut()


def digest_of(content):
    hasher = make_hasher("blake3")
    hasher.update(content)
    return hasher.digest()


def wait(net, peer, seconds):
    """Let time pass while the peer answers and says nothing else."""
    for _ in range(seconds // 10):
        net.host.clock.advance(10)
        peer.say(m.Pong())


def test_hashing_is_not_idling(net, slowly):
    """A part that takes longer to read than a peer may be idle is taken all the same, and the sender hears of it."""
    leave_a_part(net)
    slowly()
    peer = Raw(net).log_in().say(OFFER)
    peer.heard()
    for _ in range(SIZE // STEP):
        wait(net, peer, 100)
        net.slow.finish_one()
        net.pump()
    assert not peer.gone
    *acks, take = [one for one in peer.heard() if not isinstance(one, m.Ping)]
    assert [ack.durable_offset for ack in acks] == [16, 32, 48]
    assert take == m.Take(stream=1, offset=SIZE, prefix_digest=digest_of(CONTENT))


def test_who_leaves_is_not_hashed_for(net, slowly):
    """One step is finished, no other begun; the part can be gone on with at once."""
    leave_a_part(net)
    slowly()
    Raw(net).log_in().say(OFFER)
    net.lines[-1].cut()
    net.slow.finish_one()
    assert not net.slow.waiting
    peer = Raw(net).log_in().say(OFFER)
    assert peer.errors() == []
    assert len(net.slow.waiting) == 1
    peer.say(m.Abort(stream=1))
    net.slow.finish_one()
    assert not net.slow.waiting


@pytest.mark.parametrize(("rate", "seconds"), [(1, 48), (SIZE, 1), (0.001, 3600)])
def test_a_sender_may_hash_its_own(net, monkeypatch, rate, seconds):
    """It is given time for that beside the two minutes of a stall; an hour at most."""
    leave_a_part(net)
    monkeypatch.setattr(prefix, "PATIENCE", rate)
    peer = Raw(net).log_in().say(OFFER)
    wait(net, peer, seconds + 110)
    assert not peer.gone
    wait(net, peer, 40)
    assert peer.gone
    assert "timeout" in peer.errors()


@pytest.mark.parametrize("left", [True, False], ids=["gone", "refused"])
def test_a_receiver_that_leaves(net, tmp_path, slowly, left):
    """A TAKE from far behind costs a sender no more than a step once the receiver is gone or has refused."""
    (tmp_path / "alice/big").write_bytes(os.urandom(100_000))
    peer = Raw(net).log_in(role="receive").say(m.Get(stream=1, path=b"big"))
    slowly()
    peer.say(m.Take(stream=1, offset=90_000, prefix_digest=bytes(32)))
    assert len(net.slow.waiting) == 1
    if left:
        net.lines[-1].cut()
    else:
        peer.say(m.Error(stream=1, code=400, name="no_space"))
    net.slow.finish_one()
    assert not net.slow.waiting
    peer.heard()
