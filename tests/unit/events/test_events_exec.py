"""Programs as listeners: what they are given, how they end, and what they cannot harm."""

import json
import os
import signal
import subprocess
import time

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import Busy, ConfigError, TimedOut, Vetoed
from twisted_xfer.events import exec_plugin as plugin_module
from twisted_xfer.events import exec_run
from twisted_xfer.events.bus import EventBus
from twisted_xfer.events.exec_plugin import ExecOptions, ExecSender, ProgramFailed, VetoOptions, VetoProgram
from twisted_xfer.events.exec_run import FILE_DESCRIPTOR, check_program, environment, run_program
from twisted_xfer.events.outbox_store import Parcel
from twisted_xfer.interfaces import Event, IListenerPlugin, IVetoListener

ARGV = ("/bin/true", "--x")


class Spawned:
    """A process that a test plays."""

    def __init__(self, protocol, argv, env, path, fds):
        self.protocol, self.argv, self.env, self.path, self.fds = protocol, argv, env, path, fds
        self.given = b""
        self.calls = []
        self.content = b""
        if FILE_DESCRIPTOR in fds:
            self.content = os.pread(fds[FILE_DESCRIPTOR], 100, 0)
        self.gone = False

    def write(self, data):
        self.given += data

    def closeStdin(self):
        self.calls.append("closeStdin")

    def loseConnection(self):
        self.calls.append("loseConnection")

    def signalProcess(self, name):
        if self.gone:
            raise ProcessExitedAlready
        self.calls.append(name)
        self.end(None, signal.SIGKILL)

    def end(self, code=0, by=None):
        self.gone = True
        error = ProcessDone(0) if code == 0 else ProcessTerminated(code, by)
        self.protocol.processExited(Failure(error))


@implementer(IReactorProcess, IReactorTime)
class Reactor(Clock):
    def __init__(self):
        super().__init__()
        self.spawned = []
        self.fails = False

    def spawnProcess(self, protocol, executable, args=(), env=None, path=None, childFDs=None, **_):
        if self.fails:
            raise OSError("no more processes")
        process = Spawned(protocol, args, env, path, childFDs)
        self.spawned.append(process)
        protocol.makeConnection(process)
        return process


def outcome(deferred):
    box = []
    deferred.addBoth(box.append)
    return box


def test_what_a_program_is_given():
    """JSON on standard input, which is then closed; variables that were chosen; no shell, no directory."""
    reactor = Reactor()
    sender = ExecSender(
        reactor,
        ExecOptions(argv=ARGV, environment={"MINE": "1"}),
        {"XFER_PASSWORD": "canary", "LANG": "C", "HOME": "/root"},
    )
    box = outcome(sender(Parcel(1, "key", b'{"id":"file.delete"}\n', 0.0, 0)))
    (process,) = reactor.spawned
    assert (process.argv, process.path) == (["/bin/true", "--x"], "/")
    assert json.loads(process.given) == {"id": "file.delete"}
    assert process.calls == ["closeStdin"]
    assert set(process.env) == {"PATH", "LANG", "MINE", "XFER_EVENT", "XFER_DELIVERY"}
    assert (process.env["XFER_EVENT"], process.env["XFER_DELIVERY"]) == ("file.delete", "key")
    process.end()
    assert box == [None]
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize(("code", "by", "told"), [(3, None, 3), (None, signal.SIGSEGV, -11)])
def test_exit_code_is_a_failure(code, by, told):
    """Any but 0, and any signal."""
    reactor = Reactor()
    box = outcome(ExecSender(reactor, ExecOptions(argv=ARGV), {})(Parcel(1, "k", b'{"id":"x"}', 0, 0)))
    reactor.spawned[0].end(code, by)
    box[0].trap(ProgramFailed)
    assert box[0].value.fields["exit"] == told


