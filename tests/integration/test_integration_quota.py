"""Quota over FTP with a real daemon: to the byte, from many clients at once, and after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from ftp_client import RawFTP, reset, wait_for

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

PARALLEL = 50
XFER = "from twisted_xfer.cli.main import main; main()"
CONFIG = """
root = "{root}"
uploads = "{uploads}"
listen = ["ftp=tcp:0:interface=127.0.0.1"]
auth = ["memory:alice:secret:bob:secret"]
workers = {workers}
[quota]
plugin = "{plugin}"
{more}
[accounts.alice]
quota_bytes = {size}
quota_files = 200
directory_quotas = {{"/in" = "1K"}}
[accounts.bob]
"""


@pytest.fixture
def daemon(tmp_path):
    """A maker of daemons over one root and one ledger."""
    made = []

    def make(size, plugin="sqlite", workers=1, uploads="staged"):
        (tmp_path / "root").mkdir(exist_ok=True)
        more = f'file = "{tmp_path}/quota.sqlite"' if plugin == "sqlite" else ""
        config = tmp_path / "xfer.toml"
        config.write_text(
            CONFIG.format(
                root=tmp_path / "root", size=size, plugin=plugin, workers=workers, more=more, uploads=uploads
            )
        )
        made.append(Daemon(["--config", str(config)]))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


def login(server, user="alice"):
    """In image mode, for the bytes to be those of the file."""
    ftp = RawFTP(server.address("ftp"), user)
    assert ftp.say("TYPE I").startswith(b"200")
    return ftp


def on_disk(tmp_path):
    """Bytes and files that are published in alice's home."""
    files = [path for path in (tmp_path / "root" / "alice").rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files if not path.name.endswith(".xpart")]
    return sum(sizes), len(sizes)


def in_ledger(ftp):
    """Bytes used, by SITE QUOTA."""
    line = ftp.say("SITE QUOTA").split(b"\r\n")[1]
    assert line.strip().startswith(b"Account: "), line
    assert line.endswith(b", 0 bytes under way"), line
    words = line.split()
    return int(words[1]), int(words[5])


def test_over_quota_is_552_with_what_is_left_and_leaves_nothing(daemon, tmp_path):
    """Exactly full is fine; a byte more is refused, says what is left, and no part stays."""
    server = daemon(3000)
    with login(server) as ftp:
        assert ftp.say("AVBL") == b"213 3000\r\n"
        assert ftp.store("a", b"a" * 2000).startswith(b"226")
        reply = ftp.store("b", b"b" * 1001)
        assert reply.startswith(b"552 ")
        assert b"1000 bytes left" in reply
        assert sorted(os.listdir(tmp_path / "root" / "alice")) == ["a"]
        assert ftp.say("ALLO 1001").startswith(b"2")
        assert b"1000 bytes left" in ftp.store("b", b"")
        assert ftp.store("b", b"b" * 1000).startswith(b"226")
        assert ftp.say("AVBL") == b"213 0\r\n"
        assert ftp.store("a", b"A" * 2000).startswith(b"226"), "in the place of as much"
        connection = ftp.passive()
        assert ftp.say("APPE a").startswith(b"150")
        connection.sendall(b"x")
        connection.close()
        assert ftp.reply().startswith(b"552")
        assert ftp.say("MKD in").startswith(b"257")
        assert ftp.say("RNFR b").startswith(b"350")
        assert ftp.say("RNTO in/b").startswith(b"250")
        assert ftp.say("AVBL in") == b"213 0\r\n"
        assert ftp.say("DELE a").startswith(b"250")
        assert ftp.say("AVBL in") == b"213 24\r\n"
        assert b"Directory /in: 1000 of 1024 bytes" in ftp.say("SITE QUOTA in")
        assert ftp.say("RNFR in/b").startswith(b"350")
        assert ftp.say("RNTO b").startswith(b"250")
        assert ftp.say("AVBL in") == b"213 1024\r\n"
        assert in_ledger(ftp) == on_disk(tmp_path) == (1000, 1)
    with login(server, "bob") as ftp:
        free = int(ftp.say("AVBL").split()[1])
        disk = os.statvfs(tmp_path)
        assert 0 < free <= disk.f_blocks * disk.f_frsize, "what the disk has"
        assert ftp.say("AVBL missing").startswith(b"550 ")
        assert ftp.say("SITE QUOTA").startswith(b"200 No quota")


