"""Real processes at both ends of a real line: killed and cut anywhere, flipped, delayed. Never a wrong file.

XFER_FAULT_RUNS is how many places each case tries beside random bytes: 1 unless set, ``all`` for every frame boundary.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from twisted_xfer.cli.trust import own_certificate
from twisted_xfer.protocols.xfer.content import SEGMENT
from twisted_xfer.protocols.xfer.wire.frames import HEADER, PREAMBLE
from twisted_xfer.testing.daemon import Daemon
from twisted_xfer.testing.proxy import Harm, Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
RUNS = os.environ.get("XFER_FAULT_RUNS", "1")
#: A command takes half a second; a loaded machine gets this much.
SECONDS = 90.0
CODE = "222-333-444"
BIG = SEGMENT + SEGMENT // 4


class Command:
    """``xfer ARGS`` in a process of its own."""

    def __init__(self, places, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "twisted_xfer.cli", *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={
                **os.environ, "XFER_CONFIG_DIR": str(places / "config"), "XFER_PASSWORD": "secret", "XFER_CODE": CODE,
            },
        )  # fmt: skip

    def kill(self):
        self.process.send_signal(signal.SIGKILL)

    def end(self):
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A root, our own certificate, and a tree with files of each kind that goes its own way."""
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "config"))
    own_certificate()
    (tmp_path / "root").mkdir()
    chance = random.Random(1)
    for name, size in (
        ("tree/big", 300_000),
        ("tree/small", 5),
        ("tree/empty", 0),
        ("tree/below/deep", 70_000),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))
    return tmp_path


@pytest.fixture
def huge(places):
    """A file of more than one segment, no two blocks of it alike."""
    path = places / "huge"
    with path.open("wb") as stream:
        for number in range(BIG // 4096):
            stream.write(number.to_bytes(8, "big") * 512)
    return path


def serve(places, *more):
    pem = str(places / "config/receive.pem")
    args = ["--root", str(places / "root"), "--auth", "memory:alice:secret", "--tls-certificate", pem]
    return Daemon([*args, "--tls-key", pem, "--listen", "xfer=tcp:0:interface=127.0.0.1", *more])


@pytest.fixture
def line(places):
    """A daemon behind a proxy."""
    with serve(places) as daemon, Proxy(daemon.address("xfer")) as proxy:
        proxy.daemon = daemon
        yield proxy


def url(proxy, path=""):
    return f"xfer://alice@127.0.0.1:{proxy.port}/{path}"


def content(top):
    """Every file below under its final name, and the parts."""
    files = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()}
    parts = {name: path for name, path in files.items() if name.endswith(".xpart")}
    return {name: path.read_bytes() for name, path in files.items() if name not in parts}, parts


def never_wrong(places, home):
    """What is there under a final name is what it should be."""
    wanted, _ = content(places / "tree")
    there, _ = content(home / "tree") if (home / "tree").is_dir() else ({}, {})
    assert all(wanted[name] == data for name, data in there.items()), list(there)


def whole(places, home):
    """All is there, and nothing else."""
    there, parts = content(home / "tree")
    assert there == content(places / "tree")[0]
    assert not parts


def boundaries(raw):
    """Where frames begin and end in one side's bytes, without TLS."""
    at, found = len(PREAMBLE), [len(PREAMBLE)]
    while at + HEADER.size <= len(raw):
        at += HEADER.size + HEADER.unpack_from(raw, at)[4]
        found.append(at)
    return found


