"""All plugins in one real daemon, each over the wire: the fixture comes with twisted-xfer."""

import ftplib
import io
import json
import socket
import subprocess
import sys

import pytest
from acme_xfer.token import password_for

from twisted_xfer.testing.server import XferServer

SECRET = b"our secret"
PASSWORD = password_for(b"carol", SECRET).decode()


@pytest.fixture
def server(tmp_path):
    """A daemon with every plugin of ours."""
    (tmp_path / "secret").write_bytes(SECRET)
    config = {
        "listen": ["peek=tcp:0:interface=127.0.0.1"],
        "auth": [f"token:{tmp_path}/secret"],
        "storage": {"plugin": "sqlite", "database": f"{tmp_path}/files.db", "largest": 1000},
        "listeners": [
            {"plugin": "tally", "path": f"{tmp_path}/tally"},
            {"plugin": "suffixes", "refused": [".exe"]},
        ],
        "protocols": {"ftp": {"commands": ["lines"]}, "peek": {"idle": 30}},
    }
    with XferServer(config=config) as running:
        yield running


@pytest.fixture
def ftp(server):
    """Logged in with a computed password."""
    client = ftplib.FTP(timeout=20)
    client.connect(server.host, server.port)
    client.login("carol", PASSWORD)
    yield client
    client.close()


def store(ftp, name, data):
    return ftp.storbinary(f"STOR {name}", io.BytesIO(data))


def test_checker_over_the_wire(server, ftp):
    """Carol is in; another's password is refused, and the account of the server's own still works."""
    with ftplib.FTP(timeout=20) as client:
        client.connect(server.host, server.port)
        with pytest.raises(ftplib.error_perm):
            client.login("bob", PASSWORD)
        client.login(server.user, server.password)


def test_storage_over_the_wire(server, ftp):
    """Files go into the database and nowhere else, and are what they were; large ones are refused."""
    ftp.mkd("pub")
    store(ftp, "pub/a.txt", b"1\n2\n")
    assert store(ftp, "full", b"x" * 1000).startswith("226")
    with pytest.raises(ftplib.error_perm, match="552"):
        store(ftp, "over", b"x" * 1001)
    with pytest.raises(ftplib.error_perm, match="550"):
        ftp.size("over")
    pieces = []
    ftp.retrbinary("RETR pub/a.txt", pieces.append, rest=2)
    assert b"".join(pieces) == b"2\n"
    assert ftp.nlst("pub") in (["a.txt"], ["pub/a.txt"])
    assert not (server.root / "carol").exists()


def test_storage_outlives_the_daemon(server, ftp):
    """What was stored is there after a restart."""
    store(ftp, "kept", b"data")
    ftp.quit()
    server.daemon.stop()
    server.daemon.start()
    server.host, server.port = server.address("ftp")
    with ftplib.FTP(timeout=20) as again:
        again.connect(server.host, server.port)
        again.login("carol", PASSWORD)
        again.voidcmd("TYPE I")
        assert again.size("kept") == 4


def test_listener_over_the_wire(server, ftp, tmp_path):
    """Each transfer is one line."""
    store(ftp, "a.txt", b"12345")
    ftp.retrbinary("RETR a.txt", lambda data: None)
    server.wait_for("download.complete")
    ftp.quit()
    server.stop()
    assert (tmp_path / "tally").read_text().splitlines() == ["'carol' +5 '/a.txt'", "'carol' -5 '/a.txt'"]


def test_veto_over_the_wire(server, ftp):
    """A refused upload has never been there."""
    with pytest.raises(ftplib.error_perm, match=r"55[03]"):
        store(ftp, "virus.EXE", b"MZ")
    assert ftp.nlst() == []
    assert server.wait_for("upload.aborted")["code"] == "vetoed"


def test_command_over_the_wire(server, ftp):
    """XLIN is offered, counts, and fails as every command does; SITE has one more."""
    store(ftp, "three", b"1\n2\n3\n")
    assert "XLIN" in ftp.sendcmd("FEAT")
    assert ftp.sendcmd("XLIN three") == "213 3"
    with pytest.raises(ftplib.error_perm, match="550"):
        ftp.sendcmd("XLIN none")
    assert ftp.sendcmd("SITE WHOAMI") == "200 carol from 127.0.0.1"


def test_protocol_over_the_wire(server, ftp):
    """peek sees what FTP stored, in the same home and with the same password."""
    store(ftp, "a.txt", b"12345")
    with socket.create_connection(server.address("peek"), 20) as peer:
        peer.sendall(f"HELLO carol {PASSWORD}\nDIR /\nDIR none\nBYE\n".encode())
        answer = b""
        while data := peer.recv(1000):
            answer += data
    assert answer == b"OK\n5 a.txt\n.\nNO not_found\n"


def test_xfer_plugins_lists_them():
    """`xfer plugins` knows the distribution that each came with, and finds nothing wrong."""
    done = subprocess.run(
        [sys.executable, "-c", "from twisted_xfer.cli.main import main; main(['plugins', '--json'])"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    ours = {(row["kind"], row["name"]) for row in rows if row["distribution"] == "acme-xfer 1.2.3"}
    assert ours == {
        ("protocol", "peek"),
        ("storage", "sqlite"),
        ("listener", "tally"),
        ("listener", "suffixes"),
        ("command", "lines"),
        ("checker", "token"),
    }
    assert [row["problem"] for row in rows if row["problem"]] == []
