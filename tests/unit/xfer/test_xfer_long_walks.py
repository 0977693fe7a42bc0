"""Trees in which a receiver wants nothing: however large they are, others have their turn."""

import os

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from xfer_pipes import local_net
from xfer_raw import Raw

from twisted_xfer.interfaces import Account
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer import storage_tree as module
from twisted_xfer.protocols.xfer.choosing import Chosen
from twisted_xfer.protocols.xfer.storage_tree import STEPS_PER_TURN, StorageSource
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.storage.local import LocalStorage

NOTHING = Chosen(include=(b"no such name",))


@pytest.fixture
def make(tmp_path):
    """A source over a directory of so many files, of which none is wanted."""

    def make(count):
        (tmp_path / "top").mkdir()
        for number in range(count):
            (tmp_path / "top" / f"file{number}").touch()
        clock = Clock()
        return StorageSource(LocalStorage(str(tmp_path)), VirtualPath((b"top",)), clock, NOTHING), clock

    return make


@pytest.mark.parametrize(("count", "turns"), [(STEPS_PER_TURN - 2, 0), (STEPS_PER_TURN + 1, 1)])
def test_others_have_their_turn(make, count, turns):
    """So many steps in one turn, and the rest in another."""
    source, clock = make(count)
    offers = []
    Deferred.fromCoroutine(source.next()).addCallback(offers.append)
    for _ in range(turns):
        assert not offers
        clock.advance(0)
    assert [offer.path for offer in offers] == [b"top"]
    assert clock.getDelayedCalls() == []
    source.close()


def test_closing_ends_a_walk(make):
    """Nobody wants the next offer any more."""
    source, clock = make(3 * STEPS_PER_TURN)
    offers = []
    Deferred.fromCoroutine(source.next()).addCallback(offers.append)
    source.close()
    clock.advance(0)
    assert offers == [None]
    assert clock.getDelayedCalls() == []


def test_links_that_fork_keep_nobody_waiting(tmp_path, monkeypatch):
    """Sixty directories, each with two links to the next, are a tree without end: a GET of it ends with its line."""
    waiting = []
    monkeypatch.setattr(
        module, "deferLater", lambda _clock, _delay: waiting.append(Deferred()) or waiting[-1]
    )
    net = local_net(tmp_path, accounts={"alice": Account("alice")})
    home = tmp_path / "alice"
    for number in range(60):
        (home / f"d{number}").mkdir()
        for link in ("a", "b"):
            os.symlink(f"../d{number + 1}", home / f"d{number}" / link)
    peer = Raw(net).log_in("receive")
    peer.heard()
    peer.say(m.Get(stream=1, path=b"d0", include=("no such name",)))
    for turn in range(20):
        assert len(waiting) == turn + 1
        waiting[-1].callback(None)
    assert peer.heard() == []
    peer.line.cut()
    waiting[-1].callback(None)
    assert len(waiting) == 21
    net.close_clean()


def test_names_that_are_not_told_keep_nobody_waiting(tmp_path):
    """LIST of a directory whose names the protocol does not carry takes turns as well."""
    net = local_net(tmp_path, accounts={"alice": Account("alice")})
    for number in range(250):
        (tmp_path / "alice" / f"odd\n{number}").touch()
    peer = Raw(net).log_in("receive")
    peer.heard()
    peer.say(m.List(stream=1, path=b""))
    assert peer.heard() == []
    net.host.clock.advance(0)
    net.pump()
    assert [(type(one).__name__, one.entries) for one in peer.heard()] == [("EndOfOffer", 0)]
    net.close_clean()
