"""The package's own functions, as a program uses them: over real sockets, in one process."""

import json
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.integration

HEAD = """
import json, os, sys, attrs
from pathlib import Path
from twisted.internet.task import react
from twisted_xfer import Login, Target, Work, receive, send, send_stream
from twisted_xfer.errors import XferError

inbox = Path(sys.argv[1]) / "inbox"
inbox.mkdir()
source = Path(sys.argv[1]) / "source"
source.write_bytes(b"content" * 1000)
paths = [os.fsencode(source)]

async def outcome(deferred):
    try:
        return await deferred
    except XferError as error:
        return error.code
"""


def run(tmp_path, body):
    """What ``body`` prints, an object a line; ``reactor`` is in its reach."""
    body = textwrap.indent(textwrap.dedent(body), "    ")
    script = f"{HEAD}\nasync def main(reactor):\n{body}\nreact(main)\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("plain", [False, True], ids=["tls", "plain"])
def test_receive_and_send(tmp_path, plain):
    """Two senders with one code, both asked for later; both ends tell the same."""
    lines = run(
        tmp_path,
        f"""
        seen = []
        receiver = receive(reactor, inbox, plain={plain}, on_event=seen.append)
        first = await send(reactor, paths, receiver.target, receiver.login)
        read, write = os.pipe()
        os.write(write, b"piped"), os.close(write)
        second = await send_stream(reactor, read, b"pipe", receiver.target, receiver.login)
        for sent in (first, second):
            came = await receiver.received()
            print(json.dumps([sent.files, came.files, sent.digest == came.digest, came.verified]))
        print(json.dumps([event.kind for event in seen if event.kind not in {{"started", "progress"}}]))
        print(json.dumps([receiver.url.startswith("xfer://127.0.0.1:"), bool(receiver.pin)]))
        await receiver.stop()
        """,
    )
    assert lines == [
        [1, 1, True, 7000],
        [1, 1, True, 5],
        ["done", "done"],
        [True, not plain],
    ]
    assert (tmp_path / "inbox/source").read_bytes() == b"content" * 1000
    assert (tmp_path / "inbox/pipe").read_bytes() == b"piped"


@pytest.mark.parametrize("kind", ["connected", "started", "done"])
def test_a_watcher_that_fails(tmp_path, kind):
    """Whatever step it fails at: the Deferred fails with its error, and nothing is tried again."""
    lines = run(
        tmp_path,
        f"""
        source.write_bytes(bytes(100_000))
        receiver = receive(reactor, inbox)
        seen = []
        def watch(event):
            seen.append(event.kind)
            if event.kind == {kind!r}:
                raise ValueError("ours")
        try:
            await send(reactor, paths, receiver.target, receiver.login, on_event=watch)
        except ValueError as error:
            print(json.dumps([str(error), seen.count({kind!r}), "reconnecting" in seen]))
        await receiver.stop()
        """,
    )
    assert lines == [["ours", 1, False]]


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("step", ["connected", "started"])
def test_a_send_that_is_cancelled(tmp_path, step, connections):
    """It ends then and there: no further event, no connection is left, and nothing is published; the next one goes on."""
    lines = run(
        tmp_path,
        f"""
        from twisted.internet.defer import CancelledError, Deferred
        class Slow:
            over = False
            def take(self, wanted): return wanted if self.over else 0
            def give_back(self, unused): pass
            def delay(self): return 0.01
        source.write_bytes(os.urandom(3_000_000))
        receiver = receive(reactor, inbox)
        seen, reached = [], Deferred()
        def watch(event):
            seen.append(event.kind)
            if event.kind == {step!r} and not reached.called:
                reactor.callLater(0, reached.callback, None)
        slow = Slow()
        work = Work(limiter=slow, connections={connections})
        sending = send(reactor, paths, receiver.target, receiver.login, work, on_event=watch)
        await reached
        sending.cancel()
        try:
            await sending
        except CancelledError:
            print(json.dumps("cancelled"))
        count, slow.over = len(seen), True
        # Which waits for what is still under way.
        await receiver.stop()
        print(json.dumps([len(seen) - count, (inbox / "source").exists()]))
        receiver = receive(reactor, inbox)
        sent = await send(reactor, paths, receiver.target, receiver.login)
        print(json.dumps([sent.files, (inbox / "source").read_bytes() == source.read_bytes()]))
        await receiver.stop()
        """,
    )
    assert lines == ["cancelled", [0, False], [1, True]]


