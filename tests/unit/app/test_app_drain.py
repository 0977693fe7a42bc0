"""Start and stop of the service, in order and with a clock that is turned by hand."""

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from twisted_xfer.app.config import Listen
from twisted_xfer.app.drain import DaemonService
from twisted_xfer.errors import ConfigError


class Port:
    def getHost(self):
        return IPv4Address("TCP", "127.0.0.1", 1)


class FakePlace:
    """A place that writes down what it is told."""

    def __init__(self, calls, name, *, error=None, drained=None, left=0):
        self.listen = Listen(name, "tcp:1")
        self.port = None
        self.calls, self.name, self.error, self.left = calls, name, error, left
        self.drained = drained if drained is not None else succeed(None)

    def bind(self):
        self.calls.append(f"bind {self.name}")
        if self.error is not None:
            return self.error if isinstance(self.error, Deferred) else fail(self.error)
        self.port = Port()
        return succeed(None)

    def unbind(self):
        if self.port is not None:
            self.calls.append(f"unbind {self.name}")
        self.port = None
        return succeed(None)

    def drain(self):
        self.calls.append(f"drain {self.name}")
        return self.drained

    def abort(self):
        self.calls.append(f"abort {self.name}")
        return self.left


class Events:
    active = True

    def __init__(self, calls):
        self.calls = calls

    def emit(self, event_id, **fields):
        self.calls.append(event_id)


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda text="", **fields: self.lines.append(text.format(**fields))


def make(*places, calls, grace=10.0, **more):
    clock, log = Clock(), Log()
    service = DaemonService(
        clock,
        places,
        Events(calls),
        grace=grace,
        on_start=[lambda: calls.append("start")],
        on_stop=[lambda: calls.append("close 1"), lambda: calls.append("close 2")],
        log=log,
        **more,
    )
    return service, clock, log


def test_order():
    """Bind, start, serve; then unbind, drain, abort, and close in reverse order."""
    calls = []
    service, _, log = make(FakePlace(calls, "a"), FakePlace(calls, "b"), calls=calls)
    service.privilegedStartService()
    assert calls == ["bind a", "bind b"]
    service.startService()
    assert calls[2:] == ["start", "daemon.start"]
    assert log.lines == [
        "xfer: a listening on 127.0.0.1:1",
        "xfer: b listening on 127.0.0.1:1",
        "xfer: serving",
    ]
    calls.clear()
    assert service.stopService().called
    assert calls == [
        "daemon.stop",
        "unbind a",
        "unbind b",
        "drain a",
        "drain b",
        "abort a",
        "abort b",
        "close 2",
        "close 1",
    ]


def test_start_without_privileges_binds_too():
    """Somebody who embeds the service need not know of privilegedStartService."""
    calls = []
    service, _, _ = make(FakePlace(calls, "a"), calls=calls)
    service.startService()
    assert calls[0] == "bind a"


def test_one_place_that_is_taken_lets_go_of_all():
    """The error is raised, and nothing stays bound or open."""
    calls = []
    error = ConfigError("listen", remedy="taken")
    service, _, _ = make(FakePlace(calls, "a"), FakePlace(calls, "b", error=error), calls=calls)
    with pytest.raises(ConfigError) as caught:
        service.privilegedStartService()
    assert caught.value is error
    assert calls == ["bind a", "bind b", "unbind a", "close 2", "close 1"]


def test_place_that_fails_late_gives_up():
    """An endpoint that needed time and failed ends the daemon as failed, with a line about it."""
    calls, late = [], Deferred()
    service, clock, log = make(FakePlace(calls, "a", error=late), calls=calls)
    clock.stop = lambda: calls.append("stop")
    service.startService()
    assert not service.failed
    late.errback(ConfigError("listen", value="a=x", remedy="taken"))
    assert calls[-1] == "stop"
    assert service.failed
    assert log.lines[-1] == "xfer: listen = 'a=x': taken"


def test_the_reactor_is_stopped_once():
    """Who is asked to end and then finds that it cannot serve, or the other way round, says so once."""
    calls = []
    service, clock, _ = make(calls=calls)
    clock.stop = lambda: calls.append("stop")
    service.end()
    assert not service.failed
    service.fail()
    service.end()
    assert calls == ["stop"]
    assert service.failed


def test_nobody_says_that_it_serves_who_failed():
    """What the start waited for may come when nobody is left to serve."""
    calls, begun = [], Deferred()
    service, clock, log = make(FakePlace(calls, "a"), calls=calls)
    clock.stop = lambda: None
    service.before(lambda: begun)
    service.startService()
    service.fail()
    begun.callback(None)
    assert log.lines == []


@pytest.mark.parametrize("grace", [10.0, 0.5])
def test_grace_period(grace):
    """Sessions have until the grace period is over, and not longer."""
    calls, never = [], Deferred()
    service, clock, log = make(FakePlace(calls, "a", drained=never, left=2), calls=calls, grace=grace)
    service.startService()
    stopped = service.stopService()
    clock.advance(grace - 0.1)
    assert "abort a" not in calls
    clock.advance(0.1)
    assert "abort a" in calls
    assert stopped.called
    assert "xfer: 2 connections dropped at the stop" in log.lines
    assert not clock.getDelayedCalls()


def test_sessions_that_end_by_themselves_end_the_wait():
    """Nobody waits for the rest of the grace period."""
    calls, drained = [], Deferred()
    service, clock, _ = make(FakePlace(calls, "a", drained=drained), calls=calls)
    service.startService()
    stopped = service.stopService()
    clock.advance(3)
    drained.callback(None)
    assert stopped.called
    assert not clock.getDelayedCalls()


def test_hurry():
    """A second signal ends the grace period; at any other time it is nothing."""
    calls = []
    service, clock, _ = make(FakePlace(calls, "a", drained=Deferred()), calls=calls)
    service.hurry()
    service.startService()
    stopped = service.stopService()
    assert not stopped.called
    service.hurry()
    assert stopped.called
    assert not clock.getDelayedCalls()
    service.hurry()


def test_failing_drain_and_close_hold_up_nothing():
    """What one of them does is no reason not to close the others."""
    calls = []
    service, _, log = make(FakePlace(calls, "a", drained=fail(ValueError("no"))), calls=calls)
    service._on_stop.append(lambda: 1 / 0)
    service.startService()
    assert service.stopService().called
    assert calls[-2:] == ["close 2", "close 1"]
    assert "xfer: closing failed" in log.lines


def test_stop_twice_and_stop_without_start():
    """Neither does anything."""
    calls = []
    service, _, _ = make(FakePlace(calls, "a"), calls=calls)
    assert service.stopService().called
    service.startService()
    service.stopService()
    before = list(calls)
    assert service.stopService().called
    assert calls == before


def test_close_of_what_never_started():
    """--check builds and lets go."""
    calls = []
    service, _, _ = make(FakePlace(calls, "a"), calls=calls)
    service.close()
    assert calls == ["close 2", "close 1"]
