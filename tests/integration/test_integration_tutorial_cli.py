"""The command line with the tutorial protocols: send, get, ls and chat, as people run them."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import trustme

from twisted_xfer.cli.exits import Exit
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

DATA = os.urandom(300_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A daemon with all four, jsonftp in TLS too; alice has ``data.bin``."""
    top = tmp_path_factory.mktemp("cli")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(top / "ca.pem"))
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(top / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(top / "cert.pem"))
    home = top / "root" / "alice"
    (home / "sub").mkdir(parents=True)
    (home / "data.bin").write_bytes(DATA)
    inside = "interface=127.0.0.1"
    tls = f"ssl:0:{inside}:privateKey={top / 'key.pem'}:certKey={top / 'cert.pem'}"
    words = ["--auth", "memory:alice:secret", "--auth", "memory:bob:secret"]
    for place in ("push@alice", "fetch@alice", "jsonftp", "jim"):
        words += ["--listen", f"{place}=tcp:0:{inside}"]
    words += ["--listen", f"jsonftp={tls}"]
    with Daemon(["--root", str(top / "root"), *words]) as daemon:
        ports = {label: daemon.address(label)[1] for label in ("push@alice", "fetch@alice", "jsonftp", "jim")}
        ports["jsonftps"] = daemon.addresses("jsonftp")[1].port
        yield ports, home, top / "ca.pem"


def environment(directory, password="secret"):
    """Nothing of ours but a password and a configuration directory."""
    return {**os.environ, "XFER_PASSWORD": password, "XFER_CONFIG_DIR": str(directory)}


def xfer(directory, *words, password="secret"):
    """Run ``xfer`` in ``directory``."""
    return subprocess.run(
        [sys.executable, "-m", "twisted_xfer.cli.main", *map(str, words)],
        cwd=directory,
        env=environment(directory, password),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_send_by_push(server, tmp_path):
    """The file is there when the command ends."""
    ports, home, _ = server
    (tmp_path / "pushed").write_bytes(DATA)
    done = xfer(tmp_path, "send", "pushed", f"push://localhost:{ports['push@alice']}")
    assert (done.returncode, done.stdout) == (0, "pushed\n"), done.stderr
    assert (home / "pushed").read_bytes() == DATA


def test_get_by_fetch(server, tmp_path):
    """Whole and verified, or not there at all."""
    ports, _, _ = server
    url = f"fetch://localhost:{ports['fetch@alice']}"
    done = xfer(tmp_path, "get", f"{url}/data.bin", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["verified"] is True, done.stderr
    assert (tmp_path / "data.bin").read_bytes() == DATA
    done = xfer(tmp_path, "get", f"{url}/none")
    assert done.returncode == Exit.STORAGE
    assert os.listdir(tmp_path) == ["data.bin"]


def test_jsonftp(server, tmp_path):
    """Send into a directory, list it, get it back, in clear and in TLS; a wrong password has its own code."""
    ports, home, ca = server
    (tmp_path / "up").write_bytes(DATA)
    url = f"jsonftp://alice@localhost:{ports['jsonftp']}"
    done = xfer(tmp_path, "send", "up", f"{url}/sub")
    assert done.returncode == 0, done.stderr
    assert "verified by MD5" in done.stderr
    assert (home / "sub" / "up").read_bytes() == DATA
    tls = f"jsonftps://alice@localhost:{ports['jsonftps']}"
    assert xfer(tmp_path, "ls", f"{tls}/sub", "--ca", ca).stdout == "up\n"
    (tmp_path / "up").unlink()
    assert xfer(tmp_path, "get", f"{tls}/sub/up", "--ca", ca).returncode == 0
    assert (tmp_path / "up").read_bytes() == DATA
    assert xfer(tmp_path, "ls", url, password="wrong").returncode == Exit.AUTHENTICATION
    assert xfer(tmp_path, "ls", tls).returncode == Exit.NO_CONNECTION


def test_nobody_there_is_retried(tmp_path):
    """The first connection is refused, the second one is served."""
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    received = []

    def serve():
        time.sleep(1.5)
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(20)
            client, _ = listener.accept()
            data = b""
            while block := client.recv(4096):
                data += block
            received.append(data)
            client.close()

    (tmp_path / "f").write_bytes(b"hello")
    url = f"push://127.0.0.1:{port}"
    assert xfer(tmp_path, "send", "f", url, "--retry", "0").returncode == Exit.NO_CONNECTION
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = xfer(tmp_path, "send", "f", url)
    thread.join(20)
    assert done.returncode == 0, done.stderr
    assert received == [b"f<SEPARATOR>5hello"]


@pytest.mark.parametrize(
    "words",
    [
        ("send", "f", "push://host?x"),
        ("get", "fetch://host/"),
        ("ls", "jsonftp://host"),
        ("chat", "http://host"),
        ("chat", "jim://a:b@host"),
    ],
)
def test_wrong_usage(tmp_path, words):
    """Is told before anything is tried."""
    assert xfer(tmp_path, *words).returncode == Exit.USAGE


class Terminal:
    """An ``xfer chat`` with pipes in place of a terminal."""

    def __init__(self, directory, port, name):
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "twisted_xfer.cli.main", "chat", f"jim://{name}@localhost:{port}"],
            env=environment(directory),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "is in" in self.process.stderr.readline()

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def shown(self):
        return self.process.stdout.readline().rstrip("\n")

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def test_a_chat_between_two_terminals(server, tmp_path):
    """A room, a private word, an offer, a mistake, and the end."""
    ports, _, _ = server
    alice, bob = (Terminal(tmp_path, ports["jim"], name) for name in ("alice", "bob"))
    try:
        bob.type("/join tea")
        assert bob.shown() == "talking to #tea"
        assert bob.shown() == "[201] created"
        alice.type("hello?")
        assert alice.shown() == "to whom? /join #ROOM or /to NAME first"
        alice.type("/join #tea")
        assert alice.shown() == "talking to #tea"
        alice.type("good morning \x1b[31m")
        assert bob.shown() == "alice in #tea: good morning ?[31m"
        bob.type("/msg alice psst")
        assert alice.shown() == "bob: psst"
        alice.type("/offer jsonftp://localhost/f")
        assert bob.shown() == "alice in #tea: offers jsonftp://localhost/f"
        assert bob.shown() == "  (a file: jsonftp://localhost/f)"
        alice.type("/to carol")
        assert alice.shown() == "talking to carol"
        alice.type("anybody?")
        assert alice.shown() == "[404] no such user or room"
        alice.type("/sing")
        assert alice.shown() == "no such command; /help tells which there are"
        alice.type("/add bob")
        assert alice.shown() == "[202] accepted"
        alice.type("/contacts")
        assert alice.shown() == "[202] bob"
        alice.type("/quit")
        assert alice.process.wait(30) == 0
    finally:
        codes = [alice.close(), bob.close()]
    assert codes == [0, 0]