def test_cancelled_on_the_way(tmp_path):
    """While it dials, logs in or waits for another try: that is no failure to connect, and nobody is dialled any more."""
    lines = run(
        tmp_path,
        """
        from twisted.internet.defer import CancelledError, Deferred
        from twisted.internet.protocol import Factory, Protocol
        from twisted.internet.endpoints import TCP4ServerEndpoint
        from twisted_xfer import ls, rm, get
        from twisted_xfer.storage.local import LocalStorage
        async def cancelled(deferred):
            try:
                await deferred
            except CancelledError:
                return True
        met, gone = Deferred(), Deferred()
        class Silent(Protocol):
            def connectionMade(self):
                met.callback(None)
            def connectionLost(self, reason):
                gone.callback(None)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(Silent))
        silent = Target("127.0.0.1", port.getHost().port)
        login = Login(code="abc", plain=True)
        sending = send(reactor, paths, silent, login)
        sending.cancel()
        print(json.dumps(await cancelled(sending)))
        sending = send(reactor, paths, silent, login)
        await met
        sending.cancel()
        print(json.dumps(await cancelled(sending)))
        await gone
        storage = LocalStorage(str(inbox))
        for ask in (ls, rm, lambda *to: get(*to, storage)):
            met, gone = Deferred(), Deferred()
            one = ask(reactor, attrs.evolve(silent, path=b"name"), login)
            await met
            one.cancel()
            print(json.dumps(await cancelled(one)))
            await gone
        storage.close()
        await port.stopListening()
        """,
    )
    assert lines == [True] * 5


def test_paths_of_every_kind(tmp_path):
    """As open() takes them; one path alone is no sequence of them."""
    lines = run(
        tmp_path,
        """
        receiver = receive(reactor, inbox)
        for path in (source, str(source), os.fsencode(source)):
            sent = await send(reactor, [path], receiver.target, receiver.login)
            print(json.dumps([sent.files, sent.skipped]))
            try:
                send(reactor, path, receiver.target, receiver.login)
            except TypeError:
                print(json.dumps("TypeError"))
        await receiver.stop()
        """,
    )
    assert lines == [[1, 0], "TypeError", [0, 1], "TypeError", [0, 1], "TypeError"]


def test_names_of_every_kind(tmp_path):
    """A target's path, patterns and the name of a stream, as text or as bytes."""
    lines = run(
        tmp_path,
        """
        (inbox.parent / "tree/sub").mkdir(parents=True)
        for name in ("a.py", "b.txt", "sub/c.py", "sub/d.o"):
            (inbox.parent / "tree" / name).write_text(name)
        receiver = receive(reactor, inbox)
        for kind in (str, os.fsencode):
            into = attrs.evolve(receiver.target, path=kind("in/" + kind.__name__))
            work = Work(include=[kind("*.py")], exclude=(kind("/tree/sub"),))
            sent = await send(reactor, [inbox.parent / "tree"], into, receiver.login, work)
            with open(source, "rb") as stream:
                streamed = await send_stream(reactor, stream.fileno(), kind("piped"), into, receiver.login)
            print(json.dumps([sent.files, streamed.files]))
        print(json.dumps(sorted(str(path.relative_to(inbox)) for path in inbox.rglob("*") if path.is_file())))
        for wrong in ({"exclude": "*.o"}, {"include": b"*.o"}):
            try:
                Work(**wrong)
            except TypeError as error:
                print(json.dumps(str(error)))
        try:
            await send(reactor, paths, receiver.target, receiver.login, Work(links="drop"))
        except ValueError as error:
            print(json.dumps(str(error)))
        sent = await send(reactor, ["a\\0b", *paths], receiver.target, receiver.login)
        print(json.dumps([sent.files, sent.failed, sent.failures[0][1].code]))
        await receiver.stop()
        """,
    )
    assert lines[:2] == [[1, 1], [1, 1]]
    assert lines[2] == ["in/fsencode/piped", "in/fsencode/tree/a.py", "in/str/piped", "in/str/tree/a.py"]
    assert lines[3:5] == ["a sequence of patterns, not one pattern"] * 2
    assert lines[5:] == ["links is one of send, follow, skip, not 'drop'", [1, 1, "name_invalid"]]


