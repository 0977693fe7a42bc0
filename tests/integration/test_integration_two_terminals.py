"""Tried as a new user would: what is forgotten, mistyped, interrupted and looked at while it runs."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest

from twisted_xfer.testing.server import XferServer

pytestmark = pytest.mark.integration
SECONDS = 60.0
SIZE = 30_000_000


@pytest.fixture(scope="module")
def server():
    with XferServer() as running:
        yield running


@pytest.fixture
def url(server):
    return f"xfer://alice@127.0.0.1:{server.daemon.address('xfer')[1]}"


def environment(tmp_path):
    return {**os.environ, "XFER_CONFIG_DIR": str(tmp_path / "config"), "XFER_PASSWORD": "secret"}


@pytest.fixture
def xfer(tmp_path):
    """``xfer ARGS`` in a directory with a file, a tree and a big file: exit code, results, messages."""
    for name, data in (("file", b"content"), ("tree/a", b"a"), ("tree/caf\u00e9", b"b")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / os.fsdecode(b"tree/raw\xff\xe2\x80\xae")).write_bytes(b"c")
    (tmp_path / "big").write_bytes(os.urandom(SIZE))

    def run(*args):
        done = subprocess.run(
            [sys.executable, "-m", "twisted_xfer.cli", *map(str, args)],
            cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("send",), 2, "Missing argument"),
        (("send", "file"), 2, "where to?"),
        (("send", "file", "tree"), 2, "tree is a file or directory here"),
        (("send", "fiel", "xfer://127.0.0.1:1/"), 2, "fiel: no such file"),
        (("send", "file", "-", "xfer://127.0.0.1:1/"), 2, "standard input is sent alone"),
        (("send", "-", "xfer://127.0.0.1:1/", "--password-file", "-"), 2, "standard input is what is sent"),
        (("send", "-", "xfer://127.0.0.1:1/", "--token-file", "-"), 2, "standard input is what is sent"),
        (("send", "-", "xfer://127.0.0.1:1/", "--name", "../up"), 2, "no name that can be sent"),
        (("send", "-", "xfer://127.0.0.1:1/", "--name", ""), 2, "no name that can be sent"),
        (("send", "file", "xfer://127.0.0.1:1/", "--retry", "-1"), 2, "-1 is not in the range"),
        (("send", "tree/a", "file", "./tree/../tree/a", "xfer://127.0.0.1:1/"), 2, "would both be a there"),
        (("send", "file", "smb://host/"), 2, "not a scheme"),
        (("send", "file", "xfer://127.0.0.1:1/"), 4, "nobody listens there"),
        (("send", "file", "file", ".", "xfer://127.0.0.1:1/"), 4, "nobody listens there"),
        (
            ("send", "file", "./file", "xfer://127.0.0.1:1/", "--if-exists", "rename"),
            4,
            "nobody listens there",
        ),
        (("get", "xfer://127.0.0.1:1/file"), 4, "nobody listens there"),
        (("ls", "xfer://a..b/"), 4, "cannot connect to a..b:5001: no such host"),
        (("ls", f"xfer://{'a' * 64}.example/"), 4, "no such host"),
        (("get", "xfer://127.0.0.1:1/file", "nowhere"), 2, "does not exist"),
        (("rm", "xfer://127.0.0.1:1/"), 2, "the root itself stays"),
        (("receive", "nowhere"), 2, "does not exist"),
        (("sedn", "file"), 2, "No such command"),
    ],
)
def test_what_is_forgotten_or_mistyped(xfer, args, code, words):
    """One line that says what is wrong, and no traceback."""
    found, out, err = xfer(*args)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_a_certificate_of_our_own_that_cannot_be_made(xfer, tmp_path):
    """One line with its path."""
    (tmp_path / "config").write_text("")
    code, out, err = xfer("receive", tmp_path)
    assert (code, out) == (7, "")
    assert err == f"xfer: {tmp_path}/config/receive.pem: File exists\n"


def test_errors_from_a_daemon(xfer, url):
    """Each in words, with the name for scripts behind it."""
    for args, code, words in (
        (("ls", url + "/nothing"), 6, "xfer: nothing: is not there (not_found)\n"),
        (("get", url + "/nothing"), 6, "xfer: nothing: is not there (not_found)\n"),
        (("rm", url + "/nothing"), 6, "xfer: nothing: is not there (not_found)\n"),
        (("send", "file", url.replace("alice@", "bob@")), 5, "wrong user or password"),
    ):
        found, out, err = xfer(*args, "--plain")
        assert (found, out) == (code, "")
        assert words in err
    assert xfer("send", "tree", url, "--plain")[0] == 0
    found, _, err = xfer("rm", url + "/tree", "--plain")
    assert (found, err) == (6, "xfer: tree: is not empty (not_empty)\n")
    found, _, err = xfer("send", "tree", url, "--plain", "--if-exists", "refuse")
    assert found == 6
    assert "tree/a: is there already (exists)\n" in err


@pytest.mark.parametrize("command", [("ls",), ("send", "file"), ("send", "-"), ("get",)])
def test_ctrl_c_while_nobody_answers(xfer, tmp_path, command):
    """It is an interruption, not a connection that broke, though that is what it does; standard input is gone then."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        place = f"xfer://127.0.0.1:{silent.getsockname()[1]}/"
        retry = [] if command == ("ls",) else ["--retry", "0"]
        caller = subprocess.Popen(
            [sys.executable, "-m", "twisted_xfer.cli", *command, place, "--plain", *retry],
            cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        taken, _ = silent.accept()
        with taken:
            taken.settimeout(SECONDS)
            assert taken.recv(1) == b"X"
            caller.send_signal(signal.SIGINT)
            _, err = caller.communicate(timeout=SECONDS)
    again = "" if "-" in command else "; the same command again goes on where it was"
    assert (caller.returncode, err) == (130, f"xfer: interrupted{again}\n")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_has_seen_enough(xfer, url, tmp_path, options):
    """As behind `xfer send ... | head`: all is sent, and nobody is told of a broken pipe."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as unread:
        done = subprocess.run(
            [sys.executable, "-m", "twisted_xfer.cli", "send", "tree", f"{url}/head{len(options)}", "--plain", *options],
            cwd=tmp_path, env=environment(tmp_path), stdout=unread, stderr=subprocess.PIPE, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == ([] if options else ["3 files, 3 B, all verified by blake3"])
    _, out, _ = xfer("send", "tree", f"{url}/head{len(options)}", "--plain", "-n")
    assert out.count("(same)") == len(out.splitlines()) == 4


def test_results_that_cannot_be_written(url, tmp_path):
    """One line says so, and the exit code that not all is well; the file is there."""
    (tmp_path / "file").write_bytes(b"content")
    for args in (("send", "file", f"{url}/full"), ("ls", f"{url}/full")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "twisted_xfer.cli", *args, "--plain"],
                cwd=tmp_path, env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "xfer: standard output: No space left on device"


def test_names_of_any_bytes(xfer, url, tmp_path):
    """They arrive as they are, and never reach a terminal raw."""
    code, out, err = xfer("send", "tree", f"{url}/names", "--plain")
    assert code == 0, err
    assert out.splitlines() == ["/names/tree/a", "/names/tree/caf\u00e9", "/names/tree/raw\\xff\\u202e"]
    code, out, _ = xfer("ls", f"{url}/names/tree", "--plain", "--json")
    names = [json.loads(line)["name"] for line in out.splitlines()]
    assert [os.fsencode(name) for name in names] == sorted(os.listdir(os.fsencode(tmp_path / "tree")))
    (tmp_path / "got").mkdir()
    assert xfer("get", f"{url}/names/tree", "got", "--plain")[0] == 0
    assert sorted(os.listdir(os.fsencode(tmp_path / "got/tree"))) == sorted(
        os.listdir(os.fsencode(tmp_path / "tree"))
    )


def test_a_receiver_that_was_sent_no_code(xfer, tmp_path):
    """The sender is told of --code; with a wrong one both are told what to do."""
    receiver = subprocess.Popen(
        [sys.executable, "-m", "twisted_xfer.cli", "receive", tmp_path / "tree", "--host", "127.0.0.1", "--port", "0", "--json"],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        place = json.loads(receiver.stdout.readline())["url"]
        code, _, err = xfer("send", "file", place)
        assert code == 5
        assert "give --code" in err
        code, _, err = xfer("send", "file", place, "--code", "wrong")
        assert code == 5
        assert "must be started again" in err
        assert receiver.wait(SECONDS) == 5
        assert "start again for a new one" in receiver.stderr.read()
    finally:
        receiver.kill()
        receiver.communicate()


class Screen:
    """``xfer ARGS`` at a terminal."""

    def __init__(self, tmp_path, *args, columns=100):
        self.pid, self.master = pty.fork()
        if not self.pid:
            os.chdir(tmp_path)
            command = [sys.executable, "-m", "twisted_xfer.cli", *args]
            os.execve(sys.executable, command, environment(tmp_path))
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        self.shown = b""

    def read(self, until):
        """What came, up to ``until``."""
        deadline = time.monotonic() + SECONDS
        while not re.search(until, self.shown):
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 1)[0]:
                self.shown += os.read(self.master, 4096)

    def end(self):
        """Its exit code."""
        deadline = time.monotonic() + SECONDS
        while True:
            assert time.monotonic() < deadline, self.shown
            try:
                if select.select([self.master], [], [], 1)[0]:
                    self.shown += os.read(self.master, 4096)
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)


def test_the_bar(xfer, url, tmp_path):
    """Bytes, the total of it all, rate, time to go and the current file; verified is the last word."""
    screen = Screen(tmp_path, "send", "big", "file", f"{url}/bar", "--plain", "--limit-rate", "20M")
    screen.read(rb"\d+%\|.*\d.*/30\.0M \[\d\d:\d\d<\d\d:\d\d, +[\d.]+[kM]B/s, bar/big\]")
    assert screen.end() == 0
    assert screen.shown.rstrip().endswith(b"2 files, 30.0 MB, all verified by blake3")
    narrow = Screen(tmp_path, "send", "big", f"{url}/bar2", "--plain", "--limit-rate", "20M", columns=0)
    narrow.read(rb"\d+%\|")
    assert narrow.end() == 0
    assert b"verified blake3:" in narrow.shown


def test_ctrl_c(xfer, url, tmp_path, server):
    """130, one sentence, nothing published; the same command again goes on where it was."""
    args = ("send", "big", f"{url}/interrupted", "--plain", "--limit-rate", "20M")
    screen = Screen(tmp_path, *args)
    screen.read(rb"[1-9]\d*%\|")
    os.write(screen.master, b"\x03")
    assert screen.end() == 130
    assert b"interrupted; the same command again goes on where it was" in screen.shown
    assert b"trying again" not in screen.shown
    assert b"Traceback" not in screen.shown
    assert not (server.home / "interrupted/big").exists()
    code, out, err = xfer(*args[:-2], "--json")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["resumed"] > 0 for line in lines if line["event"] == "done"] == [True]
    assert (server.home / "interrupted/big").stat().st_size == SIZE


def test_ctrl_c_of_a_receiver(tmp_path):
    """130 where nobody came: it did not do what it was there for."""
    screen = Screen(tmp_path, "receive", ".", "--host", "127.0.0.1", "--port", "0")
    screen.read(rb"Ctrl-C ends it")
    os.write(screen.master, b"\x03")
    assert screen.end() == 130
    assert b"Traceback" not in screen.shown
