"""What rude, broken and killed clients get from a real daemon: a reply or an end, and nothing leaks."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket

import pytest
from ftp_client import RawFTP, descriptors, reset, wait_for

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

SECRET = b"what is outside"
PATH_VERBS = [
    "RETR", "STOR", "APPE", "LIST", "NLST", "MLSD", "MLST", "STAT", "SIZE", "MDTM", "CWD", "DELE", "RMD", "MKD",
    "RNFR", "MFMT 20200101000000", "SITE CHMOD 777", "SITE UTIME 20200101000000", "XCWD", "XMKD", "XRMD",
]  # fmt: skip
ESCAPES = [
    "../outside/secret", "../../../../../../etc/hostname", "/../outside/secret", "..//..//outside/secret",
    "link/secret", "link", "filelink", "..\\outside\\secret", "%2e%2e/outside/secret", "..%2foutside%2fsecret",
    "a/../../outside/secret", "./.././../outside/secret",
]  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "alice").mkdir()
    (root / "outside").mkdir()
    arguments = [
        "--root",
        str(root),
        "--listen",
        "ftp=tcp:0:interface=127.0.0.1",
        "--auth",
        "memory:alice:secret",
    ]
    with Daemon(arguments) as running:
        running.root = root
        yield running
        assert "Traceback" not in running.output


@pytest.fixture
def home(daemon):
    home = daemon.root / "alice"
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    secret = daemon.root / "outside" / "secret"
    secret.write_bytes(SECRET)
    os.chmod(secret, 0o640)
    os.utime(secret, ns=(10**18, 10**18))
    for name, target in (("link", "../outside"), ("filelink", str(secret))):
        (home / name).symlink_to(target)
    yield home
    assert secret.read_bytes() == SECRET
    assert secret.stat().st_mode & 0o777 == 0o640
    assert secret.stat().st_mtime_ns == 10**18
    assert sorted(os.listdir(daemon.root / "outside")) == ["secret"]


@pytest.fixture
def client(daemon, home):
    with RawFTP(daemon.address("ftp")) as client:
        yield client


@pytest.mark.parametrize("verb", PATH_VERBS)
def test_no_path_leaves_the_root(client, home, verb):
    """No spelling of a way out reads, lists or changes anything outside (the fixture looks)."""
    for escape in ESCAPES:
        client.say("CWD /")
        line = f"{verb} {escape}"
        if verb in {"STOR", "APPE"}:
            connection = client.passive()
            if client.say(line).startswith(b"150"):
                connection.sendall(b"overwritten")
                connection.close()
                client.reply()
            connection.close()
        elif verb in {"RETR", "LIST", "NLST", "MLSD"}:
            _reply, data = client.retrieve(line)
            assert SECRET not in data
            assert b"secret" not in data.replace(b"filelink", b"").replace(escape.encode(), b"")
        else:
            reply = client.say(line)
            assert reply[:1] in {b"2", b"3", b"5"}, reply
            assert str(len(SECRET)).encode() != reply[4:].strip()
            if verb == "RNFR" and reply.startswith(b"350"):
                client.say("RNTO moved")
                client.say("RNFR moved")
                client.say(f"RNTO {escape.rsplit('/', 1)[-1]}")


def test_rename_into_the_outside(client, home):
    """RNTO is a path as well."""
    assert client.store("mine", b"x").startswith(b"226 ")
    for escape in ESCAPES:
        client.say("RNFR mine")
        client.say(f"RNTO {escape}")
        if not (home / "mine").exists():
            assert client.store("mine", b"x").startswith(b"226 ")


def test_link_swapped_between_two_commands(client, home, daemon):
    """A directory that becomes a link to the outside after CWD leads nowhere."""
    client.say("MKD swap")
    assert client.say("CWD swap").startswith(b"250 ")
    (home / "swap").rmdir()
    (home / "swap").symlink_to(daemon.root / "outside")
    _reply, data = client.retrieve("RETR secret")
    assert data == b""
    assert client.store("planted", b"x")[:1] == b"5"
    (home / "swap").unlink()


def test_second_connection_to_a_passive_port(client):
    """A second connection gets nothing, and the first has its file."""
    assert client.store("f", b"contents").startswith(b"226 ")
    port = int(client.say("EPSV").split(b"|")[3])
    first = socket.create_connection(("127.0.0.1", port), timeout=20)
    second = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.send("RETR f")
    assert client.reply().startswith(b"150 ")
    assert first.recv(100) == b"contents"
    assert client.reply().startswith(b"226 ")
    client.say("EPSV")
    with contextlib.suppress(ConnectionResetError):
        assert second.recv(100) == b""
    first.close()
    second.close()


def test_stranger_on_the_passive_port(client):
    """Another address than the control connection's is closed, and the client still gets its file."""
    assert client.store("g", b"contents").startswith(b"226 ")
    port = int(client.say("EPSV").split(b"|")[3])
    thief = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.2", 0))
    own = socket.create_connection(("127.0.0.1", port), timeout=20)
    assert client.say("RETR g").startswith(b"150 ")
    assert own.recv(100) == b"contents"
    with contextlib.suppress(ConnectionResetError):
        assert thief.recv(100) == b""
    thief.close()
    own.close()


