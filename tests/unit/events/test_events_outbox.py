"""The outbox: nothing is lost that a process put there, and nobody waits for who does not take it."""

import json
import os
import stat

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from twisted_xfer.errors import StorageFailure
from twisted_xfer.events import outbox as module
from twisted_xfer.events.bus import EventBus
from twisted_xfer.events.outbox import Courier, Refused
from twisted_xfer.events.outbox_store import OutboxStore
from twisted_xfer.interfaces import Event, IEventListener, IHoldsFile

EPOCH = 1_800_000_000.0


class Site:
    """A courier, its clock, and a receiver that a test speaks for."""

    def __init__(self, path="", clock=None, **settings):
        self.clock = clock or Clock()
        self.under_way = []
        self.got = []
        self.logged = []
        self.fails = None
        self.courier = Courier(
            "test",
            self.clock,
            lambda: EPOCH + self.clock.seconds(),
            self.deliver,
            seconds=10.0,
            path=str(path) if path else "",
            log=Logger(observer=self.logged.append),
            **settings,
        )

    hold = False

    def deliver(self, parcel):
        if self.fails is not None:
            raise self.fails
        if self.hold:
            waiting = Deferred()
            self.under_way.append((parcel, waiting))
            return waiting
        self.got.append(json.loads(parcel.body).get("path"))
        return None

    def tell(self, *paths, event_id="file.delete"):
        for path in paths:
            self.courier.on_event(Event(event_id, EPOCH, fields={"path": path.encode()}))

    def errors(self):
        return [entry["log_format"] for entry in self.logged if entry["log_level"].name == "error"]


def test_interfaces():
    """A listener that lets go at the end."""
    courier = Site().courier
    verifyObject(IEventListener, courier)
    verifyObject(IHoldsFile, courier)


def test_delivered_in_order_and_forgotten():
    """Each once when all goes well."""
    site = Site()
    site.tell("a", "b", "c")
    assert site.got == ["a", "b", "c"]
    assert site.courier.delivered == 3
    assert site.courier._store.count() == 0
    assert site.clock.getDelayedCalls() == []


def test_only_some():
    """What is not asked for is not stored."""
    site = Site(only=frozenset({"file.delete"}))
    site.tell("a", event_id="directory.make")
    site.tell("b")
    assert site.got == ["b"]


def test_one_at_a_time_and_more():
    """No more deliveries at once than allowed, each of another event."""
    for at_once in (1, 3):
        site = Site(at_once=at_once)
        site.hold = True
        site.tell(*"abcde")
        assert len(site.under_way) == at_once
        for _ in range(5):
            site.under_way.pop(0)[1].callback(None)
        assert site.under_way == []
        assert site.courier.delivered == 5


def test_failure_is_tried_again_later_and_later():
    """The pause doubles up to its bound; the first failure is logged, not each."""
    site = Site()
    site.fails = OSError("a secret address")
    site.tell("a")
    pauses = []
    for _ in range(9):
        before, at = site.courier.failures, site.clock.seconds()
        while site.courier.failures == before:
            site.clock.advance(0.5)
            assert site.clock.seconds() - at < 10_000
        pauses.append(site.clock.seconds() - at)
    assert pauses[0] < pauses[3] < pauses[5]
    assert len(site.errors()) == 1
    assert "secret" not in repr(site.logged)
    site.fails = None
    site.clock.pump([60] * 15)
    assert site.got == ["a"]
    assert site.clock.getDelayedCalls() == []


def test_pause_is_bounded_when_nothing_gets_through():
    """A receiver that comes back after hours is found within a minute."""
    site = Site()
    site.fails = OSError()
    for hour in range(4):
        site.tell(f"h{hour}")
        site.clock.pump([60] * 60)
    site.fails = None
    site.tell("new")
    site.clock.advance(module.MAX_PAUSE)
    site.clock.pump([1] * 10)
    assert "new" in site.got


def test_event_that_always_fails_does_not_hold_up_others():
    """They go on after a short pause."""
    site = Site()
    real, poison = site.deliver, []

    def deliver(parcel):
        if b"poison" in parcel.body:
            poison.append(parcel.tries)
            raise OSError
        return real(parcel)

    site.courier._deliver = deliver
    site.tell("poison", "a", "b")
    site.clock.pump([1] * 5)
    assert site.got == ["a", "b"]
    assert poison[:2] == [0, 1]


