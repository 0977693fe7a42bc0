"""`xfer serve` as a newcomer uses it, and the daemon in the background."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from interop_support import require

pytestmark = pytest.mark.integration

XFER = [sys.executable, "-c", "from twisted_xfer.cli.main import main; main()"]
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


@pytest.fixture
def serve():
    """Start `xfer serve ARGS`; the process, and the command it prints."""
    started = []

    def start(*args, preexec_fn=None, **env):
        process = subprocess.Popen(
            [*XFER, "serve", "--port", "0", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            preexec_fn=preexec_fn,
        )
        started.append(process)
        return process, process.stdout.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_demo_prints_a_curl_line_that_works(serve):
    """As it stands, in a shell; the demonstration leaves nothing behind."""
    require("curl")
    process, line = serve("--demo")
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("It works")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    directory = re.search(r"Serving (\S+) by ftp at 127\.0\.0\.1:\d+", errors)[1]
    assert not os.path.exists(directory)


def test_password_from_the_environment(serve):
    """So that scripts know it beforehand."""
    _, line = serve("--demo", XFER_DEMO_PASSWORD="a b/@")
    assert "ftp://demo:a%20b%2F%40@127.0.0.1:" in line


def test_interrupt_ends_with_130(serve, tmp_path):
    """Ctrl-C; the directory that was served stays."""
    process, _ = serve(str(tmp_path))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert tmp_path.is_dir()


def test_a_closed_terminal_ends_it(serve):
    """Who closes the window has no Ctrl-C left to end it with, and the port would stay taken."""
    process, _ = serve("--demo", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not os.path.exists(re.search(r"Serving (\S+) by ftp", errors)[1])


def test_nohup_lets_it_go_on(serve):
    """Whoever had SIGHUP ignored is not ended by it."""
    process, line = serve("--demo", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    host, port = re.search(r"@([\d.]+):(\d+)/", line).groups()
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        assert connection.recv(3) == b"220"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_daemon_in_the_background(tmp_path, workers):
    """twistd without -n: a pid file and a log while it runs, no pid file afterwards."""
    place = "timeecho=tcp:0:interface=127.0.0.1"
    command = [*TWISTD, "xfer", "--root", str(tmp_path), "--listen", place, "--workers", workers]
    subprocess.run(command, cwd=tmp_path, timeout=60, check=True, capture_output=True)
    pidfile, log = tmp_path / "twistd.pid", tmp_path / "twistd.log"
    pid = int(pidfile.read_text())
    try:
        wait_for(lambda: "xfer: serving" in log.read_text())
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not pidfile.exists())
    assert "xfer: stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
