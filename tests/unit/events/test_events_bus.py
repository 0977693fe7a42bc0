"""The bus: order, isolation, bounds, vetoes."""

import inspect

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger, formatEvent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import TimedOut, Vetoed
from twisted_xfer.events import EventBus
from twisted_xfer.events.lane import LOG_EVERY, MAX_WAITING
from twisted_xfer.interfaces import Event, IEventListener, IEvents, IHoldsFile, IVetoListener


@implementer(IEventListener)
class Listener:
    """Keeps what it hears; ``answer`` is called for each event."""

    def __init__(self, answer=lambda _event: None):
        self.heard = []
        self.answer = answer

    def on_event(self, event):
        self.heard.append(event)
        return self.answer(event)

    @property
    def ids(self):
        return [event.id for event in self.heard]


@implementer(IVetoListener)
class Veto(Listener):
    def before(self, event):
        self.heard.append(event)
        return self.answer(event)


@implementer(IEventListener, IHoldsFile)
class Filed(Listener):
    def reopen(self):
        self.heard.append("reopen")

    def close(self):
        self.heard.append("close")


class Logs:
    """Log events, as an observer."""

    def __init__(self):
        self.lines = []
        self.log = Logger(observer=self.lines.append, namespace="test")


@pytest.fixture
def logs():
    return Logs()


def bus_of(logs, *listeners):
    return EventBus(lambda: 12.5, listeners, logs.log)


def broken(_event):
    raise RuntimeError("listener bug")


def test_the_bus_provides_its_interface(logs):
    """Emitters see IEvents."""
    verifyObject(IEvents, bus_of(logs))


def test_an_event_is_made_once_with_all_it_carries(logs):
    """Every listener hears the same object, stamped and complete."""
    one, two = Listener(), Listener()
    bus_of(logs, one, two).emit(
        "upload.publish",
        session="s1",
        protocol="ftp",
        username="alice",
        peer="192.0.2.1",
        transfer="t1",
        path=b"/a",
        size=3,
    )
    assert one.heard == [
        Event("upload.publish", 12.5, "ftp", "s1", "alice", "192.0.2.1", "t1", {"path": b"/a", "size": 3})
    ]
    assert two.heard[0] is one.heard[0]


def test_a_listener_cannot_change_what_others_hear(logs):
    """The fields are read-only, as all listeners share them."""

    def change(event):
        event.fields["path"] = b"/b"

    first, second = Listener(change), Listener()
    bus_of(logs, first, second).emit("file.delete", path=b"/a")
    assert second.heard[-1].fields == {"path": b"/a"}


@pytest.mark.parametrize("verb", ["emit", "ask"])
@pytest.mark.parametrize(("event_id", "fields"), [("no.such", {}), ("file.delete", {"pth": b"/"})])
def test_what_the_catalogue_lacks_is_our_bug_even_when_nobody_listens(logs, verb, event_id, fields):
    """Unknown ids and fields raise at the emitter."""
    with pytest.raises(ValueError, match=event_id):
        getattr(bus_of(logs), verb)(event_id, **fields)


def test_active_and_asks_follow_the_listeners(logs):
    """Emitters may skip work for nobody."""
    bus = bus_of(logs)
    assert (bus.active, bus.asks) == (False, False)
    plain, veto = Listener(), Veto()
    bus.add(plain)
    assert (bus.active, bus.asks) == (True, False)
    bus.add(veto)
    assert (bus.active, bus.asks) == (True, True)
    bus.remove(veto)
    assert (bus.active, bus.asks) == (True, False)
    bus.remove(plain)
    assert (bus.active, bus.asks) == (False, False)
    bus.emit("file.delete", path=b"/a")
    assert plain.heard == []


def test_a_broken_listener_harms_nobody_and_is_reported_to_the_others(logs):
    """The emitter sees nothing, the others hear the event and of the failure."""
    bad, good = Listener(broken), Listener()
    bus_of(logs, bad, good).emit("file.delete", path=b"/a")
    assert sorted(good.ids) == ["file.delete", "listener.failed"]
    (report,) = [event for event in good.heard if event.id == "listener.failed"]
    assert report.fields == {"listener": "Listener", "error": "RuntimeError", "failures": 1}
    assert bad.ids == ["file.delete"]


