"""Whole transfers in memory: send, get, ls, rm, policies, pairing, drain."""

import os

import pytest
from xfer_pipes import ALICE, local_net

from twisted_xfer.interfaces import Account
from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.testing.host import MemoryHost

from xfer_pipes import Net  # isort: skip


@pytest.fixture
def home(tmp_path, net):
    return tmp_path / "root/alice"


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE, MAX_INLINE + 1, 256 * 1024, 256 * 1024 + 1, 3_000_001])
def test_sizes_at_every_limit(net, home, tmp_path, size):
    """Inline or not, in a thread or not: what arrives is what was sent, mode and time included."""
    source = tmp_path / "f"
    source.write_bytes(os.urandom(size))
    source.chmod(0o750)
    os.utime(source, ns=(1, 1_234_567_890_123_456_789))
    summary = net.send([source])
    assert (summary.files, summary.moved, summary.failed) == (1, size, 0)
    stored = home / "f"
    assert stored.read_bytes() == source.read_bytes()
    assert (stored.stat().st_mode & 0o777, stored.stat().st_mtime_ns) == (0o750, 1_234_567_890_123_456_789)


def test_nobody_else_gets_to_write(net, home, tmp_path):
    """Group and others never get write permission from a sender, nor anybody set-uid."""
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "f").chmod(0o6777)
    net.send([tmp_path / "f"])
    assert (home / "f").stat().st_mode & 0o7777 == 0o755


