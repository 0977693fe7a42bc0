"""Uploads whole or absent, with a real daemon: killed at any moment, watched, resumed, by two owners."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ftp_client import RawFTP, reset, wait_for

from twisted_xfer.interfaces import NewFile
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

#: Uploads that are killed; more by the environment, or by `python -m bench.kills`.
KILLS = os.environ.get("XFER_TEST_KILLS", "48")
SIZE = 3_000_000
FTP = "ftp=tcp:0:interface=127.0.0.1"
ACCOUNTS = ["--auth", "memory:alice:secret:bob:secret"]


def serve(root, *more, home="{root}"):
    return Daemon(["--root", str(root), "--listen", FTP, "--home", home, *ACCOUNTS, *more])


def login(daemon, user="alice"):
    """In image mode, for the bytes to be those of the file."""
    ftp = RawFTP(daemon.address("ftp"), user)
    assert ftp.say("TYPE I").startswith(b"200")
    return ftp


def version(name, number):
    """The whole content of a file in its ``number``-th version: every wrong mixture shows."""
    return random.Random(f"{name}/{number}").randbytes(SIZE)


def is_part(name):
    return name.startswith(".") and name.endswith(".xpart")


def kill_uploads(*more):
    """`python -m bench.kills` and what it counted."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.kills", "--uploads", KILLS, *more],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_uploads_killed_at_random_points():
    """Clients killed, daemons killed, the disk full: no wrong file under a final name, and quota to the byte.

    All clients announce their sizes here. Without, a machine that is busy enough can take longer to end
    the second connection of a killed client than any server would wait.
    """
    counted = kill_uploads("--announce", "8")
    kinds = ["client killed", "server killed"] + ["disk full"] * (not counted["no full disk"])
    assert all(counted[kind] for kind in kinds)
    assert counted["killed"] >= int(KILLS)
    assert counted["parts left"], "no kill came in the middle of an upload: the test has shown nothing"
    assert (counted["wrong files"], counted["drift"], counted["drift after recount"]) == (0, 0, 0)


# --- inotify -----------------------------------------------------------------------------

IN = {0x2: "modify", 0x4: "attrib", 0x8: "close_write", 0x40: "moved_from", 0x80: "moved_to"}
IN |= {0x100: "create", 0x200: "delete"}


class Watch:
    """inotify(7) on one directory, through libc."""

    def __init__(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0
        assert libc.inotify_add_watch(self.fd, os.fsencode(directory), sum(IN)) >= 0

    def events(self):
        """(what, name) of everything since the last call."""
        found = []
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return found
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0").decode()
            found += [(text, name) for bit, text in IN.items() if mask & bit]
            data = data[16 + length :]
        return found

    def close(self):
        os.close(self.fd)


def test_watchers_see_one_rename_per_upload_and_nothing_else(tmp_path):
    """Under final names there is nothing but `moved_to`, once for each upload that ended well."""
    renaming = tmp_path.with_suffix(".toml")
    renaming.write_text('if_exists = "rename"\n')
    watch = Watch(tmp_path)
    with serve(tmp_path) as daemon, login(daemon) as ftp:

        def seen():
            events = watch.events()
            return [event for event in events if not is_part(event[1])]

        seen()
        assert ftp.store("new", b"x" * 500_000).startswith(b"226")
        assert seen() == [("moved_to", "new")]
        assert ftp.store("new", b"y" * 500_000).startswith(b"226")
        assert seen() == [("moved_to", "new")], "replaced"
        connection = ftp.passive()
        assert ftp.say("STOR other").startswith(b"150")
        connection.sendall(b"z" * 1000)
        # A reset takes with it what the daemon has not read yet.
        wait_for(lambda: [path.stat().st_size for path in tmp_path.glob(".other.*.xpart")] == [1000])
        reset(connection)
        assert ftp.reply().startswith(b"426")
        assert seen() == [], "broken off"
        connection = ftp.passive()
        assert ftp.say("REST 1000").startswith(b"350")
        assert ftp.say("STOR other").startswith(b"150")
        connection.sendall(b"z" * 1000)
        connection.close()
        assert ftp.reply().startswith(b"226")
        assert seen() == [("moved_to", "other")], "resumed"
        assert (tmp_path / "other").read_bytes() == b"z" * 2000
        connection = ftp.passive()
        assert ftp.say("APPE new").startswith(b"150")
        connection.sendall(b"!")
        connection.close()
        assert ftp.reply().startswith(b"226")
        assert seen() == [("moved_to", "new")], "appended to"
    with serve(tmp_path, "--config", str(renaming)) as daemon, login(daemon) as ftp:
        seen()
        assert ftp.store("new", b"x").startswith(b"226")
        assert seen() == [("moved_to", "new (1)")], "another name"
    watch.close()


def test_watchers_of_small_files_that_are_stored_at_once(tmp_path):
    """They see the same of them: one rename, and nothing else under a final name."""
    watch = Watch(tmp_path)
    files = [NewFile(VirtualPath((name,)), name, 0o600, 10**18) for name in (b"one", b"two")]
    assert LocalStorage(tmp_path).store_new(files) == 2
    events = watch.events()
    assert [event for event in events if not is_part(event[1])] == [("moved_to", "one"), ("moved_to", "two")]
    assert ("close_write", "one") not in events
    assert [event[0] for event in events if is_part(event[1])].count("close_write") == 2
    watch.close()


def test_resume_after_a_kill_in_a_known_place(tmp_path):
    """kill -9 with 1 MB on the disk: SIZE tells its owner so, and REST goes on from there."""
    data = version("r", 0)
    with serve(tmp_path) as daemon:
        ftp = login(daemon)
        connection = ftp.passive()
        assert ftp.say("STOR r").startswith(b"150")
        connection.sendall(data[:1_000_000])

        def kept():
            return [path.stat().st_size for path in tmp_path.iterdir() if is_part(path.name)]

        wait_for(lambda: kept() == [1_000_000])
        daemon.signal(signal.SIGKILL)
        assert daemon.wait() == -signal.SIGKILL
        for sock in (connection, ftp.sock):
            sock.close()
    assert not (tmp_path / "r").exists()
    with serve(tmp_path) as daemon:
        with login(daemon, "bob") as bob:
            assert bob.say("SIZE r").startswith(b"550"), "to others it does not exist"
        with login(daemon) as ftp:
            assert ftp.say("SIZE r") == b"213 1000000\r\n"
            connection = ftp.passive()
            assert ftp.say("REST 1000000").startswith(b"350")
            assert ftp.say("STOR r").startswith(b"150")
            connection.sendall(data[1_000_000:])
            connection.close()
            assert ftp.reply().startswith(b"226")
    assert (tmp_path / "r").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir() if is_part(path.name)] == []