@pytest.mark.parametrize(("emitted", "logged"), [(1, 1), (LOG_EVERY, 1), (LOG_EVERY + 1, 2)])
def test_the_first_and_each_hundredth_failure_is_logged(logs, emitted, logged):
    """A listener that always fails does not flood the log."""
    bus = bus_of(logs, Listener(broken))
    for _ in range(emitted):
        bus.emit("file.delete", path=b"/a")
    assert len(logs.lines) == logged
    assert bus.counts() == {"Listener": {"failed": emitted, "dropped": 0}}


def test_two_broken_listeners_do_not_tell_each_other_for_ever(logs):
    """Failing on the report of a failure makes no further report."""
    one, two = Listener(broken), Listener(broken)
    bus_of(logs, one, two).emit("file.delete", path=b"/a")
    assert one.ids.count("listener.failed") <= 1
    assert two.ids.count("listener.failed") <= 1


def test_a_slow_listener_hears_in_order_and_delays_only_itself(logs):
    """The next event waits for the answer to the one before."""
    answers = []

    def later(_event):
        answers.append(Deferred())
        return answers[-1]

    slow, quick = Listener(later), Listener()
    bus = bus_of(logs, slow, quick)
    for event_id in ("file.times", "file.delete", "directory.make"):
        bus.emit(event_id, path=b"/a")
    assert slow.ids == ["file.times"]
    assert quick.ids == ["file.times", "file.delete", "directory.make"]
    answers[0].callback(None)
    assert slow.ids == ["file.times", "file.delete"]
    answers[1].errback(RuntimeError("late"))
    assert slow.ids == ["file.times", "file.delete", "directory.make"]
    assert bus.counts()["Listener"]["failed"] in {0, 1}
    assert quick.ids[-1] == "listener.failed"


@pytest.mark.parametrize(("extra", "dropped"), [(0, 0), (1, 1)])
def test_the_queue_of_a_stuck_listener_is_bounded(logs, extra, dropped):
    """At the bound all are kept; one past it the oldest goes, and is counted."""
    stuck = Deferred()
    answers = iter([stuck])
    listener = Listener(lambda _event: next(answers, None))
    bus = EventBus(lambda: 0.0, log=logs.log)
    bus.add(listener, "stuck")
    bus.emit("file.delete", path=b"first")
    for number in range(MAX_WAITING + extra):
        bus.emit("file.delete", path=b"%d" % number)
    assert bus.counts() == {"stuck": {"failed": 0, "dropped": dropped}}
    stuck.callback(None)
    paths = [event.fields["path"] for event in listener.heard]
    assert paths == [b"first", *(b"%d" % number for number in range(dropped, MAX_WAITING + extra))]


def test_many_answers_that_are_there_at_once_do_not_recurse(logs):
    """A full queue of fired Deferreds and finished coroutines is worked off in a loop."""
    stuck = Deferred()
    answers = iter([stuck])
    depths = []

    async def nothing():
        return None

    def answer(event):
        frame, depth = inspect.currentframe(), 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        first = next(answers, None)
        return first or (succeed(None) if len(depths) % 2 else nothing())

    bus = bus_of(logs, Listener(answer))
    for _ in range(200):
        bus.emit("file.delete", path=b"/a")
    stuck.callback(None)
    assert len(depths) == 200
    assert max(depths[1:]) == min(depths[1:])


def test_a_coroutine_that_fails_is_counted(logs):
    """Failures count the same however they arrive."""

    async def fail(_event):
        raise RuntimeError("late")

    bus = bus_of(logs, Listener(fail))
    bus.emit("file.delete", path=b"/a")
    assert bus.counts()["Listener"]["failed"] == 1


def test_an_event_emitted_by_a_listener_comes_after_the_one_it_hears(logs):
    """Each listener sees one event at a time."""
    listener = Listener()
    bus = bus_of(logs, listener)

    def answer(event):
        if event.id == "file.delete":
            bus.emit("file.times", path=b"/b")
            assert listener.ids == ["file.delete"]

    listener.answer = answer
    bus.emit("file.delete", path=b"/a")
    assert listener.ids == ["file.delete", "file.times"]


