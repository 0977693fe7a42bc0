"""Real processes: a daemon and the command line, killed without a word, and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from twisted_xfer.cli.trust import own_certificate
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration
SIZE = 96 * 1024 * 1024
#: A start takes a second; a loaded machine gets this much.
SECONDS = 60.0


class Command:
    """``xfer ARGS`` in a process of its own."""

    def __init__(self, config, *args, **env):
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from twisted_xfer.cli.main import main; main()", *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XFER_CONFIG_DIR": str(config), "XFER_PASSWORD": "secret", **env},
        )

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=SECONDS)

    def end(self):
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out.decode(), err.decode()


def run(config, *args, **env):
    return Command(config, *args, **env).end()


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A root, a configuration directory with a certificate, and a source tree."""
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "root").mkdir()
    own_certificate()
    return tmp_path


def daemon(places, port=0, tls=True):
    args = ["--root", str(places / "root"), "--auth", "memory:alice:secret"]
    args += ["--listen", f"xfer=tcp:{port}:interface=127.0.0.1"]
    if tls:
        pem = str(places / "config/receive.pem")
        args += ["--tls-certificate", pem, "--tls-key", pem]
    return Daemon(args)


def parts(places):
    return list((places / "root").rglob("*.xpart"))


def kept(places):
    return sum(part.stat().st_size for part in parts(places))


