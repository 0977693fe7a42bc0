"""What parent and worker tell each other, without a process."""

import json
import os
import signal

import pytest
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from twisted_xfer.app import load
from twisted_xfer.app.explain import warnings
from twisted_xfer.app.workers.child import MAX_TOLD, read_told
from twisted_xfer.app.workers.parent import FIRST_SOCKET, KILL_AFTER, STATUS, WorkerGroup, check_shareable
from twisted_xfer.errors import ConfigError


@pytest.mark.parametrize("endpoint", ["ssl:1:privateKey=k", "unix:/run/x", "systemd:domain=INET:index=0"])
def test_places_that_cannot_be_shared(endpoint):
    """The remedy names the place."""
    config = load.parse({"workers": 2, "listen": ["ftp=tcp:1", f"ftp={endpoint}"]})
    with pytest.raises(ConfigError) as caught:
        check_shareable(config)
    assert f"ftp={endpoint}" in caught.value.remedy


def test_places_that_can_be_shared():
    """Plain TCP and UDP, both families."""
    check_shareable(load.parse({"workers": 2, "listen": ["a=tcp:1", "a=tcp6:1", "a=udp:1"]}))


def test_rates_and_bans_of_workers_are_told():
    """What holds for all, and what in each process, in numbers."""
    table = {
        "workers": 4,
        "throttle": {"up": 1000, "account_down": 500},
        "accounts": {"bob": {"rate_up": "1K"}},
        "bans": {"after": 5},
    }
    told = "\n".join(warnings(load.parse(table)))
    assert "throttle.up is divided: each of the 4 workers has 250 bytes per second" in told
    assert "throttle.account_down holds in each of the 4 workers: an account may have 2000 bytes per" in told
    assert "accounts.bob.rate_up holds in each of the 4 workers: it may have 4096 bytes per second" in told
    assert "bans.file" in told
    shared = {**table, "bans": {"after": 5, "file": "bans"}}
    assert "bans.file" not in "\n".join(warnings(load.parse(shared)))
    alone = "\n".join(warnings(load.parse({**table, "workers": 1})))
    assert "workers" not in alone
    assert "bans.file" not in alone


def test_limits_are_warned_of():
    """They count in each process alone."""
    config = load.parse({"workers": 2, "limits": {"clients": 10}})
    assert any("in each of the 2 workers" in warning for warning in warnings(config))


