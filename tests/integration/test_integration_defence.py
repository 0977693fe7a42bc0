"""Floods of wrong logins, and bans, against real daemons."""

import ftplib
import json
import os
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

FLOOD_FROM = "127.0.0.2"
RATE = 200
SECONDS = 3


@pytest.fixture
def site(tmp_path):
    """A configuration file, to be written by a test, and an account alice with password secret."""
    (tmp_path / "root").mkdir()
    users = tmp_path / "users"
    users.write_text(f"alice:{hash_password('secret')}\n")
    users.chmod(0o600)
    try:
        with socket.socket() as probe:
            probe.bind((FLOOD_FROM, 0))
    except OSError:
        pytest.skip(f"needs {FLOOD_FROM}")

    def configure(more):
        config = tmp_path / "xfer.toml"
        config.write_text(
            f'root = "root"\nlisten = ["ftp=tcp:0:interface=127.0.0.1"]\nauth = ["users:{users}"]\n{more}'
            f'[[listeners]]\nplugin = "json"\npath = "{tmp_path}/events.jsonl"\n'
        )
        return Daemon(["--config", str(config)])

    configure.path = tmp_path
    return configure


class Flood:
    """Wrong logins from one address, each on a connection of its own; answers are counted, not waited for."""

    def __init__(self, address):
        self.address = address
        self.sockets = []
        self.selector = selectors.DefaultSelector()
        self.answered = 0

    def send(self, count):
        for _ in range(count):
            stream = socket.create_connection(self.address, 20, source_address=(FLOOD_FROM, 0))
            stream.sendall(b"USER u%d\r\n" % len(self.sockets))
            self.sockets.append([stream, b"", False])
            self.selector.register(stream, selectors.EVENT_READ, self.sockets[-1])
        self.look()

    def look(self):
        """Read what has come; a password follows the answer to USER."""
        for key, _ in self.selector.select(0):
            entry = key.data
            data = entry[0].recv(4096)
            entry[1] += data
            if b"\n331" in entry[1] and not entry[2]:
                entry[2] = True
                entry[0].sendall(b"PASS wrong\r\n")
            if not data or b"\n530" in entry[1] or b"\n421" in entry[1] or b"\n4" in entry[1]:
                self.answered += 1
                self.selector.unregister(entry[0])

    @property
    def asked(self):
        """Attempts whose password is on its way."""
        return sum(entry[2] for entry in self.sockets)

    def close(self):
        self.selector.close()
        for stream, _, _ in self.sockets:
            stream.close()