def chosen(raw, seed):
    """Frame boundaries and other bytes of ``raw``: some, or all boundaries and as many others."""
    bounds = [at for at in boundaries(raw) if 0 < at <= len(raw)]
    assert len(bounds) > 5
    chance = random.Random(seed)
    if RUNS == "all":
        return sorted({*bounds, *(chance.randrange(1, len(raw)) for _ in bounds)})
    count = int(RUNS)
    return sorted(
        {
            *chance.sample(bounds, min(count, len(bounds))),
            *chance.choices(range(1, len(raw)), k=max(1, count // 2)),
        }
    )


def summary(out):
    return json.loads(out.splitlines()[-1])


def test_a_killed_sender(places, line):
    """kill -9 of xfer send when so many of its bytes had gone: the same command again brings the rest."""
    args = ["send", places / "tree", "--plain", "--json"]
    assert Command(places, *args, url(line, "first")).end()[0] == 0
    for number, at in enumerate(chosen(bytes(line.carried[0]["forth"]), 1)):
        home = places / f"root/alice/run{number:02}"
        running = []
        line.plan.append(Harm(at=at, then=lambda running=running: running[0].kill()))
        running.append(Command(places, *args, url(line, home.name)))
        assert running[0].end()[0] in {-9, 0}, at
        never_wrong(places, home)
        code, out, err = Command(places, *args, url(line, home.name)).end()
        assert (code, summary(out)["failed"]) == (0, 0), (at, err)
        whole(places, home)


def test_a_killed_daemon(places):
    """kill -9 of the daemon: a sender dials again by itself, and ends with all verified."""
    args = ["send", places / "tree", "--plain", "--json"]
    daemon = serve(places).start()
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: daemon.close())
        proxy = stack.enter_context(Proxy(daemon.address("xfer")))
        assert Command(places, *args, url(proxy, "first")).end()[0] == 0
        for number, at in enumerate(chosen(bytes(proxy.carried[0]["forth"]), 2)):
            home = places / f"root/alice/run{number:02}"
            proxy.plan.append(Harm(at=at, then=daemon.kill))
            sender = Command(places, *args, url(proxy, home.name))
            deadline = time.monotonic() + SECONDS
            # A sender that has ended already has all, and the daemon was not to die.
            while daemon.running and sender.process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            never_wrong(places, home)
            daemon.close()
            daemon = serve(places).start()
            proxy.address = daemon.address("xfer")
            code, _, err = sender.end()
            if at < len(proxy.carried[0]["forth"]) // 100 and code == 9:
                # Killed before the login: nothing says yet that this is worth a second try.
                code, _, err = Command(places, *args, url(proxy, home.name)).end()
            assert code == 0, (at, err)
            whole(places, home)


def test_a_killed_receiver(places):
    """kill -9 of xfer receive: the sender ends with "can be resumed"; with both started again all arrives."""
    (places / "inbox").mkdir()

    def receive():
        args = ("receive", places / "inbox", "--host", "127.0.0.1", "--port", "0", "--json", "--plain")
        waiting = Command(places, *args)
        return waiting, (
            "127.0.0.1",
            int(json.loads(waiting.process.stdout.readline())["url"].rpartition(":")[2]),
        )

    receiver, address = receive()
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: (receiver.kill(), receiver.process.communicate()))
        proxy = stack.enter_context(Proxy(address))
        args = [
            "send",
            places / "tree",
            f"xfer://127.0.0.1:{proxy.port}",
            "--code",
            CODE,
            "--plain",
            "--json",
        ]
        assert Command(places, *args).end()[0] == 0
        raw = bytes(proxy.carried[0]["forth"])
        for at in chosen(raw, 3):
            for path in sorted((places / "inbox").rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            proxy.plan.append(Harm(at=at, then=receiver.kill))
            code, _, err = Command(places, *args, "--retry", "0").end()
            assert code in {4, 9} or at == len(raw), (at, err)
            receiver.process.communicate(timeout=SECONDS)
            never_wrong(places, places / "inbox")
            receiver, proxy.address = receive()
            code, _, err = Command(places, *args).end()
            assert code == 0, (at, err)
            whole(places, places / "inbox")


def test_a_killed_getter(places, line):
    """kill -9 of xfer get when it had so many bytes: the same command again brings the rest."""
    assert Command(places, "send", places / "tree", url(line), "--plain").end()[0] == 0
    args = ["get", url(line, "tree"), "--plain"]
    (places / "first").mkdir()
    assert Command(places, *args, places / "first").end()[0] == 0
    for number, at in enumerate(chosen(bytes(line.carried[1]["back"]), 4)):
        home = places / f"got{number}"
        home.mkdir()
        running = []
        line.plan.append(Harm("back", at=at, then=lambda running=running: running[0].kill()))
        running.append(Command(places, *args, home))
        assert running[0].end()[0] in {-9, 0}, at
        never_wrong(places, home)
        code, _, err = Command(places, *args, home).end()
        assert code == 0, (at, err)
        whole(places, home)


def meet(places, line):
    """Get to know the daemon's key."""
    assert Command(places, "ls", url(line), "--accept-new").end()[0] == 0


@pytest.mark.parametrize("way", ["forth", "back"])
def test_a_line_that_is_cut_in_tls(places, line, way, huge):
    """Cut at any byte behind the handshake: the command itself dials again and goes on."""
    meet(places, line)
    assert Command(places, "send", huge, url(line, "first")).end()[0] == 0
    total = len(line.carried[-1][way])
    chance = random.Random(way)
    for number in range(1 if RUNS == "1" else int(RUNS) if RUNS != "all" else 20):
        line.plan.append(Harm(way, at=chance.randrange(total * 2 // 3, total)))
        code, out, err = Command(places, "send", huge, url(line, f"run{number:02}"), "--json").end()
        assert code == 0, err
        assert (places / f"root/alice/run{number:02}/huge").read_bytes() == huge.read_bytes()
        # Where only the last word was lost, the file is there already when it is offered again.
        assert summary(out)["verified"] == BIG or summary(out)["skipped"] == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_flipped_bit(places, line, huge, tls):
    """Found within a segment, or by TLS at once; what was good before it is kept and gone on from."""
    flags = ["--json", *([] if tls else ["--plain"])]
    meet(places, line)
    chance = random.Random(tls)
    for number in range(2 if RUNS == "1" else int(RUNS) if RUNS != "all" else 20):
        # In the clear only content is protected from the line: names and sizes are not.
        at = (
            chance.randrange(SEGMENT + 100_000, BIG)
            if number % 2 == 0
            else chance.randrange(100_000, SEGMENT)
        )
        line.plan.append(Harm(at=at, flip=True))
        args = ["send", huge, url(line, f"run{number:02}"), *flags]
        code, _, err = Command(places, *args, "--retry", "0").end()
        assert code == (9 if tls else 8), (at, err)
        home = places / f"root/alice/run{number:02}"
        there, parts = content(home)
        assert there == {}
        kept = [path.stat().st_size for path in parts.values()]
        if not tls:
            assert kept == ([SEGMENT] if at > SEGMENT else []), at
        for path in parts.values():
            assert huge.read_bytes().startswith(path.read_bytes()), at
        code, out, err = Command(places, *args).end()
        assert code == 0, (at, err)
        assert summary(out)["moved"] == BIG - sum(kept)
        assert (home / "huge").read_bytes() == huge.read_bytes()


@pytest.mark.parametrize("way", ["forth", "back"])
def test_slow_bytes(places, line, way):
    """Seven bytes at a time are as good as any."""
    (places / "few").write_bytes(os.urandom(3000))
    line.plan.append(Harm(way, piece=7, delay=0.0005))
    code, _, err = Command(places, "send", places / "few", url(line), "--accept-new").end()
    assert code == 0, err
    assert (places / "root/alice/few").read_bytes() == (places / "few").read_bytes()


def test_more_than_the_quota(places):
    """An upload beyond it is refused by name with exit code 6, and leaves nothing; what fits goes on."""
    config = places / "quota.toml"
    config.write_text('[quota]\nplugin = "memory"\n[accounts.alice]\nquota_bytes = 100000\n')
    with serve(places, "--config", str(config)) as daemon:
        place = f"xfer://alice@127.0.0.1:{daemon.address('xfer')[1]}/"
        code, _, err = Command(places, "send", places / "tree/big", place, "--plain").end()
        assert code == 6
        assert "quota" in err
        assert content(places / "root/alice") == ({}, {})
        code, out, err = Command(places, "send", places / "tree", place, "--plain", "--json").end()
        assert code == 3, err
        assert (summary(out)["files"], summary(out)["failed"]) == (3, 1)
        read, write = os.pipe()
        os.write(write, b"x" * 60_000)
        os.close(write)
        piped = subprocess.run(
            [sys.executable, "-m", "twisted_xfer.cli", "send", "-", place, "--plain"],
            stdin=read, capture_output=True, timeout=SECONDS, check=False,
            env={**os.environ, "XFER_PASSWORD": "secret"},
        )  # fmt: skip
        os.close(read)
        assert piped.returncode == 6, piped.stderr
        assert sorted(content(places / "root/alice")[0]) == ["tree/below/deep", "tree/empty", "tree/small"]
