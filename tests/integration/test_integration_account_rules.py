"""What a users file and the daemon's policies say, as FTP clients of a real daemon meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from ftp_client import RawFTP, reset, wait_for

from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

FTP = "ftp=tcp:0:interface=127.0.0.1"
XFER = "from twisted_xfer.cli.main import main; main()"
HASH = hash_password("secret")
OPEN = []
#: Counts calls in the daemon's own process: one line each.
WATCH = """
import os
calls = {log!r}
def note(text):
    with open(calls, "a") as file:
        file.write(text + "\\n")
"""


@pytest.fixture
def site(tmp_path):
    """A maker of daemons over one root and one users file; ``watch`` is Python that runs in them first."""

    class Site:
        root = tmp_path / "root"
        users = tmp_path / "users.toml"
        calls = tmp_path / "calls"
        events = tmp_path / "events.jsonl"

        def daemon(self, users, more="", watch=""):
            self.users.write_text(users.replace("HASH", HASH))
            self.users.chmod(0o600)
            (tmp_path / "hook").mkdir(exist_ok=True)
            hook = WATCH.format(log=str(self.calls)) + watch
            (tmp_path / "hook" / "sitecustomize.py").write_text(hook if watch else "")
            config = tmp_path / "xfer.toml"
            config.write_text(
                f'root = "root"\nlisten = ["{FTP}"]\nauth = ["users:{self.users}"]\n{more}\n'
                f'[[listeners]]\nplugin = "json"\npath = "{self.events}"\n'
            )
            return Daemon(["--config", str(config)], env={"PYTHONPATH": str(tmp_path / "hook"), "TZ": "UTC"})

        def called(self):
            return self.calls.read_text().split() if self.calls.exists() else []

        def user(self, *args):
            return subprocess.Popen(
                [sys.executable, "-c", XFER, "user", *args, "--users", str(self.users)],
                env={**os.environ, "XFER_PASSWORD": "secret"},
                stdout=subprocess.DEVNULL,
            )

    Site.root.mkdir()
    yield Site()
    while OPEN:
        OPEN.pop().sock.close()


def connect(daemon):
    """A client that is closed at the end of the test."""
    OPEN.append(RawFTP(daemon.address("ftp"), None))
    return OPEN[-1]


def login(daemon, user, password="secret"):
    ftp = connect(daemon)
    ftp.say(f"USER {user}")
    return ftp, ftp.say(f"PASS {password}")


def enter(daemon, user):
    ftp, reply = login(daemon, user)
    assert reply.startswith(b"230"), reply
    assert ftp.say("TYPE I").startswith(b"200")
    return ftp


def test_groups_rights_by_path_and_shared_quota(site):
    """Defaults come from groups; the last pattern decides; members share what the group has."""
    with site.daemon(
        """
        [groups.staff]
        charset = "cp1251"
        max_sessions = 1
        shared_bytes = 1000
        path_rights = { "/**" = "read-only", "/in/**" = "all", "/in/old/**" = "none" }
        [users.alice]
        password = "HASH"
        groups = ["staff"]
        directory_quotas = { "/in/small" = 100 }
        [users.bob]
        password = "HASH"
        groups = ["staff"]
        max_sessions = 2
        """
    ) as daemon:
        for name in ("alice", "bob"):
            (site.root / name / "in" / "old").mkdir(parents=True)
            (site.root / name / "in" / "small").mkdir()
        alice, bob = enter(daemon, "alice"), enter(daemon, "bob")
        assert login(daemon, "alice")[1].startswith(b"421"), "one session, by the group"
        second, reply = login(daemon, "bob")
        assert reply.startswith(b"230"), "two, by the account"
        second.sock.close()
        assert alice.store("top", b"x").startswith(b"550")
        assert alice.store("in/old/x", b"x").startswith(b"550")
        assert alice.store("in/a", b"x" * 600).startswith(b"226")
        assert bob.store("in/b", b"x" * 401).startswith(b"552")
        assert bob.say("AVBL in") == b"213 400\r\n"
        assert bob.store("in/b", b"x" * 400).startswith(b"226")
        assert alice.say("DELE in/a").startswith(b"250")
        assert alice.store("in/small/c", b"x" * 101).startswith(b"552")
        assert alice.store("in/small/c", b"x" * 100).startswith(b"226")
        assert b"Group staff: 500 of 1000 bytes" in bob.say("SITE QUOTA in")
        alice.send("MKD in/имя\r\n".encode("cp1251"))
        assert alice.reply().startswith(b"257")
        assert (site.root / "alice" / "in" / "имя").is_dir()


def test_hours_expiry_networks_and_tls(site):
    """Each keeps an account out, with the answer of a wrong password; without it the account is let in."""
    today = datetime.now(UTC)
    other_day = (today + timedelta(days=3)).strftime("%a").lower()
    rules = {
        "hours": (f'hours = "{other_day} 09:00-10:00"', 'hours = ["00:00-12:00", "12:00-00:00"]'),
        "expires": (f"expires = {today.date() - timedelta(days=2)}", f"expires = {today.date()}"),
        "networks": ('networks = "192.0.2.0/24"', 'networks = ["192.0.2.0/24", "127.0.0.0/8"]'),
        "enabled": ("enabled = false", "enabled = true"),
    }
    users = ""
    for name, both in rules.items():
        for kind, rule in zip(("out", "in"), both, strict=True):
            users += f'[users.{name}-{kind}]\npassword = "HASH"\n{rule}\n'
    with site.daemon(users + '[users.tls]\npassword = "HASH"\nrequire_tls = true\n') as daemon:
        for name in rules:
            assert login(daemon, f"{name}-in")[1].startswith(b"230"), name
            assert login(daemon, f"{name}-out")[1].startswith(b"530"), name
        ftp = connect(daemon)
        assert ftp.say("USER tls")[:1] in b"45"


def test_edits_at_the_same_time_are_all_made(site):
    """Eight programs change one file while the daemon reads it: nobody is lost, and nobody is kept out."""
    with site.daemon('[users.alice]\npassword = "HASH"\n') as daemon:
        programs = [site.user("add", f"u{number}") for number in range(6)]
        programs += [site.user("set", "alice", "--comment", f"c{number}") for number in range(2)]
        while any(program.poll() is None for program in programs):
            ftp, reply = login(daemon, "alice")
            ftp.sock.close()
            assert reply.startswith(b"230")
        assert [program.returncode for program in programs] == [0] * 8
        for number in range(6):
            assert login(daemon, f"u{number}")[1].startswith(b"230")
        listed = subprocess.run(
            [sys.executable, "-c", XFER, "user", "list", "--json", "--users", str(site.users)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert {json.loads(line)["name"] for line in listed.stdout.splitlines()} == {
            "alice", *(f"u{number}" for number in range(6)),
        }  # fmt: skip


def test_a_device_that_comes_often_pays_for_one_hash(site):
    """A login that was good is remembered; a wrong password, and the old one after a change, are not good."""
    counted = """