def told(data):
    """What read_told makes of ``data`` in a pipe whose other end is closed."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        return read_told(reading)
    finally:
        os.close(reading)


def test_told_is_a_line_of_json():
    """The configuration travels whole."""
    assert told(b'{"workers": 2}\n') == {"workers": 2}


@pytest.mark.parametrize("data", [b"", b'{"workers"', b"[]\n", b"no\n"])
def test_broken_told(data):
    """A parent that died half-way starts nothing."""
    with pytest.raises(ValueError):
        told(data)


def test_told_is_bounded(monkeypatch):
    """A stream without an end is not read for ever."""
    monkeypatch.setattr(os, "read", lambda fd, size: b"x" * size)
    with pytest.raises(ValueError):
        read_told(0)
    assert MAX_TOLD > load.MAX_FILE


@pytest.mark.parametrize(("extra", "good"), [(0, True), (-1, False)])
def test_told_at_the_limit_and_one_past_it(monkeypatch, extra, good):
    """The end of the line counts."""
    line = b'{"workers": 2}\n'
    monkeypatch.setattr("twisted_xfer.app.workers.child.MAX_TOLD", len(line) + extra)
    if good:
        assert told(line) == {"workers": 2}
    else:
        with pytest.raises(ValueError):
            told(line)


class Place:
    def __init__(self, number):
        self.number = number

    def share(self):
        return self.number


class Process:
    def __init__(self):
        self.signals, self.written = [], []

    def writeToChild(self, fd, data):
        self.written.append((fd, data))

    def signalProcess(self, name):
        self.signals.append(name)


class Reactor(Clock):
    def __init__(self):
        super().__init__()
        self.spawned = []
        self.broken = False

    def callWhenRunning(self, function, *args):
        function(*args)

    def spawnProcess(self, protocol, *args, **more):
        if self.broken:
            raise FileNotFoundError(2, "No such file or directory", "/gone/python")
        self.spawned.append((protocol, more))
        protocol.makeConnection(Process())


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda text="", **fields: self.lines.append(text.format(**fields))


@pytest.fixture
def group():
    reactor, log, last = Reactor(), Log(), []
    config = load.parse({"workers": 2, "auth": ["memory:a:b"], "grace": 3})
    made = WorkerGroup(reactor, config, [Place(7), Place(9)], on_last=lambda: last.append(1), log=log)
    made.reactor, made.log, made.last = reactor, log, last
    return made


def test_start_waits_for_all(group):
    """Each child gets the sockets and the whole configuration; it serves when both say so."""
    started = group.start()
    (first, more), (second, _) = group.reactor.spawned
    assert more["childFDs"] == {0: "w", 1: 1, 2: 2, STATUS: "r", FIRST_SOCKET: 7, FIRST_SOCKET + 1: 9}
    ((fd, data),) = first.transport.written
    assert (fd, load.parse(json.loads(data))) == (0, group._config)
    first.childDataReceived(STATUS, b"ready\n")
    assert not started.called
    second.childDataReceived(STATUS, b"ready\n")
    assert started.called


def test_log_file_of_the_children(group):
    """A detached parent has no standard output to share."""
    group.log_file = "/var/log/x"
    group.start()
    ((_, data),) = group.reactor.spawned[0][0].transport.written
    assert json.loads(data)["log"]["file"] == "/var/log/x"


def test_stop_waits_for_all_and_kills_the_late(group):
    """SIGTERM, patience, SIGKILL; who has ended already is left alone."""
    group.start()
    (first, _), (second, _) = group.reactor.spawned
    first.processEnded(Failure(ProcessTerminated(9)))
    assert group.log.lines[0].startswith("xfer: worker 1 has ended: ")
    stopped = group.stop()
    assert (first.transport.signals, second.transport.signals) == ([], ["TERM"])
    group.hurry()
    group.reload()
    group.reactor.advance(3 + KILL_AFTER)
    assert second.transport.signals == ["TERM", signal.SIGUSR1, "HUP", "KILL"]
    assert not stopped.called
    second.processEnded(Failure(ProcessDone(0)))
    assert stopped.called
    assert group.last == []


def test_stop_in_time_leaves_no_timer(group):
    """Nobody is killed who ended by request."""
    group.start()
    stopped = group.stop()
    for child, _ in group.reactor.spawned:
        child.processEnded(Failure(ProcessDone(0)))
    assert stopped.called
    assert group.reactor.getDelayedCalls() == []
    assert group.last == []
    assert group.stop().called


def test_last_one_ends_the_daemon(group):
    """When all have died by themselves, and not before."""
    started = group.start()
    (first, _), (second, _) = group.reactor.spawned
    first.processEnded(Failure(ProcessTerminated(1)))
    assert group.last == []
    second.processEnded(Failure(ProcessDone(0)))
    assert group.last == [1]
    assert started.called


def test_one_that_dies_is_replaced(group):
    """With the same sockets and configuration, after a delay that grows while its successors die soon."""
    group.start()
    first, second = group.reactor.spawned
    first[0].childDataReceived(STATUS, b"ready\n")
    second[0].childDataReceived(STATUS, b"ready\n")
    for delay in (1, 2, 4, 8, 16, 32, 60, 60):
        child, more = group.reactor.spawned[-1 if len(group.reactor.spawned) > 2 else 0]
        child.childDataReceived(STATUS, b"ready\n")
        child.processEnded(Failure(ProcessTerminated(9)))
        before = len(group.reactor.spawned)
        group.reactor.advance(delay - 0.5)
        assert len(group.reactor.spawned) == before
        group.reactor.advance(0.5)
        assert len(group.reactor.spawned) == before + 1
        again, more_again = group.reactor.spawned[-1]
        assert (again.number, more_again["childFDs"]) == (1, more["childFDs"])
        assert again.transport.written == child.transport.written
    again.processEnded(Failure(ProcessTerminated(1)))
    group.reactor.advance(60)
    assert group.reactor.spawned[-1][0] is not again, "a successor is replaced even if it never served"
    again = group.reactor.spawned[-1][0]
    group.reactor.advance(61)
    again.childDataReceived(STATUS, b"ready\n")
    again.processEnded(Failure(ProcessTerminated(9)))
    group.reactor.advance(1)
    assert group.reactor.spawned[-1][0] is not again
    assert group.last == []


def test_one_that_never_served_is_not_replaced(group):
    """What its start has against it would meet the next one too."""
    group.start()
    group.reactor.spawned[0][0].processEnded(Failure(ProcessTerminated(1)))
    assert group.reactor.getDelayedCalls() == []


def test_none_can_be_made(group):
    """A line for each with the reason, and the daemon ends before anybody believes that it serves."""
    group.reactor.broken = True
    order = group.last
    group.start().addCallback(lambda _: order.append("started"))
    group.reactor.advance(0)
    assert order == [1, "started"]
    reason = "cannot be started: No such file or directory: /gone/python"
    assert group.log.lines == [
        f"xfer: worker 1 {reason}",
        f"xfer: worker 2 {reason}",
        "xfer: no worker is left",
    ]
    assert group.reactor.getDelayedCalls() == []


def test_one_that_cannot_be_made_anew_is_tried_again(group):
    """Ever later, as if it had died, while the others serve."""
    group.start()
    for child, _ in group.reactor.spawned:
        child.childDataReceived(STATUS, b"ready\n")
    group.reactor.spawned[0][0].processEnded(Failure(ProcessTerminated(9)))
    group.reactor.broken = True
    for delay in (1, 2, 4):
        before = len(group.log.lines)
        group.reactor.advance(delay - 0.5)
        assert len(group.log.lines) == before
        group.reactor.advance(0.5)
        told, reason = group.log.lines[before:]
        assert told == "xfer: worker 1 is started anew"
        assert reason.startswith("xfer: worker 1 cannot be started: No such file")
    group.reactor.broken = False
    group.reactor.advance(8)
    assert [child.number for child, _ in group.reactor.spawned] == [1, 2, 1]
    assert group.last == []


def test_stop_before_it_is_known_that_none_can_be_made(group):
    """They are waited for no longer than that, and nobody is tried again."""
    group.reactor.broken = True
    group.start()
    stopped = group.stop()
    assert not stopped.called
    group.reactor.advance(0)
    assert stopped.called
    assert group.reactor.getDelayedCalls() == []
    assert group.last == []


def test_nobody_is_replaced_during_a_stop(group):
    """Nor after the last one died: no timer is left."""
    group.start()
    (first, _), (second, _) = group.reactor.spawned
    for child in (first, second):
        child.childDataReceived(STATUS, b"ready\n")
    first.processEnded(Failure(ProcessTerminated(9)))
    stopped = group.stop()
    second.processEnded(Failure(ProcessDone(0)))
    assert stopped.called
    assert group.reactor.getDelayedCalls() == []


def test_nobody_is_replaced_after_the_last(group):
    """The daemon ends."""
    group.start()
    for child, _ in group.reactor.spawned:
        child.childDataReceived(STATUS, b"ready\n")
    for child, _ in group.reactor.spawned:
        child.processEnded(Failure(ProcessTerminated(9)))
    assert group.last == [1]
    assert group.reactor.getDelayedCalls() == []