@pytest.mark.parametrize(("plugin", "workers"), [("memory", 1), ("sqlite", 1), ("sqlite", 2)])
def test_fifty_clients_at_once_and_never_one_byte_over(daemon, tmp_path, plugin, workers):
    """They want twice the quota; some get in, and what is published is never over it, and is what is charged."""
    size, limit = 20_000, PARALLEL * 10_000 + 7
    server = daemon(limit, plugin, workers)
    clients = [login(server) for _ in range(PARALLEL)]
    connections = [client.passive() for client in clients]
    for number, client in enumerate(clients):
        assert client.say(f"STOR {number}").startswith(b"150")

    def fill(connection):
        for _ in range(4):
            try:
                connection.sendall(b"x" * (size // 4))
            except OSError:
                break
        connection.close()

    threads = [threading.Thread(target=fill, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    replies = [client.reply()[:3] for client in clients]
    for thread in threads:
        thread.join(20)
    assert set(replies) <= {b"226", b"552"}
    stored, files = on_disk(tmp_path)
    assert files == replies.count(b"226")
    assert stored == files * size <= limit
    assert in_ledger(clients[0]) == (stored, files)
    # What was set aside for those that were refused is there for others.
    left = limit - stored
    assert clients[0].store("rest", b"x" * (left + 1)).startswith(b"552")
    assert clients[0].store("rest", b"x" * left).startswith(b"226")
    for client in clients:
        client.sock.close()


def test_nobody_deletes_bytes_off_a_quota_that_are_not_counted_yet(daemon, tmp_path):
    """Written in place, a file is there before it is counted: until its end it keeps its name."""
    server = daemon(5000, uploads="in-place")
    with login(server) as ftp, login(server) as other:
        assert ftp.store("old", b"o" * 3000).startswith(b"226")
        connection = ftp.passive()
        assert ftp.say("STOR new").startswith(b"150")
        connection.sendall(b"n" * 1500)
        wait_for(lambda: (tmp_path / "root/alice/new").stat().st_size == 1500)
        assert other.say("DELE new").startswith(b"450")
        assert other.say("RNFR new").startswith(b"350")
        assert other.say("RNTO moved").startswith(b"450")
        connection.close()
        assert ftp.reply().startswith(b"226")
        assert in_ledger(ftp) == on_disk(tmp_path) == (4500, 2)
        assert other.say("DELE new").startswith(b"250")
        assert in_ledger(ftp) == on_disk(tmp_path) == (3000, 1)


def test_exact_after_clients_and_daemons_that_were_killed(daemon, tmp_path):
    """Aborts, resets and kill -9 in the middle of uploads: after the next login the sums are those of the disk."""
    for attempt in range(3):
        server = daemon(100_000)
        clients = [login(server) for _ in range(4)]
        open_ = [client.passive() for client in clients]
        for number, client in enumerate(clients):
            assert client.say(f"STOR {attempt}-{number}").startswith(b"150")
            open_[number].sendall(b"x" * 5000)
        open_[0].close()
        assert clients[0].reply().startswith(b"226")
        reset(open_[1])
        assert clients[1].reply().startswith(b"426")
        parts = (tmp_path / "root" / "alice").glob(f".{attempt}-3.*.xpart")
        wait_for(lambda parts=list(parts): parts[0].stat().st_size == 5000)
        server.signal(signal.SIGKILL)
        assert server.wait() == -signal.SIGKILL
        for sock in [*open_, *(client.sock for client in clients)]:
            sock.close()
    server = daemon(100_000)
    with login(server) as ftp:
        assert in_ledger(ftp) == on_disk(tmp_path) == (15_000, 3)
        assert ftp.say("SIZE 0-2").startswith(b"213"), "its part is there to be resumed"


def test_behind_the_daemons_back_and_recounted(daemon, tmp_path):
    """`xfer user recount` brings the ledger to what there is, also while the daemon runs."""
    server = daemon(100_000)
    with login(server) as ftp:
        assert ftp.store("a", b"x" * 1000).startswith(b"226")
        (tmp_path / "root" / "alice" / "b").write_bytes(b"x" * 500)
        assert in_ledger(ftp) == (1000, 1)
        done = subprocess.run(
            [sys.executable, "-c", XFER, "user", "recount", str(tmp_path / "xfer.toml")],
            timeout=60,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "alice: 1500 bytes, 2 files (was 1000 bytes, 1 file)",
            "/user/alice/in: 0 bytes, 0 files",
        ]
        assert in_ledger(ftp) == on_disk(tmp_path) == (1500, 2)