def test_two_owners_write_one_name_side_by_side(tmp_path):
    """Each has a part of its own; who ends last is there last, and both were whole."""
    with serve(tmp_path) as daemon:
        ends = []
        for user, data in (("alice", b"a" * 700_000), ("bob", b"b" * 900_000)):
            ftp = login(daemon, user)
            connection = ftp.passive()
            assert ftp.say("STOR shared").startswith(b"150")
            connection.sendall(data[:1000])
            ends.append((ftp, connection, data))
        with login(daemon) as second:
            connection = second.passive()
            assert second.say("STOR shared").startswith(b"450"), "of one owner only one at a time"
            connection.close()
        for ftp, connection, data in ends:
            connection.sendall(data[1000:])
            connection.close()
            assert ftp.reply().startswith(b"226")
            assert (tmp_path / "shared").read_bytes() == data
            ftp.sock.close()


@pytest.mark.parametrize(
    ("policy", "reply", "names"),
    [
        ("overwrite", b"226 ", {"a.txt": b"new"}),
        ("refuse", b"550 ", {"a.txt": b"old"}),
        ("rename", b"226 Transfer complete; stored as a (1).txt", {"a.txt": b"old", "a (1).txt": b"new"}),
    ],
)
def test_the_policy_for_taken_names(tmp_path, policy, reply, names):
    """Of the daemon; an account's own setting goes before it."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_bytes(b"old")
    config = tmp_path / "xfer.toml"
    other = "overwrite" if policy != "overwrite" else "refuse"
    for daemon_wide, own in ((policy, ""), (other, policy)):
        config.write_text(
            f'root = "{root}"\nhome = "{{root}}"\nlisten = ["{FTP}"]\nauth = ["memory:alice:secret"]\n'
            f'if_exists = "{daemon_wide}"\n[accounts.alice]\nif_exists = "{own}"\n'
        )
        with Daemon(["--config", str(config)]) as daemon, login(daemon) as ftp:
            assert ftp.store("a.txt", b"new").startswith(reply)
        assert {path.name: path.read_bytes() for path in root.iterdir()} == names
        for path in root.iterdir():
            path.unlink()
        (root / "a.txt").write_bytes(b"old")


def test_old_parts_go_at_the_start(tmp_path):
    """After parts_expire days without a byte; younger ones, and all other files, stay."""
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    old, young = (root / "deep" / f".{name}.0123456789abcdef.xpart" for name in ("old", "young"))
    for path in (old, young, root / "file"):
        path.write_bytes(b"x")
    for path, days in ((old, 2.1), (young, 1.9), (root / "file", 1000)):
        os.utime(path, (time.time() - days * 86400,) * 2)
    config = tmp_path / "xfer.toml"
    config.write_text(f'root = "{root}"\nlisten = ["{FTP}"]\nparts_expire = 2\n')
    with Daemon(["--config", str(config)]) as daemon:
        wait_for(lambda: "1 expired parts removed" in daemon.output)
        assert not old.exists()
        assert young.exists()
        assert (root / "file").exists()
        assert daemon.stop() == 0
