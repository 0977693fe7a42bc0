"""Every place that a password may come from, against a real daemon; none of them is an argument."""

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from twisted_xfer.testing.server import XferServer

pytestmark = pytest.mark.integration
SECONDS = 60.0
#: A keyring of one password, asked through the real library.
KEYRING = """
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

class Keyring(KeyringBackend):
    priority = 9

    def get_password(self, service, username):
        with open({log!r}, "a") as log:
            log.write(f"{{service}} {{username}}\\n")
        if {broken}:
            raise KeyringError("locked")
        return {password!r} if username == "alice" else None

    def set_password(self, service, username, password):
        raise NotImplementedError

    def delete_password(self, service, username):
        raise NotImplementedError
"""


@pytest.fixture(scope="module")
def server():
    with XferServer() as running:
        yield running


@pytest.fixture
def ls(server, tmp_path):
    """``xfer ls`` of alice's home, with nobody at a terminal: its exit code and what it said."""
    url = f"xfer://alice@127.0.0.1:{server.daemon.address('xfer')[1]}/"

    def run(*args, stdin=b"", **env):
        kept = {name: value for name, value in os.environ.items() if name not in {"XFER_PASSWORD", "NETRC"}}
        done = subprocess.run(
            [sys.executable, "-m", "twisted_xfer.cli", "ls", url, "--plain", *map(str, args)],
            input=stdin, capture_output=True, timeout=SECONDS, start_new_session=True, check=False,
            env={**kept, "HOME": str(tmp_path), "XFER_CONFIG_DIR": str(tmp_path), "PYTHON_KEYRING_BACKEND":
                 "keyring.backends.null.Keyring", **env},
        )  # fmt: skip
        return done.returncode, done.stderr.decode()

    run.url = url
    return run


def test_from_nowhere(ls):
    """Nobody has it and nobody can be asked: a usage error, which says what to do."""
    code, err = ls()
    assert code == 2
    for way in ("XFER_PASSWORD", "--password-file", "~/.netrc"):
        assert way in err


def test_from_a_file(ls, tmp_path):
    """The first line; standard input as well; a file that is none is refused."""
    (tmp_path / "good").write_bytes(b"secret\r\nand more\n")
    (tmp_path / "long").write_bytes(b"x" * 1025)
    (tmp_path / "longest").write_bytes(b"x" * 1024)
    assert ls("--password-file", tmp_path / "good") == (0, "")
    assert ls("--password-file", "-", stdin=b"secret\n") == (0, "")
    assert ls("--password-file", tmp_path / "good", XFER_PASSWORD="wrong") == (0, "")
    assert ls("--password-file", tmp_path / "long")[0] == 2
    assert ls("--password-file", tmp_path / "longest")[0] == 5
    assert ls("--password-file", tmp_path / "missing")[0] == 2


def test_from_the_environment(ls):
    """XFER_PASSWORD, right and wrong."""
    assert ls(XFER_PASSWORD="secret") == (0, "")
    assert ls(XFER_PASSWORD="wrong")[0] == 5
    assert ls(XFER_PASSWORD="")[0] == 5


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        ("machine 127.0.0.1 login alice password secret", 0o600, 0),
        ("machine other login alice password no\ndefault login alice password secret", 0o600, 0),
        ("machine 127.0.0.1 login bob password secret", 0o600, 2),
        ("machine 127.0.0.1 login alice password secret", 0o640, 2),
        ("machine 127.0.0.1 login alice password wrong", 0o600, 5),
        ("machine other login alice password secret", 0o600, 2),
        ("nonsense", 0o600, 2),
    ],
)
@pytest.mark.parametrize("named", [False, True], ids=["home", "NETRC"])
def test_from_netrc(ls, tmp_path, text, mode, code, named):
    """By host and user, out of a file that nobody else can read."""
    path = tmp_path / ("elsewhere" if named else ".netrc")
    path.write_text(text)
    path.chmod(mode)
    found, err = ls(**({"NETRC": str(path)} if named else {}))
    assert found == code, err
    assert ("chmod 600" in err) is (mode == 0o640)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("password", "broken", "code"),
    [("secret", False, 0), ("wrong", False, 5), (None, False, 2), ("secret", True, 2)],
)
def test_from_the_keyring(ls, tmp_path, password, broken, code):
    """Under the place and the user; one that is locked is as good as none."""
    log = tmp_path / "asked"
    (tmp_path / "my_keyring.py").write_text(KEYRING.format(log=str(log), broken=broken, password=password))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found, err = ls(PYTHONPATH=path, PYTHON_KEYRING_BACKEND="my_keyring.Keyring")
    assert found == code, err
    place = ls.url.removeprefix("xfer://alice@").rstrip("/")
    assert log.read_text() == f"xfer://{place} alice\n"


def test_the_keyring_is_an_extra(ls, tmp_path):
    """Without it the other ways are there."""
    (tmp_path / "keyring.py").write_text("raise ImportError")
    code, err = ls(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert code == 2
    assert "Traceback" not in err


def test_from_whoever_sits_there(ls, tmp_path):
    """Asked for on the terminal, also when standard input is a pipe, and not shown."""
    pid, master = pty.fork()
    if not pid:
        os.environ.update(HOME=str(tmp_path), XFER_CONFIG_DIR=str(tmp_path))
        for name in ("XFER_PASSWORD", "NETRC"):
            os.environ.pop(name, None)
        os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
        command = f"{sys.executable} -m twisted_xfer.cli ls {ls.url} --plain </dev/null; echo ended $?"
        os.execv("/bin/sh", ["sh", "-c", command])
    seen, deadline = b"", time.monotonic() + SECONDS
    asked = False
    while b"ended" not in seen:
        assert time.monotonic() < deadline, seen
        if not select.select([master], [], [], 1)[0]:
            continue
        seen += os.read(master, 4096)
        if b"Password of alice at" in seen and not asked:
            asked = True
            wait_for_no_echo(master, deadline)
            os.write(master, b"secret\n")
    os.waitpid(pid, 0)
    os.close(master)
    assert b"ended 0" in seen, seen
    assert b"secret" not in seen


def wait_for_no_echo(master, deadline):
    """Until the terminal shows nothing of what is typed."""
    import termios

    while termios.tcgetattr(master)[3] & termios.ECHO:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_never_as_an_argument(ls):
    """There is no flag for it, and a URL with one is refused before anything is dialled."""
    assert ls("--password", "secret")[0] == 2
    done = subprocess.run(
        [sys.executable, "-m", "twisted_xfer.cli", "ls", ls.url.replace("alice@", "alice:secret@"), "--plain"],
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"XFER_PASSWORD" in done.stderr
    assert b"secret" not in done.stderr
