"""Rates with a real daemon: what is limited cannot be faster, by the kernel's pumps or by hand."""

from __future__ import annotations

import os
import threading
import time

import pytest
from ftp_client import RawFTP

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

RATE = 400_000
SIZE = 600_000
#: Of a rate, what may pass at once.
BURST = 0.1
CONFIG = """
root = "{root}"
home = "{{root}}"
listen = ["ftp=tcp:0:interface=127.0.0.1"]
auth = ["memory:alice:secret:bob:secret"]
[throttle]
{key} = {rate}
"""


def login(daemon, user="alice"):
    ftp = RawFTP(daemon.address("ftp"), user)
    assert ftp.say("TYPE I").startswith(b"200")
    return ftp


@pytest.mark.parametrize("key", ["up", "account_up", "session_up", "down", "account_down", "session_down"])
def test_no_faster_than_the_rate(tmp_path, key):
    """A lower bound of the time is a fact about the limit, however slow the machine is; every byte arrives."""
    (tmp_path / "root").mkdir()
    config = tmp_path / "xfer.toml"
    config.write_text(CONFIG.format(root=tmp_path / "root", key=key, rate=RATE))
    data = os.urandom(SIZE)
    (tmp_path / "root" / "there").write_bytes(data)
    with Daemon(["--config", str(config)]) as daemon, login(daemon) as ftp:
        began = time.monotonic()
        if key.endswith("up"):
            assert ftp.store("new", data).startswith(b"226")
            assert (tmp_path / "root" / "new").read_bytes() == data
        else:
            reply, got = ftp.retrieve("RETR there")
            assert reply.startswith(b"226")
            assert got == data
        assert time.monotonic() - began >= SIZE / RATE - BURST - 0.01


def test_two_sessions_share_a_rate(tmp_path):
    """Together no faster than the rate; that they share it fairly is a matter of the unit tests."""
    (tmp_path / "root").mkdir()
    config = tmp_path / "xfer.toml"
    config.write_text(CONFIG.format(root=tmp_path / "root", key="up", rate=2 * RATE))
    done = {}
    with Daemon(["--config", str(config)]) as daemon:
        clients = {user: login(daemon, user) for user in ("alice", "bob")}
        began = time.monotonic()

        def upload(user):
            assert clients[user].store(user, user.encode() * (SIZE // len(user))).startswith(b"226")
            done[user] = time.monotonic() - began

        threads = [threading.Thread(target=upload, args=(user,)) for user in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for client in clients.values():
            client.sock.close()
    assert len(done) == 2
    assert max(done.values()) >= SIZE / RATE - BURST - 0.01