def test_flood_of_wrong_logins_starves_nobody(site):
    """While 200 a second come from one address, good logins from another pass its backlog."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RATE * SECONDS + 200
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            pytest.skip("needs more descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with site("[bans]\nafter = 0\n") as daemon:
        flood = Flood(daemon.address("ftp"))
        try:
            backlogs = []
            for _second in range(SECONDS):
                for _ in range(10):
                    flood.send(RATE // 10)
                    time.sleep(0.05)
                flood.look()
                with ftplib.FTP(timeout=60) as good:
                    good.connect(*daemon.address("ftp"))
                    assert good.login("alice", "secret").startswith("230")
                flood.look()
                backlogs.append(flood.asked - flood.answered)
            # Each good login was answered while wrong ones sent before it still waited.
            assert flood.asked > RATE
            assert min(backlogs) > 0, (backlogs, flood.asked, flood.answered)
        finally:
            flood.close()
        assert "Traceback" not in daemon.output
        assert daemon.stop() == 0


def xfer(*args):
    code = "from twisted_xfer.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )


def greeting(daemon, source):
    with socket.create_connection(daemon.address("ftp"), 20, source_address=(source, 0)) as stream:
        return stream.makefile("rb").readline()[:3]


def guess(daemon):
    """One wrong login; False when the address is banned already."""
    with socket.create_connection(daemon.address("ftp"), 20, source_address=(FLOOD_FROM, 0)) as stream:
        reader = stream.makefile("rb")
        if reader.readline()[:3] == b"421":
            return False
        stream.sendall(b"USER nobody\r\n")
        reader.readline()
        stream.sendall(b"PASS wrong\r\n")
        return reader.readline()[:3] == b"530"


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 3])
def test_ban_is_shared_kept_shown_and_lifted(site, workers):
    """Guessing bans the address for all processes and across a restart; `xfer bans` lets it in again."""
    bans = site.path / "bans"
    settings = f'workers = {workers}\n[bans]\nafter = 3\nfile = "bans"\n'
    with site(settings) as daemon:
        # Whichever of the processes hears of them: three are three.
        for _ in range(3):
            assert guess(daemon)
        wait_for(lambda: all(greeting(daemon, FLOOD_FROM) == b"421" for _ in range(8)))
        assert greeting(daemon, "127.0.0.1") == b"220"
        (row,) = [
            json.loads(line)
            for line in xfer("bans", "list", "--json", "--file", str(bans)).stdout.splitlines()
        ]
        assert row["address"] == FLOOD_FROM
        assert daemon.stop() == 0
    with site(settings) as daemon:
        assert greeting(daemon, FLOOD_FROM) == b"421"
        config = str(site.path / "xfer.toml")
        assert xfer("bans", "lift", FLOOD_FROM, "--config", config).returncode == 0
        wait_for(lambda: all(greeting(daemon, FLOOD_FROM) == b"220" for _ in range(8)))
        assert xfer("bans", "list", "--config", config).stdout == ""
        assert daemon.stop() == 0
    events = [json.loads(line) for line in (site.path / "events.jsonl").read_text().splitlines()]
    told = [(event["id"], event["address"]) for event in events if event["id"].startswith("ban.")]
    assert told == [("ban.added", FLOOD_FROM), ("ban.removed", FLOOD_FROM)]


def test_connections_by_rate_and_the_allow_list(site):
    """Past its rate an address is told 421; a network in the allow list is not."""
    with site('[limits]\nconnects_per_minute = 6\n[bans]\nallow = ["127.0.0.1/32"]\n') as daemon:
        assert [greeting(daemon, FLOOD_FROM) for _ in range(4)] == [b"220"] * 3 + [b"421"]
        assert [greeting(daemon, "127.0.0.1") for _ in range(8)] == [b"220"] * 8


NEIGHBOURS = """
import socket, subprocess, sys
from twisted_xfer.testing.daemon import Daemon

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "-6", "route", "add", "local", "fd00:1::/32", "dev", "lo"], check=True)

def ask(daemon, source, *lines):
    with socket.socket(socket.AF_INET6) as stream:
        stream.settimeout(20)
        stream.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        stream.bind((source, 0))
        stream.connect(("::1", daemon.address("ftp")[1]))
        reader = stream.makefile("rb")
        reply = reader.readline()[:3]
        for line in lines:
            stream.sendall(line + b"\\r\\n")
            reply = reader.readline()[:3]
        return reply

with Daemon(["--config", sys.argv[1]]) as daemon:
    for host in range(3):
        assert ask(daemon, f"fd00:1:0:5::{host + 1:x}", b"USER nobody", b"PASS wrong") == b"530", host
    assert ask(daemon, "fd00:1:0:5:ffff::9") == b"421", "a neighbour in the /64"
    assert ask(daemon, "fd00:1:0:6::1") == b"220", "another /64"
    assert daemon.stop() == 0
"""


def test_a_host_with_a_whole_ipv6_network_is_one_host(site):
    """Guesses from three addresses of a /64 ban all of it, and nobody beside it."""
    tools = shutil.which("unshare"), shutil.which("ip")
    if (
        None in tools
        or subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs ip, and a network of its own")
    site("[bans]\nafter = 3\n").close()
    config = site.path / "xfer.toml"
    config.write_text(config.read_text().replace("tcp:0:interface=127.0.0.1", "tcp6:0:interface=\\\\:\\\\:1"))
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", NEIGHBOURS, str(config)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.returncode, done.stderr) == (0, "")
