"""Whom the command line trusts, over real sockets: authorities, pins, first meetings, and keys that change."""

import datetime as dt
import os
import pty
import select
import socket
import subprocess
import sys
import time

import pytest
import trustme

from twisted_xfer.cli.trust import certificate_pin
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration
SECONDS = 20.0
AUTHORITY = trustme.CA()


def serve(tmp_path, authority=AUTHORITY, names=("localhost", "127.0.0.1"), port=0, **issued):
    """A daemon with a fresh certificate, and the pin of its key."""
    certificate = authority.issue_cert(*names, **issued)
    pem = tmp_path / f"server{time.monotonic_ns()}.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    (tmp_path / "root").mkdir(exist_ok=True)
    daemon = Daemon(
        ["--root", str(tmp_path / "root"), "--auth", "memory:alice:secret", "--tls-certificate", str(pem),
         "--tls-key", str(pem), "--listen", f"xfer=tcp:{port}:interface=127.0.0.1"]
    )  # fmt: skip
    return daemon, certificate_pin(str(pem))


@pytest.fixture
def ls(tmp_path):
    """``xfer ls URL ...`` with nobody at a terminal."""

    def run(url, *args):
        done = subprocess.run(
            [sys.executable, "-m", "twisted_xfer.cli", "ls", url, *map(str, args)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, start_new_session=True, check=False,
            env=environment(tmp_path),
        )  # fmt: skip
        return done.returncode, done.stderr.decode()

    return run


def environment(tmp_path):
    return {**os.environ, "XFER_CONFIG_DIR": str(tmp_path / "config"), "XFER_PASSWORD": "secret"}


def url_of(daemon, host="localhost", pin=""):
    return f"xfer://alice@{host}:{daemon.address('xfer')[1]}/" + (f"#sha256={pin}" if pin else "")


def logins(daemon):
    """How many connections have come as far as an account."""
    return daemon.output.count("login.")


def test_keys_that_cannot_be_kept(ls, tmp_path):
    """One line with the path of the file, and nobody is trusted."""
    (tmp_path / "config").write_text("")
    daemon, _ = serve(tmp_path)
    with daemon:
        code, err = ls(url_of(daemon), "--accept-new")
        assert (code, err) == (7, f"xfer: {tmp_path}/config/known_peers: Not a directory\n")
        assert logins(daemon) == 0


def test_authorities(ls, tmp_path):
    """--ca takes what they signed for this host, whatever was met before, and keeps nothing."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    both = (tmp_path / "other.pem").read_text() + (tmp_path / "ca.pem").read_text()
    (tmp_path / "both.pem").write_text(both)
    (tmp_path / "none.pem").write_text("nothing\n")
    daemon, pin = serve(tmp_path)
    with daemon:
        for host in ("localhost", "127.0.0.1"):
            assert ls(url_of(daemon, host), "--ca", tmp_path / "ca.pem") == (0, "")
        assert ls(url_of(daemon), "--ca", tmp_path / "both.pem") == (0, "")
        code, err = ls(url_of(daemon), "--ca", tmp_path / "other.pem", "--accept-new")
        assert code == 5
        assert "do not vouch" in err
        assert ls(url_of(daemon), "--ca", tmp_path / "none.pem")[0] == 2
        assert ls(url_of(daemon, pin=pin), "--ca", tmp_path / "ca.pem") == (0, "")
        assert ls(url_of(daemon, pin="0" * 64), "--ca", tmp_path / "ca.pem")[0] == 5
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize(
    ("names", "issued"),
    [
        (("example.org",), {}),
        (("127.0.0.2",), {}),
        ((), {"common_name": "localhost"}),
        (("localhost",), {"not_after": dt.datetime(2020, 1, 1)}),
    ],
    ids=["another name", "another address", "common name only", "expired"],
)
def test_certificates_of_others(ls, tmp_path, names, issued):
    """The right authority, and yet not this host's certificate now: nobody logs in."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if not names:
        names = ("unused.example.org",)
    if "not_after" in issued:
        issued = {**issued, "not_before": dt.datetime(2019, 1, 1)}
    daemon, _ = serve(tmp_path, names=names, **issued)
    with daemon:
        code, err = ls(url_of(daemon), "--ca", tmp_path / "ca.pem", "--accept-new")
        assert code == 5, err
        assert "do not vouch" in err
        assert not list((tmp_path / "root").iterdir())


def test_pins(ls, tmp_path):
    """The key that is in the URL, and no other, also where another one was met before."""
    daemon, pin = serve(tmp_path)
    with daemon:
        assert ls(url_of(daemon, pin=pin)) == (0, "")
        assert ls(url_of(daemon, pin=pin.upper())) == (0, "")
        assert ls(url_of(daemon), "--accept-new")[0] == 0
        code, err = ls(url_of(daemon, pin="0" * 64), "--accept-new")
        assert code == 5
        assert "another key than the URL says" in err
        known = tmp_path / "config/known_peers"
        known.write_text(known.read_text().replace(pin, "0" * 64))
        assert ls(url_of(daemon, pin=pin)) == (0, "")


def test_a_code_does_not_undo_a_pin(tmp_path):
    """A pin is checked where a pairing code is used too."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "file").write_bytes(b"content")
    receiver = subprocess.Popen(
        [sys.executable, "-m", "twisted_xfer.cli", "receive", tmp_path / "inbox", "--host", "127.0.0.1", "--port", "0"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment(tmp_path), text=True,
    )  # fmt: skip
    try:
        line = next(line for line in receiver.stderr if "xfer send" in line)
        url, code = line.split()[3], line.split()[5]
        for pin, wanted in (("0" * 64, 5), (certificate_pin(str(tmp_path / "config/receive.pem")), 0)):
            done = subprocess.run(
                [sys.executable, "-m", "twisted_xfer.cli", "send", tmp_path / "file", f"{url}/#sha256={pin}", "--code", code],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, env=environment(tmp_path), check=False,
            )  # fmt: skip
            assert done.returncode == wanted, done.stderr
    finally:
        receiver.kill()
        receiver.communicate()


def test_a_first_meeting_and_a_changed_key(ls, tmp_path):
    """Unknown is refused without --accept-new; another key at a known place always is."""
    daemon, pin = serve(tmp_path)
    with daemon:
        port = daemon.address("xfer")[1]
        code, err = ls(url_of(daemon))
        assert code == 5
        assert pin in err
        assert not (tmp_path / "config/known_peers").exists()
        code, err = ls(url_of(daemon), "--accept-new")
        assert code == 0
        assert pin in err
        assert ls(url_of(daemon)) == (0, "")
        assert ls(url_of(daemon, "127.0.0.1"))[0] == 5, "another place is to be met by itself"
    known = (tmp_path / "config/known_peers").read_text()
    again, other = serve(tmp_path, port=port)
    with again:
        for flags in ((), ("--accept-new",)):
            code, err = ls(url_of(again), *flags)
            assert code == 5
            assert "another key than before" in err
            assert pin in err
            assert other in err
        typed, seen = at_a_terminal(tmp_path, url_of(again), b"y\n")
        assert not typed
        assert b"ended 5" in seen
    assert (tmp_path / "config/known_peers").read_text() == known


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 5), (b"\n", 5), (b"\x03", 130)])
def test_a_first_meeting_at_a_terminal(ls, tmp_path, answer, code):
    """The key is shown and asked for; only yes is remembered."""
    daemon, pin = serve(tmp_path)
    with daemon:
        typed, seen = at_a_terminal(tmp_path, url_of(daemon), answer)
        assert typed
        assert pin.encode() in seen
        assert f"ended {code}".encode() in seen, seen
        assert ls(url_of(daemon))[0] == (0 if code == 0 else 5)


def at_a_terminal(tmp_path, url, answer):
    """Whether we were asked whom to trust, and all that the terminal showed."""
    pid, master = pty.fork()
    if not pid:
        os.environ.update(environment(tmp_path))
        command = f"trap : INT; '{sys.executable}' -m twisted_xfer.cli ls '{url}'; echo ended $?"
        os.execv("/bin/sh", ["sh", "-c", command])
    seen, typed, deadline = b"", False, time.monotonic() + SECONDS
    while b"ended" not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 4096)
        if b"Trust it from now on? [y/N]:" in seen and not typed:
            typed = True
            os.write(master, answer)
    os.waitpid(pid, 0)
    os.close(master)
    return typed, seen


def test_no_tls_there(ls, tmp_path):
    """A listener that speaks plain is not spoken to in the clear; the way out is told."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"xfer://alice@127.0.0.1:{listening.getsockname()[1]}/"
        client = subprocess.Popen(
            [sys.executable, "-m", "twisted_xfer.cli", "ls", url, "--accept-new"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(tmp_path), text=True,
        )  # fmt: skip
        connection, _ = listening.accept()
        with connection:
            first = connection.recv(4096)
            connection.sendall(b"XFER\x01\r\n\x1a")
        _, err = client.communicate(timeout=SECONDS)
    assert first[:1] == b"\x16"
    assert b"alice" not in first
    assert client.returncode == 4
    assert "--plain" in err
