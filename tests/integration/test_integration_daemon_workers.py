"""`--workers N`: real processes that share the sockets of their parent."""

import contextlib
import ftplib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

import twisted_xfer
from twisted_xfer.testing.daemon import Daemon

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers by /proc"),
]

PLACES = [
    "--listen",
    "ftp=tcp:0:interface=127.0.0.1",
    "--listen",
    "timeecho=tcp:0:interface=127.0.0.1",
    "--listen",
    "timeecho=udp:0:interface=127.0.0.1",
]


@pytest.fixture
def daemon(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with Daemon(["--root", str(root), "--workers", "2", "--auth", "memory:alice:secret", *PLACES]) as running:
        yield running


def workers(daemon):
    """Process ids of the children."""
    text = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def greeting(daemon):
    with socket.create_connection(daemon.address("ftp"), 20) as stream:
        return stream.makefile("rb").readline()


def test_each_place_is_served_by_the_workers(daemon):
    """TCP and UDP answer, and the parent has two children, told of once."""
    assert len(workers(daemon)) == 2
    assert greeting(daemon).startswith(b"220")
    with socket.create_connection(daemon.address("timeecho"), 20) as stream:
        stream.sendall(b"ping\r\n")
        assert stream.recv(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(20)
        datagrams.sendto(b"ping\r\n", daemon.address("timeecho", datagram=True))
        assert datagrams.recv(100)
    assert daemon.output.count("xfer: serving") == 1


def test_stop_ends_parent_and_workers(daemon):
    """SIGTERM to the parent is an orderly stop for all, sessions told."""
    children = workers(daemon)
    with socket.create_connection(daemon.address("ftp"), 20) as stream:
        reader = stream.makefile("rb")
        assert reader.readline().startswith(b"220")
        assert daemon.stop() == 0
        assert reader.readline().startswith(b"421")
    assert not any(alive(pid) for pid in children)
    assert "Traceback" not in daemon.output


def test_a_second_sigterm_ends_transfers_at_once(tmp_path):
    """Long before their grace is over."""
    config = tmp_path / "xfer.toml"
    config.write_text(f'root = "{tmp_path}"\nworkers = 2\ngrace = 3600\n')
    args = ["--config", str(config), "--auth", "memory:alice:secret", *PLACES]
    with Daemon(args) as daemon, contextlib.closing(ftplib.FTP()) as ftp:
        ftp.connect(*daemon.address("ftp"), 60)
        ftp.login("alice", "secret")
        with ftp.transfercmd("STOR a") as data:
            data.sendall(b"begun")
            daemon.signal(signal.SIGTERM)
            wait_for(lambda: refused(daemon))
            assert daemon.running
            daemon.signal(signal.SIGTERM)
            wait_for(lambda: not daemon.running, 60)
        with pytest.raises(ftplib.error_temp, match="426"):
            ftp.voidresp()
        assert "Traceback" not in daemon.output


def refused(daemon):
    """Whether nobody listens any more."""
    with socket.socket() as stream:
        return stream.connect_ex(daemon.address("ftp")) != 0


def test_workers_do_not_outlive_a_killed_parent(daemon):
    """Their standard input ends, and so do they; the port is free again."""
    children = workers(daemon)
    address = daemon.address("ftp")
    daemon.kill()
    wait_for(lambda: not any(alive(pid) for pid in children))
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(address)


def test_the_others_serve_on_when_one_dies(daemon):
    """A dead worker is an error in the log and nothing that clients see, and another takes its place."""
    killed, other = workers(daemon)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: "has ended" in daemon.output)
    for _ in range(10):
        assert greeting(daemon).startswith(b"220")
    wait_for(lambda: len(workers(daemon)) == 2)
    assert other in workers(daemon)
    assert killed not in workers(daemon)
    os.kill(other, signal.SIGSTOP)
    try:
        assert greeting(daemon).startswith(b"220")
    finally:
        os.kill(other, signal.SIGCONT)
    assert daemon.stop() == 0


def test_nothing_is_left_when_the_last_one_dies(daemon):
    """A daemon that cannot serve does not pretend to."""
    pids = workers(daemon)
    # It hears of both at once, before it could replace the first.
    daemon.signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    daemon.signal(signal.SIGCONT)
    assert daemon.wait() == 1
    assert "no worker is left" in daemon.output


BROKEN = {
    "ends": (
        "import os, sys\nif 'twisted_xfer.app.workers.child' in sys.orig_argv: os._exit(3)\n",
        "process ended with exit code 3",
    ),
    "gone": (
        "import sys\nsys.executable = '/gone/python'\n",
        "cannot be started: No such file or directory: /gone/python",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_workers_that_cannot_start(tmp_path, kind):
    """The daemon says why, never that it serves, and ends as failed."""
    code, reason = BROKEN[kind]
    (tmp_path / "sitecustomize.py").write_text(code)
    above = str(Path(twisted_xfer.__file__).resolve().parent.parent)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), above])}
    daemon = Daemon(["--root", str(tmp_path), "--workers", "2", *PLACES], env=env)
    daemon.spawn()
    try:
        assert daemon.wait() == 1
        output = daemon.output
        left = daemon.pidfile.exists()
    finally:
        daemon.kill()
        daemon.close()
    assert output.count(reason) == 2
    assert "xfer: no worker is left" in output
    assert "xfer: stopped" in output
    assert "xfer: serving" not in output
    assert "Traceback" not in output
    assert not left


def test_reload_reaches_the_workers(daemon):
    """SIGHUP to the parent is heard by each."""
    daemon.signal(signal.SIGHUP)
    wait_for(lambda: daemon.output.count("xfer: reloaded event logs") == 3)
    assert daemon.stop() == 0
