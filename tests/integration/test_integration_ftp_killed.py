"""Clients that are killed in the middle of an upload: their kernel ends both connections in good order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ftp_client import RawFTP, wait_for

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

UPLOADER = """
import ftplib, sys, time
port, verb, sent = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", port)
ftp.login("alice", "secret")
ftp.voidcmd("TYPE I")
if verb == "REST":
    data = ftp.transfercmd("STOR f", rest=10)
else:
    data = ftp.transfercmd(verb + " f")
data.sendall(b"n" * sent)
print("sent", flush=True)
time.sleep(60)
"""
OLD = b"o" * 5000


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    arguments = [
        "--root",
        str(root),
        "--listen",
        "ftp=tcp:0:interface=127.0.0.1",
        "--auth",
        "memory:alice:secret",
    ]
    with Daemon(arguments) as running:
        running.home = root / "alice"
        yield running


def kill_an_upload(daemon, verb, sent):
    """Start a client in a process of its own, and kill it once the server has what it sent."""
    port = daemon.address("ftp")[1]
    client = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, str(port), verb, str(sent)], stdout=subprocess.PIPE
    )
    assert client.stdout.readline() == b"sent\n"
    # As long as a transfer of some length takes: then the server looks at the control connection twice.
    time.sleep(0.1)
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()


@pytest.mark.parametrize("verb", ["STOR", "APPE", "REST"])
@pytest.mark.parametrize("sent", [0, 100_000])
def test_nothing_of_a_killed_client_is_published(daemon, verb, sent):
    """A new name stays away and an old file stays what it was, five times over."""
    for _ in range(5):
        for old in (None, OLD):
            with RawFTP(daemon.address("ftp")) as client:
                client.say("TYPE I")
                client.say("DELE f")
                if old is not None:
                    # 450 for as long as the session of the last one that was killed holds its part.
                    wait_for(lambda: client.store("f", old).startswith(b"226 "))  # noqa: B023 - called at once
                elif verb == "REST":
                    continue
                kill_an_upload(daemon, verb, sent)
                # The next login of the same user is answered after the end of the killed session.
                wait_for(lambda: client.say("NOOP").startswith(b"200 "))
                wait_for(lambda: count_sessions(daemon) <= 1)
            published = daemon.home / "f"
            if old is None:
                assert not published.exists()
            else:
                assert published.read_bytes() == old


def count_sessions(daemon):
    """Control connections that the daemon holds."""
    port = daemon.address("ftp")[1]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01")


def test_killed_curl(daemon, tmp_path):
    """The same with a program that people use."""
    source = tmp_path / "source"
    source.write_bytes(b"c" * 20_000_000)
    url = f"ftp://alice:secret@127.0.0.1:{daemon.address('ftp')[1]}/curl"
    for _ in range(5):
        client = subprocess.Popen(["curl", "-sS", "--limit-rate", "500k", "-T", str(source), url])
        wait_for(lambda: any(daemon.home.glob(".curl.*.xpart")))
        time.sleep(0.1)
        client.kill()
        client.wait()
        wait_for(lambda: count_sessions(daemon) == 0)
        assert not (daemon.home / "curl").exists()