def test_refused_event_is_dropped():
    """Who says never is not asked again; the log says that one was lost."""
    site = Site()
    site.fails = Refused("the receiver answers 404")
    site.tell("a")
    site.fails = None
    site.tell("b")
    assert site.got == ["b"]
    assert site.courier.lost == 1
    assert len(site.errors()) == 1


def test_age_at_the_limit_and_past_it():
    """An event that nobody takes for a day is given up."""
    site = Site(max_age=100.0)
    site.fails = OSError()
    site.tell("a")
    site.clock.pump([1] * 100)
    assert site.courier._store.count() == 1
    site.clock.pump([1] * 100)
    assert site.courier._store.count() == 0
    assert site.courier.lost == 1


def test_most_at_the_limit_and_one_past():
    """The newest stay."""
    site = Site(most=3)
    site.hold = True
    site.tell("a", "b", "c")
    assert (site.courier.lost, site.courier._store.count()) == (0, 3)
    site.tell("d")
    assert (site.courier.lost, site.courier._store.count()) == (1, 3)
    assert len(site.errors()) == 1


def test_one_that_waits_long_is_not_pushed_out_by_those_that_went():
    """What is bounded is how many wait, not how many came after the oldest."""
    site = Site(most=3)
    site.fails = RuntimeError("down")
    site.tell("first")
    site.fails = None
    site.clock.advance(module.FIRST_DELAY)
    site.tell(*"abcdefgh")
    site.clock.advance(module.MAX_DELAY)
    assert sorted(site.got) == ["a", "b", "c", "d", "e", "f", "first", "g", "h"]
    assert site.courier.lost == 0


def test_survives_a_restart(tmp_path):
    """What was under way or waited when the process was closed, or killed, is delivered by the next."""
    for killed in (False, True):
        path = tmp_path / f"outbox-{killed}"
        before = Site(path)
        before.hold = True
        before.tell("a", "b")
        clock = Clock()
        if killed:
            before.courier._store.close()
        else:
            before.courier.close()
            assert before.clock.getDelayedCalls() == []
        after = Site(path, clock=clock)
        after.courier.start()
        clock.pump([1] * 25)
        assert sorted(after.got) == ["a", "b"]
        after.courier.close()


def test_two_processes_share_one_file(tmp_path):
    """Each event goes to one of them."""
    clock = Clock()
    one, other = Site(tmp_path / "o", clock=clock), Site(tmp_path / "o", clock=clock)
    one.hold = other.hold = True
    one.tell("a", "b")
    other.tell("c")
    assert [json.loads(parcel.body)["path"] for parcel, _ in one.under_way + other.under_way] == ["a", "b"]
    one.under_way.pop()[1].callback(None)
    other.under_way.pop()[1].callback(None)
    clock.advance(1)
    assert [json.loads(parcel.body)["path"] for parcel, _ in one.under_way + other.under_way] == ["c"]
    one.courier.close()
    other.courier.close()


def test_close_twice_and_hear_nothing_more():
    """The end is the end."""
    site = Site()
    site.hold = True
    site.tell("a")
    site.courier.close()
    site.courier.close()
    site.tell("b")
    site.courier.reopen()
    assert len(site.under_way) == 1
    assert site.clock.getDelayedCalls() == []
    assert [entry["left"] for entry in site.logged] == [1]


def test_outbox_that_fails_is_counted_by_the_bus(tmp_path):
    """The emitter notices nothing, and the other listeners hear on."""
    (tmp_path / "o").write_bytes(b"no data base at all " * 100)
    site = Site(tmp_path / "o")
    other = Site()
    bus = EventBus(lambda: EPOCH, log=Logger(observer=lambda _: None))
    bus.add(site.courier, "broken")
    bus.add(other.courier, "good")
    bus.emit("file.delete", path=b"a")
    assert bus.counts()["broken"]["failed"] == 1
    assert bus.counts()["good"]["failed"] == 0
    with pytest.raises(StorageFailure):
        OutboxStore(str(tmp_path / "o"))
    with pytest.raises(StorageFailure):
        OutboxStore(str(tmp_path))


def test_file_is_for_its_owner_only(tmp_path):
    """Mode 0600, its companions too, whatever the umask."""
    old = os.umask(0)
    try:
        store = OutboxStore(str(tmp_path / "o"))
        store.put("k", b"{}", EPOCH)
    finally:
        os.umask(old)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close()


def test_keys_differ():
    """A receiver can tell a second delivery from another event."""
    site = Site(at_once=2)
    site.hold = True
    site.tell("a", "a")
    (one, _), (other, _) = site.under_way
    assert one.key != other.key