def test_a_tree_there_and_back(net, home, tmp_path):
    """Empty directories, names that are no UTF-8, many small files: the same after two ways."""
    tree = tmp_path / "t"
    (tree / "empty").mkdir(parents=True)
    (tree / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    for number in range(300):
        (tree / f"{number}").write_bytes(b"%d" % number)
    summary = net.send([tree], path=b"deep/er")
    assert (summary.files, summary.directories, summary.failed) == (301, 2, 0)
    (tmp_path / "back").mkdir()
    back = net.get(b"deep/er/t", tmp_path / "back")
    assert (back.files, back.failed) == (301, 0)
    for path in tree.rglob("*"):
        other = tmp_path / "back/t" / path.relative_to(tree)
        assert other.is_dir() if path.is_dir() else other.read_bytes() == path.read_bytes()
    assert net.get(b"deep/er/t", tmp_path / "back").skipped == 301


@pytest.mark.parametrize(
    ("policy", "content", "extra"),
    [
        ("refuse", b"old", None),
        ("overwrite", b"new", None),
        ("rename", b"old", b"new"),
        ("skip-same", b"new", None),
        ("newer", b"old", None),
    ],
)
def test_policies_for_a_taken_name(net, home, tmp_path, policy, content, extra):
    """Each does what it says with a file that is there, and is younger."""
    (tmp_path / "f.txt").write_bytes(b"new")
    os.utime(tmp_path / "f.txt", ns=(1, 1))
    (home / "f.txt").write_bytes(b"old")
    net.send([tmp_path / "f.txt"], if_exists=policy)
    assert (home / "f.txt").read_bytes() == content
    assert [path.read_bytes() for path in home.glob("f (*).txt")] == ([extra] if extra else [])


@pytest.mark.parametrize(
    ("own", "asked", "content", "extra"),
    [
        ("refuse", "overwrite", b"old", None),
        ("refuse", "skip-same", b"old", None),
        ("rename", "overwrite", b"old", b"new"),
        ("rename", "skip-same", b"old", b"new"),
        ("refuse", "rename", b"old", b"new"),
        ("overwrite", "refuse", b"old", None),
    ],
)
def test_the_accounts_own_policy_keeps_what_is_there(tmp_path, own, asked, content, extra):
    """Whatever the sender asks for, and a dry run says the same; who asks for less gets that."""
    (tmp_path / "f.txt").write_bytes(b"new")
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", if_exists=own)})
    home = tmp_path / "root/alice"
    home.mkdir(exist_ok=True)
    (home / "f.txt").write_bytes(b"old")
    for dry in (True, False):
        summary = net.send([tmp_path / "f.txt"], if_exists=asked, dry_run=dry)
        assert [error.name for _, error in summary.failures] == ([] if extra else ["exists"])
        assert (home / "f.txt").read_bytes() == content
    assert [path.read_bytes() for path in home.glob("f (*).txt")] == ([extra] if extra else [])
    net.close_clean()


def test_the_accounts_own_policy_skips_what_is_the_same(tmp_path):
    """Nothing would be replaced, so nothing is refused."""
    (tmp_path / "f.txt").write_bytes(b"new")
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", if_exists="refuse")})
    assert net.send([tmp_path / "f.txt"]).files == 1
    assert net.send([tmp_path / "f.txt"]).skipped == 1
    net.close_clean()


def test_links_are_refused_and_the_rest_goes_on(net, home, tmp_path):
    """By default nobody makes links at the other end."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t/a").symlink_to("b")
    (tmp_path / "t/b").write_bytes(b"b")
    summary = net.send([tmp_path / "t"])
    assert [(path, error.name) for path, error in summary.failures] == [(b"t/a", "forbidden_path")]
    assert sorted(path.name for path in (home / "t").iterdir()) == ["b"]


def test_quota_holds(tmp_path):
    """Over quota: told as such, nothing kept; what fits goes through."""
    (tmp_path / "big").write_bytes(bytes(200_000))
    (tmp_path / "small").write_bytes(bytes(1000))
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", quota_bytes=10_000)})
    summary = net.send([tmp_path / "small"])
    assert summary.files == 1
    net.close_clean()


def test_a_storage_in_memory(tmp_path):
    """Any storage will do; one without descriptors begins anew instead of going on."""
    (tmp_path / "f").write_bytes(os.urandom(300_000))
    net = Net(MemoryHost({"alice": "secret"}))
    assert isinstance(net.host.storage, MemoryStorage)
    net.plan.append({"cut_after": 200_000})
    summary = net.send([tmp_path / "f"])
    assert (summary.files, summary.moved) == (1, 300_000)
    assert net.send([tmp_path / "f"]).skipped == 1
    net.close_clean()


def ask(net, call, path, login=ALICE):
    return net.run(call(net.host.clock, client.Target("memory", path=path), login, net.work()))


def test_ls_and_rm(net, home):
    """Names, kinds and sizes; a file is its own listing; directories must be empty to go."""
    (home / "d").mkdir()
    (home / "d/f").write_bytes(b"abc")
    assert [(one.path, one.type, one.size) for one in ask(net, client.ls, b"")] == [(b"d", "dir", None)]
    assert [(one.path, one.size) for one in ask(net, client.ls, b"d/f")] == [(b"f", 3)]
    assert ask(net, client.ls, b"no").name == "not_found"
    assert ask(net, client.rm, b"d").name == "not_empty"
    assert ask(net, client.rm, b"d/f") is None
    assert ask(net, client.rm, b"d") is None
    assert not list(home.iterdir())


def test_get_of_what_is_not_there(net, tmp_path):
    """The request fails, not the listener."""
    assert net.get(b"no", tmp_path).name == "not_found"


def test_events_are_those_of_any_upload(net, tmp_path):
    """One account, every protocol: the bus hears of login, upload, download and logout."""
    (tmp_path / "f").write_bytes(b"f")
    net.send([tmp_path / "f"])
    net.get(b"f", tmp_path / "root")
    for line in net.lines:
        line.cut()
    ids = net.host.recorder.ids
    for wanted in (
        "connection.open",
        "login.ok",
        "upload.complete",
        "download.complete",
        "logout",
        "connection.close",
    ):
        assert wanted in ids
    assert {event.protocol for event in net.host.recorder.events} == {"xfer"}


def test_pairing_end_to_end(tmp_path):
    """The code logs in as its account; a wrong one voids it."""
    (tmp_path / "f").write_bytes(b"f")
    options = XferOptions(code="abc-def-ghj", code_username="alice", code_password="secret", plain="always")
    net = local_net(tmp_path / "root", options)
    right = client.Login(code="ABCDEFGHJ", plain=True)
    assert net.send([tmp_path / "f"], login=right).files == 1
    assert ask(net, client.ls, b"", right).name == "right_missing"
    assert ask(net, client.rm, b"f", right).name == "right_missing"
    assert net.send([tmp_path / "f"]).code == "login_impossible"
    assert net.send([tmp_path / "f"], login=client.Login(code="no", plain=True)).name == "login_failed"
    assert net.send([tmp_path / "f"], login=right).name == "login_failed"
    net.close_clean()


def test_anonymous_drop_box(tmp_path):
    """Only where both the option and the daemon allow it."""
    nobody = client.Login(plain=True)
    (tmp_path / "f").write_bytes(b"f")
    closed = local_net(tmp_path / "root", XferOptions(anonymous=True))
    assert closed.send([tmp_path / "f"], login=nobody).code == "login_impossible"
    (tmp_path / "root/pub").mkdir()
    (tmp_path / "root/pub/hello").write_bytes(b"hello")
    opened = local_net(tmp_path / "root", XferOptions(anonymous=True), anonymous="/pub")
    assert [one.path for one in ask(opened, client.ls, b"", nobody)] == [b"hello"]
    opened.close_clean()


def test_drain(net, tmp_path):
    """Idle sessions are told and go at once; one that moves content may end first."""
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    got = []
    client.send(
        net.host.clock, [os.fsencode(tmp_path / "big")], client.Target("m"), ALICE, net.work()
    ).addBoth(got.append)
    net.pump(lambda: net.lines[0].carried > 100_000)
    drained = net.factory.drain()
    assert not drained.called
    net.pump()
    assert got[0].files == 1
    assert drained.called
    assert net.factory.drain().called


def test_a_stream_of_unknown_length(net, home):
    """Standard input: verified all the same."""
    reading, writing = os.pipe()
    os.write(writing, b"abc" * 10)
    os.close(writing)
    work = net.work()
    summary = net.run(client.send_stream(net.host.clock, reading, b"in", client.Target("m"), ALICE, work))
    os.close(reading)
    assert (summary.files, summary.moved) == (1, 30)
    assert (home / "in").read_bytes() == b"abc" * 10


def test_giving_up(net, tmp_path):
    """Reconnections that bring nothing end after so many, each wait longer than the one before."""
    (tmp_path / "f").write_bytes(bytes(100_000))
    net.plan.extend([{"cut_after": 300}] * 4)
    seen = []
    error = net.send([tmp_path / "f"], retries=3, on_event=seen.append)
    assert error.code == "connection_lost"
    assert [event.seconds for event in seen if event.kind == "reconnecting"] == [2, 4, 8]