import argon2
verify = argon2.PasswordHasher.verify
def counting(self, *args, **kwargs):
    note("hash")
    return verify(self, *args, **kwargs)
argon2.PasswordHasher.verify = counting
"""
    with site.daemon('[users.alice]\npassword = "HASH"\n', watch=counted) as daemon:
        for _ in range(5):
            enter(daemon, "alice").sock.close()
        assert site.called() == ["hash"]
        assert login(daemon, "alice", "wrong")[1].startswith(b"530")
        assert site.called() == ["hash"] * 2
        program = site.user("passwd", "alice")
        assert program.wait(60) == 0
        enter(daemon, "alice").sock.close()
        assert site.called() == ["hash"] * 3, "the same password under a new salt"


def test_failures_take_a_time_of_their_own_and_then_longer(site):
    """Lower bounds: an unknown name is answered no sooner than a wrong password, and guessing slows down."""
    with site.daemon('[users.alice]\npassword = "HASH"\n') as daemon:
        took = []
        for name in ("alice", "nobody", "alice", "alice"):
            began = time.monotonic()
            ftp, reply = login(daemon, name, "wrong")
            took.append(time.monotonic() - began)
            ftp.sock.close()
            assert reply.startswith(b"530")
        assert min(took) >= 0.39, took
        # The third for one name waits for half a second before it is looked at.
        assert took[3] >= 0.49, took
        enter(daemon, "alice").sock.close()


@pytest.mark.parametrize("fsync", [False, True])
def test_fsync_by_option(site, fsync):
    """With it file and directory are on the disk before the 226; without it nobody waits for the disk."""
    watched = """