def test_idle_fires_when_all_is_heard(logs):
    """Shutdown waits for the last event of a slow listener."""
    answer = Deferred()
    bus = bus_of(logs, Listener(lambda _event: answer), Listener())
    fired = []
    bus.idle().addCallback(fired.append)
    assert fired == [None]
    bus.emit("daemon.stop", reason="test")
    bus.idle().addCallback(fired.append)
    assert fired == [None]
    answer.callback(None)
    assert fired == [None, None]


def test_without_veto_listeners_there_is_nothing_to_wait_for(logs):
    """Uploads are published in the same turn."""
    assert bus_of(logs, Listener()).ask("upload.publish", path=b"/a", size=1) is None


def test_a_veto_listener_sees_the_whole_question(logs):
    """Common fields and own fields arrive where they do in other events."""
    veto = Veto()
    asked = bus_of(logs, veto).ask("upload.publish", username="alice", session="s1", path=b"/a", size=1)
    assert asked.result is None
    assert veto.heard == [
        Event("upload.publish", 12.5, session="s1", username="alice", fields={"path": b"/a", "size": 1})
    ]


def test_one_refusal_is_enough_and_names_the_listener(logs):
    """Those behind the refusing one are not asked."""

    def refuse(event):
        raise Vetoed(event.fields["path"], "no")

    second = Veto()
    bus = EventBus(lambda: 0.0, log=logs.log)
    bus.add(Veto(refuse), "scanner")
    bus.add(second)
    failures = []
    bus.ask("upload.publish", path=b"/a").addErrback(failures.append)
    assert failures[0].check(Vetoed)
    assert failures[0].value.fields == {"listener": "scanner"}
    assert second.heard == []


def test_a_refusal_is_logged_with_its_reason(logs):
    """The client hears only that a check refused; why is for the operator, in one line."""

    def refuse(event):
        raise Vetoed(event.fields["path"], "EICAR found")

    bus = EventBus(lambda: 0.0, log=logs.log)
    bus.add(Veto(refuse), "scanner")
    bus.ask("upload.publish", path=b"/a\n", username="alice").addErrback(lambda _failure: None)
    (line,) = [formatEvent(entry) for entry in logs.lines]
    assert line == "scanner refused b'/a\\n' of alice: EICAR found"


def test_a_veto_that_fails_on_purpose_is_one_line(logs):
    """A program that took too long, or a queue that is full, is no bug that needs a traceback."""

    def late(_event):
        raise TimedOut(detail="the program took too long")

    failures = []
    bus_of(logs, Veto(late)).ask("upload.publish", path=b"/a", username="bob").addErrback(failures.append)
    assert failures[0].check(Vetoed)
    (entry,) = logs.lines
    assert formatEvent(entry) == "Veto could not check b'/a' of bob: timeout: the program took too long"
    assert "log_failure" not in entry


def test_a_veto_may_take_its_time(logs):
    """The question is answered when the last listener has."""
    answer = Deferred()
    fired = []
    bus_of(logs, Veto(lambda _event: answer), Veto()).ask("upload.publish", path=b"/a").addCallback(
        fired.append
    )
    assert fired == []
    answer.callback(None)
    assert fired == [None]


def test_a_broken_veto_listener_refuses(logs):
    """A check that could not be made was not passed."""
    failures = []
    bus_of(logs, Veto(broken)).ask("upload.publish", path=b"/a").addErrback(failures.append)
    assert failures[0].check(Vetoed)
    assert failures[0].value.subject == b"/a"
    assert len(logs.lines) == 1


def test_reopen_and_close_reach_listeners_with_files(logs):
    """Others are left alone; after close() nothing is heard."""
    filed, plain = Filed(), Listener()
    bus = bus_of(logs, filed, plain)
    bus.reopen()
    bus.close()
    bus.close()
    bus.emit("file.delete", path=b"/a")
    assert filed.heard == ["reopen", "close"]
    assert plain.heard == []
    assert not bus.active


def test_a_file_that_cannot_be_reopened_is_logged(logs):
    """Log rotation never stops the daemon."""
    filed = Filed()
    filed.reopen = lambda: broken(None)
    bus_of(logs, filed).reopen()
    assert len(logs.lines) == 1