@pytest.mark.parametrize("kind", ["started", "progress", "done"])
def test_a_receiver_whose_watcher_fails(tmp_path, kind):
    """It is logged, and nobody who sends has to do with it."""
    lines = run(
        tmp_path,
        f"""
        from twisted.logger import globalLogPublisher
        def watch(event):
            if event.kind == {kind!r}:
                raise ValueError("ours")
        source.write_bytes(bytes(100_000))
        told = []
        globalLogPublisher.addObserver(told.append)
        receiver = receive(reactor, inbox, on_event=watch)
        sent = await send(reactor, paths, receiver.target, receiver.login)
        came = await receiver.received()
        print(json.dumps([sent.files, sent.failed, came.files, came.failed]))
        globalLogPublisher.removeObserver(told.append)
        print(json.dumps([str(event["log_failure"].value) for event in told if "log_failure" in event][:1]))
        print(json.dumps([str(event) for event in told if "cannot be read" in str(event)]))
        await receiver.stop()
        """,
    )
    assert lines == [[1, 0, 1, 0], ["ours"], []]
    assert (tmp_path / "inbox/source").read_bytes() == bytes(100_000)


def test_every_address(tmp_path):
    """Without a host IPv4 and IPv6 callers are taken alike, where the machine has both, and each is named as usual."""
    lines = run(
        tmp_path,
        """
        receiver = receive(reactor, inbox, host="")
        table = Path("/proc/net/if_inet6")
        for host in ["127.0.0.1", *(["::1"] if table.exists() and " lo" in table.read_text() else [])]:
            sent = await outcome(send(reactor, paths, attrs.evolve(receiver.target, host=host), receiver.login))
            print(json.dumps(sent.files + sent.skipped))
            await receiver.received()
        voided = receiver.received()
        wrong = attrs.evolve(receiver.login, code="wrong")
        print(json.dumps(await outcome(send(reactor, paths, receiver.target, wrong))))
        try:
            await voided
        except XferError as error:
            print(json.dumps(error.subject))
        await receiver.stop()
        """,
    )
    assert lines[-2:] == ["peer", "127.0.0.1"]
    assert set(lines[:-2]) == {1}


def test_a_wrong_code_and_a_wrong_pin(tmp_path):
    """Nobody gets in without the code; the guess voids it, and whoever waits is told."""
    lines = run(
        tmp_path,
        """
        receiver = receive(reactor, inbox)
        waiting = receiver.received()
        none = Work(retries=0)
        stranger = attrs.evolve(receiver.target, pin="0" * 64)
        print(json.dumps(await outcome(send(reactor, paths, receiver.target, Login(username="xfer"), none))))
        print(json.dumps(await outcome(send(reactor, paths, stranger, Login(username="xfer"), none))))
        for code in ("222-222-222", receiver.code):
            print(json.dumps(str(await outcome(send(reactor, paths, receiver.target, Login(code=code), none)))))
        for answer in (waiting, receiver.received()):
            print(json.dumps(await outcome(answer)))
        await receiver.stop()
        """,
    )
    assert lines == ["login_impossible", "untrusted_key", "peer", "peer", "login_failed", "login_failed"]
    assert not list((tmp_path / "inbox").iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_replacing_wants_to_be_allowed(tmp_path, overwrite):
    """New files only, unless told otherwise."""
    lines = run(
        tmp_path,
        f"""
        (inbox / "source").write_bytes(b"old")
        receiver = receive(reactor, inbox, overwrite={overwrite})
        sent = await send(reactor, paths, receiver.target, receiver.login)
        print(json.dumps([sent.files, sent.failed, [error.name for _, error in sent.failures]]))
        await receiver.stop()
        """,
    )
    assert lines == [[1, 0, []] if overwrite else [0, 1, ["right_missing"]]]


def test_the_end_of_a_receiver(tmp_path):
    """stop() fails who waits, lets go of the port, and may be called again; a wait may be given up."""
    lines = run(
        tmp_path,
        """
        from twisted.internet.defer import CancelledError
        receiver = receive(reactor, inbox)
        given_up, waiting = receiver.received(), receiver.received()
        given_up.addErrback(lambda failure: failure.trap(CancelledError))
        given_up.cancel()
        await receiver.stop()
        await receiver.stop()
        print(json.dumps(await outcome(waiting)))
        print(json.dumps(await outcome(send(reactor, paths, receiver.target, receiver.login))))
        again = receive(reactor, inbox, port=receiver.port, code="mine")
        print(json.dumps([again.port == receiver.port, again.code, again.pin != receiver.pin]))
        await again.stop()
        try:
            receive(reactor, inbox / "missing")
        except XferError as error:
            print(json.dumps(error.code))
        """,
    )
    assert lines == ["shutting_down", "cannot_connect", [True, "mine", True], "config"]