def test_ten_thousand_pipelined_commands(client):
    """All are answered, in order."""
    client.send(b"NOOP\r\n" * 9_999 + b"PWD\r\n")
    for _ in range(9_999):
        assert client.reply().startswith(b"200 ")
    assert client.reply().startswith(b"257 ")


def test_client_that_never_reads(daemon, home):
    """A client that sends commands and reads no reply stops being read; others are served."""
    with RawFTP(daemon.address("ftp")) as rude, RawFTP(daemon.address("ftp")) as polite:
        rude.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += rude.sock.send(b"HELP\r\n" * 10_000)
        except TimeoutError:
            pass
        assert sent < 64 * 1024 * 1024
        assert polite.say("NOOP").startswith(b"200 ")
        with open(f"/proc/{daemon.pid}/statm") as statm:
            assert int(statm.read().split()[1]) * 4096 < 400 * 1024 * 1024


def test_long_lines_nul_and_telnet(client):
    """Over-long lines, NUL and stray Telnet commands: a reply each, and the session goes on."""
    assert client.say(b"RETR " + b"a" * 100_000 + b"\r\n").startswith(b"500 ")
    assert client.say(b"RETR a\0b\r\n").startswith(b"501 ")
    assert client.say(b"\xff\xfb\x01\xff\xf1NOOP\r\n").startswith(b"200 ")


def test_random_bytes(daemon, home):
    """Noise gets replies or the end, and the daemon goes on."""
    noise = random.Random(959)
    for _ in range(30):
        with RawFTP(daemon.address("ftp"), user="") as client:
            try:
                client.send(noise.randbytes(noise.randrange(1, 20_000)) + b"\r\n")
                client.sock.shutdown(socket.SHUT_WR)
                while client.sock.recv(65536):
                    pass
            except ConnectionError:
                pass
    with RawFTP(daemon.address("ftp")) as client:
        assert client.say("NOOP").startswith(b"200 ")


def test_half_open_connections(daemon, home):
    """300 connections that say nothing keep nobody out, and leave nothing behind."""
    with RawFTP(daemon.address("ftp")) as client:
        before = descriptors(daemon.pid)
        idle = [socket.create_connection(daemon.address("ftp"), timeout=20) for _ in range(300)]
        wait_for(lambda: descriptors(daemon.pid) >= before + 300)
        assert client.say("NOOP").startswith(b"200 ")
        for connection in idle:
            connection.close()
        wait_for(lambda: descriptors(daemon.pid) <= before)