def big_file(path):
    """Random enough that a part in the wrong place would not go unnoticed."""
    block = os.urandom(1024 * 1024)
    with path.open("wb") as stream:
        for number in range(SIZE // len(block)):
            stream.write(number.to_bytes(4, "big") + block[4:])


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_killed_sender_goes_on(places, tls):
    """kill -9 of the sender: nothing is published; the same command again sends only the rest."""
    big_file(places / "big")
    with daemon(places, tls=tls) as serving:
        url = f"xfer://alice@127.0.0.1:{serving.address('xfer')[1]}"
        args = ["send", places / "big", url, "--accept-new", "--json", *([] if tls else ["--plain"])]
        first = Command(places / "config", *args)
        wait_for(lambda: kept(places) > 4 * 1024 * 1024)
        first.kill()
        assert not (places / "root/alice/big").exists()
        code, out, err = run(places / "config", *args)
        assert code == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        (done,) = [event for event in events if event["event"] == "done"]
        assert done["resumed"] > 0
        assert (places / "root/alice/big").read_bytes() == (places / "big").read_bytes()
        assert not parts(places)
        assert serving.stop() == 0


def test_a_killed_daemon_is_waited_for(places):
    """kill -9 of the daemon: the sender dials again by itself, and goes on where the part ends."""
    big_file(places / "big")
    serving = daemon(places).start()
    try:
        host, port = serving.address("xfer")
        sender = Command(
            places / "config", "send", places / "big", f"xfer://alice@{host}:{port}", "--accept-new", "--json"
        )
        wait_for(lambda: kept(places) > 4 * 1024 * 1024)
        serving.kill()
        again = daemon(places, port)
        with again:
            code, out, err = sender.end()
        assert code == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        assert any(event["event"] == "reconnecting" for event in events)
        (done,) = [event for event in events if event["event"] == "done"]
        assert done["resumed"] > 0
        assert (places / "root/alice/big").read_bytes() == (places / "big").read_bytes()
    finally:
        serving.close()


def receiver(places, *args, **env):
    """A waiting ``xfer receive``, and the arguments for sending to it."""
    (places / "inbox").mkdir(exist_ok=True)
    waiting = Command(
        places / "config", "receive", places / "inbox", "--host", "127.0.0.1", "--port", "0", *args, **env
    )
    said = b""
    while b"Ctrl-C" not in said:
        line = waiting.process.stderr.readline()
        assert line, said
        said += line
    match = re.search(rb"xfer send PATH\.\.\. (\S+) --code (\S+)", said)
    return waiting, [match[1].decode(), "--code", match[2].decode()]


def test_receive_once_with_a_code(places):
    """As a new user would: what receive prints is what to type, and --once ends it."""
    (places / "tree/empty").mkdir(parents=True)
    (places / "tree/a").write_bytes(b"a")
    waiting, args = receiver(places, "--once")
    code, out, err = run(places / "config", "send", places / "tree", *args)
    assert code == 0, err
    assert out == "/tree/a\n"
    assert "verified blake3:" in err
    assert waiting.end()[0] == 0
    assert (places / "inbox/tree/a").read_bytes() == b"a"
    assert (places / "inbox/tree/empty").is_dir()


def test_a_tree_as_it_is(places):
    """Asked about first, then sent: filters, links, holes, compression and times, by real processes over TLS."""
    tree = places / "tree"
    (tree / "build").mkdir(parents=True)
    (tree / "docs").mkdir()
    (tree / ".gitignore").write_text("build/\n")
    (tree / "build/out").write_bytes(b"left out")
    (tree / "a.o").write_bytes(b"left out too")
    (tree / "docs/text").write_bytes(b"".join(b"line %d\n" % number for number in range(200_000)))
    with (tree / "docs/sparse").open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    (tree / "link").symlink_to("docs/text")
    for path in (tree / "docs", tree):
        os.utime(path, ns=(10**18, 10**18))
    waiting, args = receiver(places, "--once", "--links")
    options = ["--gitignore", "--exclude", "*.o", "--compress", "on", "--digest", "sha256", *args]
    code, out, err = run(places / "config", "send", "--dry-run", tree, *options)
    assert code == 0, err
    expected = {"store tree/.gitignore", "store tree/docs/sparse", "store tree/docs/text", "store tree/link"}
    assert set(out.splitlines()) == {*expected, "store tree/docs/", "store tree/"}
    assert not list((places / "inbox").iterdir())
    code, out, err = run(places / "config", "send", "--json", tree, *options)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert (summary["files"], summary["directories"], summary["links"], summary["failed"]) == (3, 2, 1, 0)
    assert summary["moved"] < 2_000_000 < summary["verified"]
    assert '"digest": "sha256:' in out
    assert waiting.end()[0] == 0
    stored = places / "inbox/tree"
    assert sorted(path.name for path in stored.rglob("*")) == [".gitignore", "docs", "link", "sparse", "text"]
    assert (stored / "docs/text").read_bytes() == (tree / "docs/text").read_bytes()
    assert (stored / "docs/sparse").stat().st_size == 64 * 1024 * 1024
    assert os.readlink(stored / "link") == "docs/text"
    assert stored.stat().st_mtime_ns == (stored / "docs").stat().st_mtime_ns == 10**18


@pytest.mark.parametrize(("flags", "code", "content"), [((), 6, b"old"), (("--overwrite",), 0, b"new!")])
def test_receive_replaces_only_when_told(places, flags, code, content):
    """Whoever has the code cannot replace what is there, unless receive says so."""
    (places / "inbox").mkdir()
    (places / "inbox/a").write_bytes(b"old")
    (places / "a").write_bytes(b"new!")
    waiting, args = receiver(places, *flags)
    assert run(places / "config", "send", places / "a", *args)[0] == code
    assert (places / "inbox/a").read_bytes() == content
    waiting.process.send_signal(signal.SIGINT)
    waiting.end()


def test_one_wrong_guess_voids_the_code(places):
    """After a wrong code the right one is of no use either: receive says so, and ends."""
    (places / "a").write_bytes(b"a")
    waiting, (url, flag, code) = receiver(places)
    assert run(places / "config", "send", places / "a", url, flag, "222-222-222")[0] == 5
    assert run(places / "config", "send", places / "a", url, flag, code)[0] in {4, 5}
    ended, _, err = waiting.end()
    assert ended == 5
    assert "a wrong code came from 127.0.0.1" in err
    assert not list((places / "inbox").iterdir())


def test_every_command_and_its_exit_codes(places):
    """send, ls, get, rm; first meeting, wrong key, wrong password, nobody there, refused."""
    (places / "t").mkdir()
    (places / "t/a").write_bytes(b"content")
    (places / "got").mkdir()
    config = places / "config"
    with daemon(places) as serving:
        port = serving.address("xfer")[1]
        url = f"xfer://alice@127.0.0.1:{port}/in"
        assert run(config, "send", places / "t", url)[0] == 5
        assert run(config, "send", places / "t", url, "--accept-new")[0] == 0
        assert run(config, "send", places / "t", url)[0] == 0
        assert run(config, "send", places / "t", url, "--if-exists", "refuse")[0] == 6
        assert run(config, "send", places / "t", places / "missing", url)[0] == 3
        assert run(config, "ls", f"{url}/t", "--json")[1].count('"name": "a"') == 1
        assert run(config, "get", url, places / "got")[0] == 0
        assert (places / "got/in/t/a").read_bytes() == b"content"
        assert run(config, "rm", f"{url}/t/a")[0] == 0
        assert run(config, "rm", f"{url}/t/a")[0] == 6
        assert run(config, "ls", url, XFER_PASSWORD="wrong")[0] == 5
        assert run(config, "ls", f"{url}#sha256={'0' * 64}")[0] == 5
        assert run(config, "ls", "ftp://127.0.0.1/")[0] == 2
        assert run(config, "ls", "xfer://alice:secret@127.0.0.1/")[0] == 2
        known = (config / "known_peers").read_text()
        (config / "known_peers").write_text(known.replace(known.split()[1], "0" * 64))
        code, _, err = run(config, "ls", url, "--accept-new")
        assert code == 5
        assert "another key" in err
        assert serving.stop() == 0
    assert run(config, "ls", f"xfer://alice@127.0.0.1:{port}/")[0] == 4
