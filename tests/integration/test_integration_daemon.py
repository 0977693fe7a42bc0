"""A real `twistd -n xfer` process: start, serve, reload, stop, and starts that are to fail."""

import ftplib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from twisted_xfer.testing.daemon import Daemon, DaemonFailed

pytestmark = pytest.mark.integration

LOOPBACK = "interface=127.0.0.1"
ECHO = f"timeecho=tcp:0:{LOOPBACK}"
ECHO_UDP = f"timeecho=udp:0:{LOOPBACK}"
FTP = f"ftp=tcp:0:{LOOPBACK}"
ACCOUNT = ["--auth", "memory:alice:secret"]


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    return path


def wait_for(condition, seconds=20.0):
    """Poll until ``condition()`` is true; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def connect(daemon, label):
    return socket.create_connection(daemon.address(label), 20)


def test_serves_over_tcp_and_udp_and_stops_with_0(root):
    """Each place is reported with its real port, answers there, and SIGTERM ends it all cleanly."""
    with Daemon(["--root", str(root), "--listen", ECHO, "--listen", ECHO_UDP]) as daemon:
        with connect(daemon, "timeecho") as stream:
            stream.sendall(b"ping\r\n")
            assert stream.recv(100)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(20)
            datagrams.sendto(b"ping\r\n", daemon.address("timeecho", datagram=True))
            assert datagrams.recv(100)
        assert int(daemon.pidfile.read_text()) == daemon.pid
        assert daemon.stop() == 0
        assert not daemon.pidfile.exists()
        assert "Traceback" not in daemon.output
        assert "Unhandled" not in daemon.output


def test_ftp_account_has_a_home_below_the_root(root):
    """A login makes the home; what is uploaded lies there."""
    with Daemon(["--root", str(root), "--listen", FTP, *ACCOUNT]) as daemon:
        host, port = daemon.address("ftp")
        with ftplib.FTP(timeout=20) as ftp, open(__file__, "rb") as source:
            ftp.connect(host, port)
            ftp.login("alice", "secret")
            ftp.storbinary("STOR copy.py", source)
        with open(__file__, "rb") as source:
            assert (root / "alice" / "copy.py").read_bytes() == source.read()
        assert daemon.stop() == 0


def test_anonymous_reads_and_does_not_write(root):
    """--anonymous shows a directory below the root, and takes nothing."""
    (root / "pub").mkdir()
    (root / "pub" / "a.txt").write_text("a")
    with Daemon(["--root", str(root), "--listen", FTP, "--anonymous", "pub"]) as daemon:
        host, port = daemon.address("ftp")
        with ftplib.FTP(timeout=20) as ftp:
            ftp.connect(host, port)
            ftp.login()
            assert ftp.nlst() == ["a.txt"]
            with pytest.raises(ftplib.error_perm):
                ftp.mkd("x")


def test_stop_tells_sessions(root):
    """Whoever is connected when it stops hears so before the connection ends."""
    with Daemon(["--root", str(root), "--listen", FTP, *ACCOUNT]) as daemon, connect(daemon, "ftp") as stream:
        reader = stream.makefile("rb")
        assert reader.readline().startswith(b"220")
        assert daemon.stop() == 0
        assert reader.readline().startswith(b"421")
        assert reader.readline() == b""


def test_taken_port_is_one_line(root):
    """The place, the reason and the remedy on one line; no traceback, no pid file, exit 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"timeecho=tcp:{taken.getsockname()[1]}:{LOOPBACK}"
        daemon = Daemon(["--root", str(root), "--listen", ECHO, "--listen", place])
        try:
            with pytest.raises(DaemonFailed):
                daemon.start()
            assert daemon.wait() == 1
            assert (
                f"xfer: command line: --listen = '{place}': Address already in use: stop what listens there"
                in daemon.output
            )
            assert "Traceback" not in daemon.output
            assert not daemon.pidfile.exists()
        finally:
            daemon.close()