def test_timeout_kills():
    """At the last moment it still runs; past it, it is killed."""
    reactor = Reactor()
    box = outcome(run_program(reactor, ARGV, {}, b"", timeout=10))
    reactor.advance(9.99)
    assert box == []
    reactor.advance(0.01)
    assert box[0].check(TimedOut)
    assert "KILL" in reactor.spawned[0].calls
    assert reactor.getDelayedCalls() == []


def test_timeout_kills_what_the_program_started(tmp_path):
    """A shell that is killed leaves nothing of what it waits for."""
    script = subprocess.Popen(
        ["/bin/sh", "-c", "sh -c 'sleep 60; :' & sleep 60; :"],
        stdin=subprocess.DEVNULL,
    )
    try:
        for _ in range(1000):
            found = exec_run.descendants(script.pid)
            if len(found) == 3:
                break
            time.sleep(0.01)
        assert len(found) == 3
        run = exec_run._Run(b"")
        run.transport = Transport(script)
        run.kill()
        script.wait(10)
        for pid in found:
            assert _state(pid) in {"", "Z"}
    finally:
        script.kill()
    assert exec_run.descendants(script.pid) == []


class Transport:
    """Of a process that was not started by a reactor."""

    def __init__(self, process):
        self.pid = process.pid
        self.signalProcess = lambda _name: process.kill()


def _state(pid):
    """The state of a process as ps has it, once the kernel is through with it; empty when it is gone."""
    for _ in range(1000):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""
        if state == "Z":
            return state
        time.sleep(0.01)
    return state


def test_descendants_are_bounded(monkeypatch):
    """A program that forks without end does not keep us looking."""
    monkeypatch.setattr(exec_run, "_children", lambda pid: [pid + 1, pid + 2])
    assert len(exec_run.descendants(1)) == exec_run.MAX_DESCENDANTS


def test_cancel_kills():
    """Whoever does not wait any more leaves nothing running."""
    reactor = Reactor()
    running = run_program(reactor, ARGV, {}, b"", timeout=10)
    box = outcome(running)
    running.cancel()
    assert "KILL" in reactor.spawned[0].calls
    assert box
    assert reactor.getDelayedCalls() == []


def test_no_process_to_be_had():
    """A failure like others, with nothing left open."""
    reactor = Reactor()
    reactor.fails = True
    held = len(os.listdir("/proc/self/fd"))
    box = outcome(run_program(reactor, ARGV, {}, b"", timeout=10))
    assert box[0].check(OSError)
    assert len(os.listdir("/proc/self/fd")) == held


def test_output_is_bounded(monkeypatch):
    """At the limit and one past: the beginning is kept."""
    monkeypatch.setattr(exec_run, "MAX_OUTPUT", 4)
    for pieces, kept in (((b"ab", b"cd"), b"abcd"), ((b"abc", b"de", b"f"), b"abcd")):
        reactor = Reactor()
        box = outcome(run_program(reactor, ARGV, {}, b"", timeout=10))
        for piece in pieces:
            reactor.spawned[0].protocol.childDataReceived(1, piece)
        reactor.spawned[0].end()
        assert box[0].output == kept


def test_environment_has_no_secrets():
    """Only what is named is passed on."""
    assert set(environment({}, {"XFER_PASSWORD": "x", "AWS_SECRET": "y", "TZ": "UTC"})) == {"PATH", "TZ"}


@pytest.mark.parametrize(
    "argv", [(), ("true",), ("/nowhere/program",), ("/etc/passwd",), ("/bin/true", "a\0b"), ("/",)]
)
def test_program_that_cannot_be_run(argv):
    """Refused when it is configured."""
    with pytest.raises(ConfigError):
        check_program(argv, "argv")


# --- veto --------------------------------------------------------------------------------


def publish(path=b"/a", descriptor=None):
    return Event(
        "upload.publish", 0.0, username="alice", fields={"path": path, "size": 3, "descriptor": descriptor}
    )


def veto(**options):
    reactor = Reactor()
    return reactor, VetoProgram(reactor, VetoOptions(argv=ARGV, **options), {})


def ask(listener, event):
    return outcome(ensureDeferred(listener.before(event)))


