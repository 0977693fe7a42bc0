"""``xfer chat`` as people run it: with pipes, and on terminals."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from tutorial_support import environment, serve_all

from twisted_xfer.cli.exits import Exit

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A daemon with all four, jsonftp in TLS too; alice has ``data.bin``."""
    yield from serve_all(tmp_path_factory)


class Terminal:
    """An ``xfer chat`` with pipes in place of a terminal."""

    def __init__(self, directory, port, name):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "twisted_xfer.cli.main", "chat", f"jim://{name}@localhost:{port}"],
            env=environment(directory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "is in" in self.process.stderr.readline()

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def shown(self):
        return self.process.stdout.readline().rstrip("\n")

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def test_a_chat_between_two_terminals(server, tmp_path):
    """A room, a private word, an offer, a mistake, and the end."""
    ports, _, _ = server
    alice, bob = (Terminal(tmp_path, ports["jim"], name) for name in ("alice", "bob"))
    try:
        bob.type("/join tea")
        assert bob.shown() == "talking to #tea"
        assert bob.shown() == "[201] created"
        alice.type("hello?")
        assert alice.shown() == "to whom? /join #ROOM or /to NAME first"
        alice.type("/join #tea")
        assert alice.shown() == "talking to #tea"
        alice.type("good morning \x1b[31m")
        assert bob.shown() == "alice in #tea: good morning ?[31m"
        bob.type("/msg alice psst")
        assert alice.shown() == "bob: psst"
        alice.type("/offer jsonftp://localhost/f")
        assert bob.shown() == "alice in #tea: offers jsonftp://localhost/f"
        assert bob.shown() == "  (a file: jsonftp://localhost/f)"
        alice.type("/to carol")
        assert alice.shown() == "talking to carol"
        alice.type("anybody?")
        assert alice.shown() == "[404] no such user or room"
        alice.type("/sing")
        assert alice.shown() == "no such command; /help tells which there are"
        alice.type("/add bob")
        assert alice.shown() == "[202] accepted"
        alice.type("/contacts")
        assert alice.shown() == "[202] bob"
        alice.type("/quit")
        assert alice.process.wait(30) == 0
    finally:
        codes = [alice.close(), bob.close()]
    assert codes == [0, 0]


class Pty:
    """An ``xfer chat`` on a terminal of its own."""

    def __init__(self, directory, port, name, *words):
        self.pid, self.descriptor = pty.fork()
        if not self.pid:  # pragma: no cover - the child
            os.chdir(directory)
            os.environ.update(environment(directory), TERM="xterm")
            del os.environ["XFER_PASSWORD"]
            arguments = ["chat", f"jim://{name}@localhost:{port}", *words]
            os.execv(sys.executable, [sys.executable, "-m", "twisted_xfer.cli.main", *arguments])
        self.seen = ""
        self.code = None

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def shows(self, text):
        """Wait until ``text`` has been shown, after what was looked for before."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} not in {self.seen!r}"
            if select.select([self.descriptor], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.descriptor, 65536).decode("utf-8", "replace")
                except OSError:
                    assert text in self.seen, f"{text!r} not in {self.seen!r}"
        self.seen = self.seen.partition(text)[2]

    def ends(self):
        """Its exit code."""
        deadline = time.monotonic() + 30
        while self.code is None:
            assert time.monotonic() < deadline, "did not end"
            with contextlib.suppress(OSError):
                if select.select([self.descriptor], [], [], 0.05)[0]:
                    self.seen += os.read(self.descriptor, 65536).decode("utf-8", "replace")
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def close(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)


def test_a_chat_on_terminals(server, tmp_path):
    """A password that is not shown, a half-typed line that survives, a long one, and three ways to leave."""
    ports, _, _ = server
    with contextlib.ExitStack() as opened:

        def chat(name, password, *words):
            terminal = Pty(tmp_path, ports["jim"], name, *words)
            opened.callback(terminal.close)
            terminal.shows(": ")
            terminal.type(f"{password}\n")
            return terminal

        wrong = chat("alice", "guess")
        wrong.shows("wrong user or password")
        assert wrong.ends() == Exit.AUTHENTICATION
        assert "guess" not in wrong.seen
        alice, bob = chat("alice", "secret", "--room", "#pty"), chat("bob", "secret")
        alice.shows("#pty> ")
        bob.shows("/help tells")
        twice = chat("alice", "secret")
        twice.shows("somebody of that name is there")
        assert twice.ends() == Exit.REFUSED
        bob.type("/join pty\n")
        bob.shows("#pty> ")
        alice.type("half a ")
        alice.shows("#pty> half a ")
        bob.type("hé ☕\n")
        alice.shows("bob in #pty: hé ☕\r\n")
        alice.shows("#pty> half a ")
        alice.type("line\n")
        bob.shows("alice in #pty: half a line\r\n")
        alice.type("日" * 700 + "\n")
        bob.shows("日\r\n")
        bob.shows("日\r\n")
        alice.type("\x04")
        assert alice.ends() == 0
        bob.type("/msg alice gone?\n")
        bob.shows("[410] the user is offline")
        bob.type("\x03")
        assert bob.ends() == 0
        carol = Pty(tmp_path, ports["jim"], "carol", "--guest")
        opened.callback(carol.close)
        carol.shows("authentication required")
        assert carol.ends() == Exit.AUTHENTICATION
