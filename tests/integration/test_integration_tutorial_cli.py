"""The command line with the tutorial protocols: send, get and ls, as people run them."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from tutorial_support import DATA, environment, serve_all

from twisted_xfer.cli.exits import Exit

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A daemon with all four, jsonftp in TLS too; alice has ``data.bin``."""
    yield from serve_all(tmp_path_factory)


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


def test_several_files_in_one_command(server, tmp_path):
    """All of them go, with names of any kind; one that may not be there does not keep the others back."""
    ports, home, _ = server
    names = ["a b.txt", "naïve ☕", "empty"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000 if name != "empty" else b"")
    url = f"jsonftp://alice@localhost:{ports['jsonftp']}"
    done = xfer(tmp_path, "send", *names, url)
    assert (done.returncode, done.stdout.splitlines()) == (0, names), done.stderr
    assert (home / "naïve ☕").read_bytes() == "naïve ☕".encode() * 1000
    (home / "a b.txt").unlink()
    (home / "a b.txt").mkdir()
    done = xfer(tmp_path, "send", *names, url)
    assert (done.returncode, done.stdout.splitlines()) == (Exit.SOME_FAILED, names[1:]), done.stderr
    assert "a b.txt: " in done.stderr
    push = f"push://localhost:{ports['push@alice']}"
    assert xfer(tmp_path, "send", "empty", "naïve ☕", push).returncode == 0
    assert (home / "naïve ☕ (1)").read_bytes() == (tmp_path / "naïve ☕").read_bytes()


@pytest.mark.parametrize("option", [(), ("--framed",)])
def test_without_md5(server, tmp_path, option):
    """Nothing is verified, and that is said; with lengths before objects and without."""
    ports, _, _ = server
    url = f"jsonftp://alice@localhost:{ports['jsonftp']}"
    (tmp_path / "plain").write_bytes(DATA)
    assert "not verified" in xfer(tmp_path, "send", "plain", url, "--no-md5", *option).stderr
    assert xfer(tmp_path, "get", f"{url}/plain", *option).stderr == "verified by MD5\n"
    done = xfer(tmp_path, "get", f"{url}/plain", "--no-md5", "--if-exists", "rename", *option)
    assert (done.returncode, done.stdout) == (0, "plain (1)\n")
    assert (tmp_path / "plain (1)").read_bytes() == DATA
    assert xfer(tmp_path, "get", f"{url}/plain", "--if-exists", "refuse").returncode == Exit.REFUSED
    assert "data.bin" in xfer(tmp_path, "ls", url, *option).stdout.splitlines()
    assert sorted(os.listdir(tmp_path)) == ["plain", "plain (1)"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("get", "{jsonftp}/none"), Exit.STORAGE, "none: no such file or directory"),
        (("ls", "{jsonftp}/none"), Exit.STORAGE, "none: no such file or directory"),
        (("send", "f", "{jsonftp}/none"), Exit.STORAGE, "none: no such file or directory"),
        (("send", "f", "jsonftp://ro@localhost:{port}"), Exit.REFUSED, "f: refused: the account may"),
        (("send", "f", "jsonftp://small@localhost:{port}"), Exit.REFUSED, "f: refused: over quota"),
        (("send", "f", "{push}", "--retry", "0"), Exit.NO_CONNECTION, "the receiver has not stored f"),
        (("send", "f", "{clear}", "--retry", "0"), Exit.NO_CONNECTION, "before TLS was there"),
        (("get", "{tls}/f", "--retry", "0"), Exit.NO_CONNECTION, "TLS failed: certificate verify failed"),
        (("send", "-", "{jsonftp}"), Exit.USAGE, "standard input has no size"),
        (("send", "nofile", "{jsonftp}"), Exit.USAGE, "nofile: no such file"),
        (("send", ".", "{jsonftp}"), Exit.STORAGE, ".: Is a directory"),
        (
            ("send", "f", "{jsonftp}", "--if-exists", "refuse"),
            Exit.USAGE,
            "--if-exists means nothing to jsonftp://",
        ),
        (
            ("get", "{jsonftp}/f", "--if-exists", "newer"),
            Exit.USAGE,
            "--if-exists means nothing to jsonftp://",
        ),
        (("get", "{tls}/f", "--plain"), Exit.USAGE, "--plain means nothing to jsonftps://"),
        (("get", "push://localhost/f"), Exit.USAGE, "`xfer get` takes fetch, jsonftp"),
        (("send", "f", "push://localhost/dir"), Exit.USAGE, "a push has no directories"),
    ],
)
def test_what_goes_wrong_is_said(server, tmp_path, words, code, said):
    """In one sentence about the right thing, with a code for scripts."""
    ports, _, _ = server
    port = ports["jsonftp"]
    (tmp_path / "f").write_bytes(DATA)
    places = {
        "port": port,
        "jsonftp": f"jsonftp://alice@localhost:{port}",
        "push": f"push://localhost:{ports['push@ro']}",
        "clear": f"pushs://localhost:{ports['push@ro']}",
        "tls": f"jsonftps://alice@localhost:{ports['jsonftps']}",
    }
    done = xfer(tmp_path, *(word.format(**places) for word in words))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_there_is_retried(tmp_path):
    """The first connection is refused, the second one is served."""
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    received = []

    def serve():
        time.sleep(0.5)
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
    alone = xfer(tmp_path, "send", "f", url, "--retry", "0")
    assert alone.returncode == Exit.NO_CONNECTION
    assert alone.stderr == f"xfer: 127.0.0.1:{port}: nobody listens there\n"
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
