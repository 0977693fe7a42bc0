"""The example of the manual for IFTPShell: an existing Twisted realm behind our FTP, in twistd."""

import ftplib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "plugins" / "realm.tac"


@pytest.fixture
def port(tmp_path):
    """The example as it stands, on a free port, in a directory with a realm's files."""
    text = EXAMPLE.read_text()
    assert "tcp:2121:" in text
    (tmp_path / "realm.tac").write_text(text.replace("tcp:2121:", "tcp:0:"))
    (tmp_path / "passwords").write_text("alice:secret\n")
    (tmp_path / "homes" / "alice").mkdir(parents=True)
    (tmp_path / "pub").mkdir()
    (tmp_path / "pub" / "motd").write_text("hello\n")
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-ny", "realm.tac"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[2])},
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"ftp listening on 127\.0\.0\.1:(\d+)", output.read_text())):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.02)
        yield int(found[1])
        process.terminate()
        process.wait(30)
        assert "Traceback" not in output.read_text()
        assert "nobody can log in" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_users_of_the_realm(port, tmp_path):
    """Passwords, homes and files are the realm's own."""
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect("127.0.0.1", port)
        with pytest.raises(ftplib.error_perm):
            ftp.login("alice", "wrong")
        ftp.login("alice", "secret")
        ftp.storbinary("STOR a.txt", io.BytesIO(b"12345"))
        assert (tmp_path / "homes" / "alice" / "a.txt").read_bytes() == b"12345"
        ftp.rename("a.txt", "b.txt")
        pieces = []
        ftp.retrbinary("RETR b.txt", pieces.append, rest=2)
        assert b"".join(pieces) == b"345"
        assert ftp.nlst() == ["b.txt"]
        ftp.mkd("full")
        ftp.rename("b.txt", "full/b.txt")
        with pytest.raises(ftplib.error_perm, match=r"550 .*not empty"):
            ftp.rmd("full")


def test_anonymous_of_the_realm(port, tmp_path):
    """The realm's anonymous shell reads, and refuses to write."""
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect("127.0.0.1", port)
        ftp.login()
        pieces = []
        ftp.retrbinary("RETR motd", pieces.append)
        assert pieces == [b"hello\n"]
        with pytest.raises(ftplib.error_perm):
            ftp.storbinary("STOR x", io.BytesIO(b"x"))
    assert os.listdir(tmp_path / "pub") == ["motd"]