@pytest.mark.parametrize("options", [["--log-file", "own.log"], []])
def test_a_start_that_fails_in_the_background_is_in_the_log(root, tmp_path, options):
    """twistd says to look there: nobody reads the standard error of a daemon any more."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"timeecho=tcp:{taken.getsockname()[1]}:{LOOPBACK}"
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--pidfile=gone.pid"]
        ended = subprocess.run(
            [*twistd, "xfer", "--root", str(root), "--listen", place, *options],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "look at log" in ended.stderr
    log = tmp_path / (options[1] if options else "twistd.log")
    wait_for(
        lambda: f"--listen = '{place}': Address already in use: stop what listens there" in log.read_text()
    )
    assert "Traceback" not in log.read_text()
    wait_for(lambda: not (tmp_path / "gone.pid").exists())


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--listen", "gopher=tcp:0"], "xfer: command line: --listen = 'gopher': no such protocol plugin"),
        (["--listen", "ftp=tcp:x"], "command line: --listen = 'ftp=tcp:x': not a Twisted endpoint"),
        (["--listen", "ftp=udp:0"], "command line: --listen = 'ftp=udp:0': does not speak UDP"),
        (["--listen", "ftp=tcp:65536"], "--listen = 'ftp=tcp:65536': a port is a number from 0 to 65535"),
        (["--listen", "ftp@alice=tcp:0"], "has a login of its own: write ftp=tcp:0"),
        (["--root", "/nowhere/at/all"], "xfer: command line: --root = '/nowhere/at/all'"),
        (["--auth", "users:/nowhere"], "xfer: command line: --auth = 'users:...'"),
        (["--auth", "nosuch:x"], "command line: --auth = 'nosuch': no such type; there are"),
        (["--config", "/nowhere.toml"], "xfer: --config = '/nowhere.toml': No such file or directory"),
        (["--workers", "0"], "command line: --workers = 0: must be a whole number from 1"),
        (["--passive-ports", "9-3"], "command line: --passive-ports = '9-3': must be LOW-HIGH"),
        (
            ["--log-file", "/nowhere/x.log"],
            "command line: --log-file = '/nowhere/x.log': No such file or directory",
        ),
    ],
)
def test_start_that_fails_says_why(root, args, line):
    """Each mistake ends the start with its remedy and 1, and without a traceback or a pid file."""
    daemon = Daemon(["--root", str(root), *args])
    try:
        daemon.spawn()
        assert daemon.wait() == 1
        assert line in daemon.output
        assert "Traceback" not in daemon.output
        assert not daemon.pidfile.exists()
    finally:
        daemon.close()


def run_check(args):
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "xfer", "--check"]
    return subprocess.run([*twistd, *args], capture_output=True, text=True, timeout=60, check=False)


def test_check_prints_the_tree_and_binds_nothing(root):
    """The ports may be taken, nothing is made, and no secret is shown."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"ftp=tcp:{taken.getsockname()[1]}:{LOOPBACK}"
        done = run_check(["--root", str(root), "--listen", place, "--auth", "memory:alice:secretcanary"])
    assert done.returncode == 0, done.stderr
    assert f'listen = ["{place}"]' in done.stdout
    assert 'auth = ["memory:***"]' in done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert "the configuration is good" in done.stderr
    assert list(root.iterdir()) == []


def test_check_explains_a_broken_file(root, tmp_path):
    """File, key, value and remedy, and 1."""
    config = tmp_path / "xfer.toml"
    config.write_text(f'root = "{root}"\n[protocols.ftp]\nbaner = "x"\n')
    done = run_check(["--config", str(config), "--listen", FTP])
    assert done.returncode == 1
    assert done.stdout == ""
    assert "protocols.ftp.baner" in done.stderr
    assert "did you mean 'banner'" in done.stderr


def test_config_file_json_log_and_events(root, tmp_path):
    """Diagnostics as JSON to a file that SIGHUP reopens; events to their own."""
    config = tmp_path / "xfer.toml"
    config.write_text(
        f"""
root = "root"
listen = ["{FTP}"]
auth = ["memory:alice:secret"]
xferlog = "xferlog"
[log]
format = "json"
file = "xfer.log"
[[listeners]]
plugin = "json"
path = "{tmp_path}/events.json"
"""
    )
    log = tmp_path / "xfer.log"
    daemon = Daemon(["--config", str(config)])
    try:
        daemon.spawn()
        wait_for(lambda: log.exists() and "xfer: serving" in log.read_text())
        log.rename(tmp_path / "old.log")
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: log.exists() and "reloaded event logs" in log.read_text())
        assert daemon.stop() == 0
    finally:
        daemon.close()
    lines = (tmp_path / "old.log").read_text() + log.read_text()
    entries = [json.loads(line) for line in lines.splitlines()]
    assert {"time", "level", "namespace", "message"} == set(entries[0])
    assert entries[-1]["message"]
    events = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]
    kinds = [event.get("event", event.get("id")) for event in events]
    assert (kinds[0], kinds[-1]) == ("daemon.start", "daemon.stop")


def test_kill_leaves_a_root_that_starts_again(root):
    """After SIGKILL the next start needs no help."""
    with Daemon(["--root", str(root), "--listen", ECHO]) as daemon:
        daemon.kill()
    with Daemon(["--root", str(root), "--listen", ECHO]) as daemon:
        assert daemon.stop() == 0


def test_descriptors_come_back(root):
    """A hundred sessions later the process holds what it held before."""
    with Daemon(["--root", str(root), "--listen", FTP, *ACCOUNT]) as daemon:
        held = f"/proc/{daemon.pid}/fd"
        if not os.path.isdir(held):
            pytest.skip("needs /proc")
        with connect(daemon, "ftp") as stream:
            stream.recv(100)
        before = len(os.listdir(held))
        for _ in range(100):
            with connect(daemon, "ftp") as stream:
                stream.recv(100)
        wait_for(lambda: len(os.listdir(held)) <= before)
        assert daemon.stop() == 0


def test_twistd_help_lists_xfer_and_stays_light(tmp_path):
    """The drop-in names the daemon; listing it imports neither the daemon nor its dependencies."""
    script = """
import sys
sys.argv = ["twistd", "--help"]
from twisted.scripts.twistd import run
try:
    run()
except SystemExit:
    pass
heavy = ("argon2", "OpenSSL", "blake3", "click", "tqdm", "twisted_xfer.app", "twisted_xfer.protocols.ftp",
         "twisted_xfer.runtime", "twisted_xfer.storage", "twisted_xfer.transfer", "twisted_xfer.accounts.realm")
print("LOADED", [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True
    )
    assert "xfer" in [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    xfer")]
    assert "LOADED []" in done.stdout