def test_veto_by_exit_code(tmp_path):
    """0 lets pass; anything else refuses, with the program's first line made harmless."""
    reactor, listener = veto()
    verifyObject(IVetoListener, listener)
    box = ask(listener, publish())
    reactor.spawned[0].end()
    assert box == [None]
    box = ask(listener, publish())
    reactor.spawned[1].protocol.childDataReceived(1, b"Eicar\x1b[31m found\nmore\n")
    reactor.spawned[1].end(1)
    box[0].trap(Vetoed)
    assert (box[0].value.subject, box[0].value.detail) == (b"/a", "Eicar?[31m found")
    box = ask(listener, publish())
    reactor.spawned[2].end(7)
    assert box[0].value.detail == "exit code 7"


def test_program_reads_the_upload(tmp_path):
    """The bytes are there as descriptor 3, from the beginning and for reading, though the name is not."""
    file = tmp_path / "part"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"abc")
    file.unlink()
    reactor, listener = veto()
    ask(listener, publish(descriptor=descriptor))
    os.close(descriptor)
    (process,) = reactor.spawned
    assert process.content == b"abc"
    assert json.loads(process.given)["descriptor"] == FILE_DESCRIPTOR


def test_other_questions_and_facts_pass():
    """It is about uploads."""
    reactor, listener = veto()
    assert ask(listener, Event("file.delete", 0.0)) == [None]
    listener.on_event(publish())
    assert reactor.spawned == []


def test_at_once_and_those_who_wait(monkeypatch):
    """The limits at their edges; who waits has a turn, also when the one before failed or was cancelled."""
    monkeypatch.setattr(plugin_module, "MAX_ASKING", 2)
    reactor, listener = veto(at_once=1)
    first = ask(listener, publish(b"/1"))
    second = ensureDeferred(listener.before(publish(b"/2")))
    second.addErrback(lambda _: None)
    third = ask(listener, publish(b"/3"))
    assert len(reactor.spawned) == 1
    past = ask(listener, publish(b"/4"))
    assert past[0].check(Busy)
    second.cancel()
    reactor.advance(60)
    assert first[0].check(TimedOut)
    assert len(reactor.spawned) == 2
    reactor.spawned[1].end()
    assert third == [None]
    assert listener._running == 0


def test_veto_that_is_broken_refuses():
    """Through the bus: no process, no upload."""
    reactor, listener = veto()
    reactor.fails = True
    bus = EventBus(lambda: 0.0, [listener], log=Logger(observer=lambda _: None))
    box = outcome(bus.ask("upload.publish", path=b"/a", size=3, descriptor=None))
    box[0].trap(Vetoed)


# --- plugins -----------------------------------------------------------------------------


class Host:
    def __init__(self, clock):
        self.clock = clock

    def wall_time(self):
        return 0.0


@pytest.mark.parametrize("name", ["exec", "veto"])
def test_plugins_open(name):
    """With a program and a reactor that can; else with the reason."""
    plugin = getattr(plugin_module, name)
    verifyObject(IListenerPlugin, plugin)
    opened = plugin.open(plugin.options(argv=ARGV), Host(Reactor()))
    close = getattr(opened, "close", None)
    if close is not None:
        close()
    with pytest.raises(ConfigError):
        plugin.open(plugin.options(), Host(Reactor()))
    with pytest.raises(ConfigError):
        plugin.open(plugin.options(argv=ARGV), Host(Clock()))


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": 3600.1},
        {"at_once": 0},
        {"at_once": 65},
        {"only": ("no.such",)},
        {"most": 0},
    ],
)
def test_options_past_their_limits(options):
    """One past each."""
    with pytest.raises(ValueError):
        ExecOptions(argv=ARGV, **options)
    ExecOptions(argv=ARGV, timeout=3600, at_once=64, most=1)


def test_deferred_is_what_a_run_answers():
    """For those who add callbacks."""
    assert isinstance(run_program(Reactor(), ARGV, {}, b"", timeout=1), Deferred)
