"""Bans: their table, their file, and what is told of them."""

import os
import sqlite3
import stat

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger

from twisted_xfer.errors import Banned, ConfigError, StorageFailure
from twisted_xfer.runtime import bans as module
from twisted_xfer.runtime import bans_store
from twisted_xfer.runtime.bans import AllowList, Bans
from twisted_xfer.runtime.bans_store import BanStore, Row
from twisted_xfer.runtime.limits import FREE_PER_ADDRESS, HALF_LIFE, Limits

EPOCH = 1_800_000_000.0


class Told:
    """Keeps what is emitted."""

    active = True

    def __init__(self):
        self.events = []

    def emit(self, event_id, **fields):
        self.events.append((event_id, fields))


class Process:
    """What one process of a daemon has; all share the clock on the wall, none the other one."""

    def __init__(self, wall, path="", **settings):
        self.clock = Clock()
        self.clock.advance(settings.pop("up", 0))
        self.told = Told()
        self.forgotten = []
        self.logged = []
        self.bans = Bans(
            self.clock,
            wall_time=lambda: EPOCH + wall.seconds(),
            events=self.told,
            path=str(path) if path else "",
            forget=self.forgotten.append,
            log=Logger(observer=self.logged.append),
            **settings,
        )


@pytest.fixture
def wall():
    return Clock()


def advance(wall, seconds, *processes):
    wall.advance(seconds)
    for process in processes:
        process.clock.advance(seconds)


def test_ban_and_its_end_are_told(wall):
    """Added, held to the last moment, and removed by the first look after it."""
    one = Process(wall)
    one.bans.add("192.0.2.1", 60)
    assert one.told.events == [("ban.added", {"address": "192.0.2.1", "seconds": 60})]
    advance(wall, 59, one)
    assert one.bans.left("192.0.2.1") == 1
    advance(wall, 1, one)
    assert one.bans.left("192.0.2.1") == 0
    assert one.told.events[1:] == [("ban.removed", {"address": "192.0.2.1"})]
    assert one.forgotten == ["192.0.2.1"]
    assert one.bans.current() == []


def test_table_at_its_limit_and_one_past(wall):
    """The oldest ban goes."""
    one = Process(wall, most=2)
    for n in range(2):
        one.bans.add(f"192.0.2.{n}", 60)
    assert len(one.bans.current()) == 2
    one.bans.add("192.0.2.2", 60)
    assert [ban.address for ban in one.bans.current()] == ["192.0.2.1", "192.0.2.2"]


def test_ban_survives_a_restart(wall, tmp_path):
    """What is left of it is counted in time on the wall."""
    before = Process(wall, tmp_path / "bans", up=5)
    before.bans.add("192.0.2.1", 60)
    before.bans.close()
    wall.advance(20)
    after = Process(wall, tmp_path / "bans", up=7000)
    assert after.bans.left("192.0.2.1") == pytest.approx(40)
    assert after.told.events == []


def test_processes_share_bans_and_one_of_them_tells_the_end(wall, tmp_path):
    """One bans for all; whoever sees the end first reports it, and nobody else."""
    one, other = Process(wall, tmp_path / "bans"), Process(wall, tmp_path / "bans", up=100)
    assert other.bans.left("192.0.2.1") == 0
    one.bans.add("192.0.2.1", 60)
    advance(wall, module.POLL_SECONDS, one, other)
    assert other.bans.left("192.0.2.1") == pytest.approx(59)
    advance(wall, 60, one, other)
    assert other.bans.left("192.0.2.1") == 0
    assert one.bans.left("192.0.2.1") == 0
    assert [name for name, _ in one.told.events] == ["ban.added"]
    assert [name for name, _ in other.told.events] == ["ban.removed"]
    assert one.forgotten == other.forgotten == ["192.0.2.1"]


def test_lifted_from_outside(wall, tmp_path):
    """`xfer bans lift` writes the file; the daemon lets in and tells."""
    one = Process(wall, tmp_path / "bans")
    one.bans.add("192.0.2.1", 60)
    tool = BanStore(str(tmp_path / "bans"))
    assert tool.end("192.0.2.1", EPOCH)
    assert not tool.end("192.0.2.1", EPOCH)
    assert not tool.end("192.0.2.2", EPOCH)
    assert tool.rows(EPOCH) == []
    tool.close()
    advance(wall, module.POLL_SECONDS, one)
    assert one.bans.left("192.0.2.1") == 0
    assert one.told.events[-1] == ("ban.removed", {"address": "192.0.2.1"})


