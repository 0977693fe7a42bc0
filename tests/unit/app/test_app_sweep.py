"""The sweeper: at the start, each hour, in a pool, bounded, and silent about nothing that matters."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from zope.interface import implementer

from twisted_xfer.app import sweep
from twisted_xfer.app.config import Config
from twisted_xfer.app.load import parse
from twisted_xfer.app.sweep import INTERVAL, Sweeper, make_sweeper
from twisted_xfer.errors import Busy
from twisted_xfer.interfaces import IBlocking

NOW = 1_000_000_000.0


@implementer(IBlocking)
class Pool:
    """Works when the test says so."""

    def __init__(self):
        self.calls = []
        self.refuse = False

    def run(self, function, *args, pool="disk"):
        done = Deferred()
        if self.refuse:
            return fail(Busy("disk"))
        self.calls.append(lambda: maybeDeferred(function, *args).chainDeferred(done))
        return done

    def work(self):
        calls, self.calls = self.calls, []
        for call in calls:
            call()
        return len(calls)


class House:
    """A root with parts, a sweeper and its log."""

    def __init__(self, tmp_path, days=1.0, roots=None):
        self.root = tmp_path
        self.clock, self.pool, self.lines = Clock(), Pool(), []
        self.sweeper = Sweeper(
            lambda: [str(tmp_path)] if roots is None else roots,
            days,
            clock=self.clock,
            blocking=self.pool,
            wall_time=lambda: NOW + self.clock.seconds(),
            log=Logger(observer=lambda event: self.lines.append(formatEvent(event))),
        )

    def part(self, name, age):
        path = self.root / f".{name}.0123456789abcdef.xpart"
        path.write_bytes(b"12345")
        os.utime(path, (NOW - age, NOW - age))
        return path


def test_at_the_start_and_each_hour(tmp_path):
    """What is old goes, what becomes old goes later; nothing is done on the reactor's thread."""
    house = House(tmp_path)
    old, young = house.part("old", 86_401), house.part("young", 86_400 - INTERVAL / 2)
    house.sweeper.start()
    assert old.exists(), "before the pool has worked"
    assert house.pool.work() == 1
    assert not old.exists()
    assert young.exists()
    assert house.lines == ["xfer: 1 expired parts removed, 5 bytes"]
    house.clock.advance(INTERVAL - 1)
    assert house.pool.work() == 0
    house.clock.advance(1)
    assert house.pool.work() == 1
    assert not young.exists()
    house.sweeper.stop()
    house.sweeper.stop()
    assert house.clock.getDelayedCalls() == []


def test_never(tmp_path):
    """0 days keep parts for ever."""
    house = House(tmp_path, days=0)
    house.sweeper.start()
    assert house.pool.calls == []
    assert house.clock.getDelayedCalls() == []


def test_a_stop_in_the_middle(tmp_path):
    """Nothing is begun again, and nothing more is removed."""
    house = House(tmp_path)
    old = house.part("old", 90_000)
    house.sweeper.start()
    house.sweeper.stop()
    house.pool.work()
    assert old.exists()
    assert house.clock.getDelayedCalls() == []
    assert house.lines == []


def test_what_goes_wrong_is_told_and_tried_again(tmp_path, monkeypatch):
    """A busy pool, a root that cannot be read, more entries than one sweep looks at; one that is gone is no fault."""
    (tmp_path / "file").write_bytes(b"")
    house = House(tmp_path, roots=[str(tmp_path / "gone"), str(tmp_path / "file"), str(tmp_path)])
    house.pool.refuse = True
    house.sweeper.start()
    assert "no sweep for parts" in house.lines.pop()
    house.pool.refuse = False
    monkeypatch.setattr(sweep, "MOST_ENTRIES", 1)
    house.part("a", 0)
    house.clock.advance(INTERVAL)
    house.pool.work()
    assert house.lines == [
        f"xfer: parts below {tmp_path}/file were not looked for: Not a directory",
        "xfer: only 1 entries were looked at for expired parts",
    ]
    house.sweeper.stop()


def test_roots_behind_the_last_entry_are_left(tmp_path, monkeypatch):
    """A sweep that has looked at all it may begins no other root, and says that it is not whole."""
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        root.mkdir()
        (root / "f").write_bytes(b"")
    house = House(tmp_path, roots=[str(root) for root in roots])
    for most, lines in ((2, []), (1, ["xfer: only 1 entries were looked at for expired parts"])):
        monkeypatch.setattr(sweep, "MOST_ENTRIES", most)
        house.sweeper.start()
        house.pool.work()
        house.sweeper.stop()
        assert house.lines == lines


def test_where_parts_may_be(tmp_path):
    """The root, and homes of accounts elsewhere, once each; no other storage has parts on this disk."""

    class Host:
        clock, blocking, log = Clock(), Pool(), Logger()
        wall_time = staticmethod(lambda: NOW)

    accounts = {"a": {"home": "/other"}, "b": {"home": "/other"}, "c": {"home": f"{tmp_path}/c"}, "d": {}}
    config = parse({"accounts": accounts})
    assert make_sweeper(config, str(tmp_path), [], Host())._roots() == [str(tmp_path), "/other"]
    memory = Config(storage={"plugin": "memory"})
    assert make_sweeper(memory, str(tmp_path), [], Host())._roots() == []