@pytest.mark.parametrize(
    "moment", ["after PASV", "connected", "150 upload", "mid upload", "mid download", "listing"]
)
def test_killed_client_leaves_nothing(daemon, home, moment):
    """A client that dies at any point: no descriptor stays, and no file looks complete."""
    big = home / "big"
    if not big.exists():
        big.write_bytes(b"b" * 30_000_000)
    with RawFTP(daemon.address("ftp")) as first:
        # What a session keeps for good (pools, the log) is open by then.
        first.store("warm", b"x")
    wait_for(lambda: descriptors(daemon.pid) < 100)
    before = descriptors(daemon.pid)
    for _ in range(5):
        client = RawFTP(daemon.address("ftp"))
        data = None
        if moment != "after PASV":
            data = client.passive()
        else:
            client.say("EPSV")
        if "upload" in moment:
            assert client.say("STOR killed").startswith(b"150 ")
        if moment == "mid upload":
            data.sendall(b"k" * 1_000_000)
        if moment == "mid download":
            client.say("TYPE I")
            assert client.say("RETR big").startswith(b"150 ")
            data.recv(1000)
        if moment == "listing":
            client.send("LIST")
        reset(client.sock)
        if data is not None:
            reset(data)
    wait_for(lambda: descriptors(daemon.pid) <= before)
    assert not (home / "killed").exists()


def test_upload_that_was_cut_is_kept_for_its_owner(daemon, home):
    """A reset data connection is 426; nothing is published, and SIZE and APPE go on from there."""
    with RawFTP(daemon.address("ftp")) as client:
        client.say("TYPE I")
        client.say("DELE cut")
        data = client.passive()
        client.say("STOR cut")
        data.sendall(b"1" * 100_000)
        wait_for(lambda: b" 100000 bytes" in client.say("STAT"))
        reset(data)
        assert client.reply().startswith(b"426 ")
        assert not (home / "cut").exists()
        assert client.say("SIZE cut") == b"213 100000\r\n"
        data = client.passive()
        client.say("APPE cut")
        data.sendall(b"2" * 10)
        data.close()
        assert client.reply().startswith(b"226 ")
    assert (home / "cut").read_bytes() == b"1" * 100_000 + b"2" * 10


def test_abort_with_urgent_data(daemon, home):
    """ABOR as Telnet Synch, DM sent as urgent data (RFC 959 section 4.1.3)."""
    (home / "huge").write_bytes(b"")
    os.truncate(home / "huge", 2_000_000_000)
    with RawFTP(daemon.address("ftp")) as client:
        client.say("TYPE I")
        data = client.passive()
        assert client.say("RETR huge").startswith(b"150 ")
        data.recv(1000)
        client.sock.send(b"\xff\xf4\xff")
        client.sock.send(b"\xf2", socket.MSG_OOB)
        client.send("ABOR")
        assert client.reply().startswith(b"426 ")
        assert client.reply().startswith(b"226 ")
        data.close()
        assert client.say("NOOP").startswith(b"200 ")
    (home / "huge").unlink()


def test_active_mode_bounce(client):
    """PORT and EPRT to others or to privileged ports are refused."""
    for line in ("PORT 203,0,113,1,30,30", "PORT 127,0,0,1,0,22", "EPRT |1|127.0.0.9|9999|"):
        assert client.say(line).startswith(b"501 ")


def test_rest_and_rnto(client):
    """Numbers that are none, offsets beyond the end, RNTO alone."""
    client.say("TYPE I")
    client.store("small", b"12345")
    assert client.say("REST x").startswith(b"501 ")
    assert client.say("REST 6").startswith(b"350 ")
    reply, data = client.retrieve("RETR small")
    assert (reply[:4], data) == (b"554 ", b"")
    assert client.say("RNTO y").startswith(b"503 ")


def test_login_failures_reveal_nothing(daemon):
    """A wrong password and an unknown user: the same reply."""
    replies = set()
    for user in ("alice", "nobody"):
        with RawFTP(daemon.address("ftp"), user="") as client:
            client.say(f"USER {user}")
            replies.add(client.say("PASS wrong-canary"))
    assert len(replies) == 1
    assert "wrong-canary" not in daemon.output
