"""Accounts that change while a real daemon runs."""

import ftplib
import os
import subprocess
import sys

import pytest

from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

FTP = "ftp=tcp:0:interface=127.0.0.1"


@pytest.fixture
def users(tmp_path):
    """`xfer user` on one file, as an operator runs it."""
    path = tmp_path / "users.toml"

    def run(verb, *args, password="secret"):
        code = "from twisted_xfer.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "user", verb, *args, "--users", str(path)],
            env={**os.environ, "XFER_PASSWORD": password},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.path = path
    return run


def login(daemon, name="alice", password="secret"):
    """The reply to the password: 230, or the error's."""
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect(*daemon.address("ftp"))
        try:
            return ftp.login(name, password)[:3]
        except ftplib.all_errors as error:
            return str(error)[:3]


def test_changes_hold_at_the_next_login(users, tmp_path):
    """Add, passwd, set and remove, each without a restart; a session goes on as it began."""
    root = tmp_path / "root"
    root.mkdir()
    users("add", "alice")
    with Daemon(["--root", str(root), "--listen", FTP, "--auth", f"users:{users.path}"]) as daemon:
        assert login(daemon) == "230"
        assert login(daemon, "bob") == "530"
        users("add", "bob", "--rights", "read-only", "--comment", "temp")
        assert login(daemon, "bob") == "230"
        users("passwd", "alice", password="other")
        assert login(daemon) == "530"
        assert login(daemon, password="other") == "230"
        with ftplib.FTP(timeout=20) as ftp:
            ftp.connect(*daemon.address("ftp"))
            ftp.login("bob", "secret")
            for change, way_back in (
                (("--disable",), ("--enable",)),
                (("--expires", "2020-01-01"), ("--unset", "expires")),
                (("--network", "192.0.2.0/24"), ("--network", "127.0.0.0/8")),
                (("--require-tls",), ("--no-require-tls",)),
            ):
                users("set", "bob", *change)
                assert login(daemon, "bob") != "230", change
                users("set", "bob", *way_back)
                assert login(daemon, "bob") == "230", way_back
            with pytest.raises(ftplib.error_perm):
                ftp.mkd("x")
            users("set", "bob", "--rights", "all")
            with pytest.raises(ftplib.error_perm):
                ftp.mkd("x")
        with ftplib.FTP(timeout=20) as ftp:
            ftp.connect(*daemon.address("ftp"))
            ftp.login("bob", "secret")
            ftp.mkd("x")
        users("remove", "bob")
        assert login(daemon, "bob") == "530"
        assert users("list") == "alice\n"
        assert "Traceback" not in daemon.output
        assert daemon.stop() == 0


def test_edits_at_the_same_time_are_all_there(users):
    """Eight processes add one user each."""
    users("add", "first")
    code = (
        "import sys\nfrom twisted_xfer.accounts.users_edit import edit_users\n"
        "from twisted_xfer.accounts.users_change import add_user\n"
        "path, name = sys.argv[1:]\n"
        "edit_users(path, lambda text: add_user(text, path, name, {'comment': name}))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(users.path), f"u{number}"]) for number in range(8)
    ]
    assert [process.wait(60) for process in started] == [0] * 8
    names = {"first"} | {f"u{number}" for number in range(8)}
    assert set(parse_users(users.path.read_text(), "u.toml")) == names