def test_lifted_within(wall, tmp_path):
    """Lifting works for a ban of this process and for one of another, once."""
    one, other = Process(wall, tmp_path / "bans"), Process(wall, tmp_path / "bans")
    one.bans.add("192.0.2.1", 60)
    assert other.bans.lift("192.0.2.1")
    assert not other.bans.lift("192.0.2.1")
    assert [name for name, _ in other.told.events] == ["ban.removed"]
    advance(wall, module.POLL_SECONDS, one)
    assert one.bans.left("192.0.2.1") == 0


def test_file_is_for_its_owner_only(wall, tmp_path):
    """Mode 0600, whatever the umask."""
    old = os.umask(0)
    try:
        BanStore(str(tmp_path / "bans")).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "bans").stat().st_mode) == 0o600


def test_rows_at_the_limit_and_one_past(tmp_path, monkeypatch):
    """The file keeps the newest."""
    monkeypatch.setattr(bans_store, "MAX_ROWS", 3)
    monkeypatch.setattr(bans_store, "_TRIM_EVERY", 2)
    store = BanStore(str(tmp_path / "bans"))
    for n in range(5):
        store.put(Row(f"192.0.2.{n}", EPOCH + 60, EPOCH + n, "test"))
    assert [row.address for row in store.rows(EPOCH)] == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    store.close()


@pytest.mark.parametrize("case", ["garbage", "directory"])
def test_file_that_cannot_be_used_harms_nothing(wall, tmp_path, case):
    """It is logged, once in a while; bans hold in this process all the same."""
    path = tmp_path / "bans"
    if case == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"this is no data base, but long enough to be looked at as one" * 20)
    with pytest.raises(StorageFailure):
        BanStore(str(path))
    one = Process(wall, path)
    one.bans.add("192.0.2.1", 60)
    for _ in range(20):
        advance(wall, 1, one)
        assert one.bans.left("192.0.2.1") > 0
    assert len(one.logged) == 1
    advance(wall, 40, one)
    assert one.bans.left("192.0.2.1") == 0
    assert one.told.events[-1][0] == "ban.removed"
    assert len(one.logged) == 2


def test_bans_from_before_are_shared_once_the_file_works(wall, tmp_path):
    """Nothing that was banned meanwhile comes in by the repair."""
    path = tmp_path / "bans"
    path.mkdir()
    one = Process(wall, path)
    one.bans.add("192.0.2.1", 600)
    path.rmdir()
    other = Process(wall, path)
    advance(wall, module.RETRY_SECONDS, one, other)
    assert one.bans.left("192.0.2.1") == 570
    assert other.bans.left("192.0.2.1") == pytest.approx(570)
    assert [name for name, _ in one.told.events + other.told.events] == ["ban.added"]
    assert len(one.logged) == 1


def test_locked_file_is_given_up_soon(wall, tmp_path, monkeypatch):
    """Another program that holds the file does not hold the daemon."""
    monkeypatch.setattr(bans_store, "BUSY_SECONDS", 0.0)
    one = Process(wall, tmp_path / "bans")
    one.bans.add("192.0.2.1", 60)
    holder = sqlite3.connect(tmp_path / "bans", isolation_level=None)
    holder.execute("begin exclusive")
    one.bans.add("192.0.2.2", 60)
    assert one.bans.left("192.0.2.2") == 60
    holder.close()
    assert len(one.logged) == 1


def test_limits_ban_for_all_processes(wall, tmp_path):
    """A neighbour in the /64 is refused by the other process too."""
    clock = Clock()
    settings = {
        "ban_after": 2,
        "ban_file": str(tmp_path / "bans"),
        "wall_time": lambda: EPOCH + clock.seconds(),
    }
    told = Told()
    one, other = Limits(clock, events=told, **settings), Limits(clock, **settings)
    one.failed("2001:db8::1", "a")
    one.failed("2001:db8::2", "b")
    assert told.events == [("ban.added", {"address": "2001:db8::/64", "seconds": 600.0})]
    with pytest.raises(Banned):
        other.admit("2001:db8::3")
    clock.advance(600)
    other.admit("2001:db8::3")
    one.close()
    other.close()