fsync = os.fsync
def noted(fd):
    note("dir" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
    return fsync(fd)
os.fsync = noted
"""
    more = f"fsync = {str(fsync).lower()}\n"
    with (
        site.daemon('[users.alice]\npassword = "HASH"\n', more, watched) as daemon,
        enter(daemon, "alice") as ftp,
    ):
        assert ftp.store("a", b"x" * 100_000).startswith(b"226")
        assert site.called() == (["file", "dir"] if fsync else [])


def test_in_place_for_those_who_want_the_old_way(site):
    """Bytes go under the final name at once and stay there when the upload breaks off; REST goes on."""
    more = 'uploads = "in-place"\n'
    with site.daemon('[users.alice]\npassword = "HASH"\n', more) as daemon, enter(daemon, "alice") as ftp:
        target = site.root / "alice" / "a"
        connection = ftp.passive()
        assert ftp.say("STOR a").startswith(b"150")
        connection.sendall(b"x" * 1000)
        wait_for(lambda: target.exists() and target.stat().st_size == 1000)
        reset(connection)
        assert ftp.reply().startswith(b"426")
        assert ftp.say("SIZE a") == b"213 1000\r\n"
        connection = ftp.passive()
        assert ftp.say("REST 1000").startswith(b"350")
        assert ftp.say("STOR a").startswith(b"150")
        connection.sendall(b"y" * 500)
        connection.close()
        assert ftp.reply().startswith(b"226")
        assert target.read_bytes() == b"x" * 1000 + b"y" * 500
        assert os.listdir(site.root / "alice") == ["a"]


def test_everything_that_is_done_is_told(site):
    """One session, and the events of it in order, with its session and transfer."""
    users = '[users.alice]\npassword = "HASH"\nquota_bytes = 1000\nrights = "all"\npath_rights = {"/no/**" = "none"}\n'
    with site.daemon(users) as daemon:
        login(daemon, "alice", "wrong")
        with enter(daemon, "alice") as ftp:
            ftp.store("a", b"x" * 10)
            ftp.retrieve("RETR a")
            for line in ("MKD d", "RNFR a", "RNTO d/a", "MFMT 20200102030405 d/a", "SITE CHMOD 600 d/a"):
                assert ftp.say(line)[:1] in b"23"
            ftp.store("big", b"x" * 1001)
            connection = ftp.passive()
            assert ftp.say("STOR cut").startswith(b"150")
            connection.sendall(b"x" * 10)
            wait_for(lambda: [p.stat().st_size for p in (site.root / "alice").glob(".cut.*.xpart")] == [10])
            reset(connection)
            ftp.reply()
            ftp.say("DELE d/a")
            ftp.say("RMD d")
            ftp.say("MKD no/x")
            ftp.say("QUIT")
        assert daemon.stop() == 0
    told = [json.loads(line) for line in site.events.read_text().splitlines()]
    ids = [
        event["id"] for event in told if event.get("username") == "alice" and event["id"] != "login.failed"
    ]
    assert ids == [
        "login.ok", "upload.complete", "download.complete", "directory.make", "file.rename", "file.times",
        "file.mode", "quota.exceeded", "upload.aborted", "upload.aborted", "file.delete", "directory.remove",
        "right.missing", "logout",
    ]  # fmt: skip
    assert [event["id"] for event in told].count("login.failed") == 1
    assert {"daemon.start", "connection.open", "daemon.stop"} <= {event["id"] for event in told}
    (session,) = {event["session"] for event in told if event["id"] == "upload.complete"}
    assert all(event["session"] == session for event in told if event["id"] in ids)