def processes(tmp_path, clock, count, **settings):
    settings = {"ban_file": str(tmp_path / "bans"), "wall_time": lambda: EPOCH + clock.seconds(), **settings}
    return [Limits(clock, **settings) for _ in range(count)]


def test_failures_count_in_all_processes_together(tmp_path):
    """With four workers an address has as many tries as with one."""
    clock = Clock()
    workers = processes(tmp_path, clock, 4, ban_after=6)
    for n in range(5):
        workers[n % 4].failed("192.0.2.1", f"user{n}")
    assert [limits.bans() for limits in workers] == [[]] * 4
    workers[1].failed("192.0.2.1", "user")
    for limits in workers:
        assert [ban.address for ban in limits.bans()] == ["192.0.2.1"]
    clock.advance(600)
    # What led to the ban does not count again.
    workers[2].failed("192.0.2.1", "user")
    assert workers[2].bans() == []
    for limits in workers:
        limits.close()


def test_failures_elsewhere_slow_an_address_down_here(tmp_path):
    """One failure here, after ten elsewhere, is the eleventh."""
    clock = Clock()
    one, other = processes(tmp_path, clock, 2)
    for n in range(FREE_PER_ADDRESS):
        one.failed("192.0.2.1", f"user{n}")
    other.failed("192.0.2.1", "alice")
    assert other.delay("192.0.2.1", "bob") > 0
    assert other.delay("192.0.2.2", "bob") == 0
    one.close()
    other.close()


def test_shared_failures_decay(tmp_path):
    """As those of one process do."""
    clock = Clock()
    one, other = processes(tmp_path, clock, 2, ban_after=3)
    one.failed("192.0.2.1", "a")
    one.failed("192.0.2.1", "a")
    clock.advance(HALF_LIFE * 3)
    other.failed("192.0.2.1", "a")
    other.failed("192.0.2.1", "a")
    assert one.bans() == other.bans() == []
    other.failed("192.0.2.1", "a")
    assert [ban.address for ban in one.bans()] == ["192.0.2.1"]
    one.close()
    other.close()


def test_scores_in_the_file_are_bounded(tmp_path, monkeypatch):
    """The oldest go, and those that have faded."""
    monkeypatch.setattr(bans_store, "MAX_ROWS", 3)
    monkeypatch.setattr(bans_store, "_TRIM_EVERY", 1)
    store = BanStore(str(tmp_path / "bans"))
    for n in range(5):
        assert store.score(f"192.0.2.{n}", EPOCH + n, 60.0) == 1
    # Address 1 is forgotten, address 2 is not.
    assert store.score("192.0.2.4", EPOCH + 4, 60.0) == 2
    assert store.score("192.0.2.1", EPOCH + 5, 60.0) == 1
    assert store.score("192.0.2.4", EPOCH + 64, 60.0) == 2
    store.forget("192.0.2.4")
    assert store.score("192.0.2.4", EPOCH + 64, 60.0) == 1
    store.close()


def test_a_clock_that_goes_back_loses_no_failures(tmp_path):
    """The wall clock may be set; a count is then as it was."""
    store = BanStore(str(tmp_path / "bans"))
    assert store.score("192.0.2.1", EPOCH, 60.0) == 1
    assert store.score("192.0.2.1", EPOCH - 1000, 60.0) == 2
    store.close()


def test_failures_count_here_while_the_file_fails(tmp_path):
    """Each process then goes by its own."""
    (tmp_path / "bans").mkdir()
    (one,) = processes(tmp_path, Clock(), 1, ban_after=2)
    one.failed("192.0.2.1", "a")
    one.failed("192.0.2.1", "a")
    assert [ban.address for ban in one.bans()] == ["192.0.2.1"]


def test_allow_list_at_its_limit_and_one_past(monkeypatch):
    """Many networks are a mistake, as each is compared."""
    monkeypatch.setattr(module, "MAX_ALLOWED", 2)
    assert "10.0.0.1" in AllowList(["10.0.0.1", "::1"])
    assert "fe80::1%eth0" not in AllowList(["10.0.0.1", "::1"])
    assert "/run/socket" not in AllowList(["10.0.0.1"])
    with pytest.raises(ConfigError):
        AllowList(["10.0.0.1"] * 3)
