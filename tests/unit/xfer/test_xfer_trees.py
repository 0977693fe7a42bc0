"""Trees: filters, dry runs, and what becomes of directories, both ways."""

import os

import pytest
from xfer_pipes import Net, local_net

from twisted_xfer.errors import PermissionDenied
from twisted_xfer.interfaces import Account, Right
from twisted_xfer.protocols.xfer.wire import link
from twisted_xfer.protocols.xfer.wire.messages import MAX_PATTERN, MAX_PATTERNS
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.host import MemoryHost

OLD = 1_000_000_000_123_456_789


@pytest.fixture
def home(tmp_path, net):
    return tmp_path / "root/alice"


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "t"
    for name in ("a.py", "b.txt", "src/c.py", "src/d.o", "build/e.py", "docs/f.txt", "docs/g/h"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    (top / "empty").mkdir()
    return top


def names(place):
    """Everything below, relative, directories with a slash."""
    return sorted(
        str(path.relative_to(place)) + "/" * (path.is_dir() and not path.is_symlink())
        for path in place.rglob("*")
    )


FILTERS = [
    ({"exclude": (b"*.o", b"build/", b"/t/docs/g")},
     ["t/", "t/a.py", "t/b.txt", "t/docs/", "t/docs/f.txt", "t/empty/", "t/src/", "t/src/c.py"]),
    ({"include": (b"*.py",)}, ["t/", "t/a.py", "t/build/", "t/build/e.py", "t/src/", "t/src/c.py"]),
    ({"include": (b"*.py", b"docs/"), "exclude": (b"build", b"h")},
     ["t/", "t/a.py", "t/docs/", "t/docs/f.txt", "t/docs/g/", "t/src/", "t/src/c.py"]),
    ({"include": (b"nothing",)}, ["t/"]),
]  # fmt: skip


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_filters_both_ways(net, home, tree, tmp_path, filters, expected):
    """What is excluded does not move; with include only that, and the directories on the way."""
    assert net.send([tree], **filters).failed == 0
    assert names(home) == expected
    net.send([tree])
    (tmp_path / "back").mkdir()
    assert net.get(b"t", tmp_path / "back", **filters).failed == 0
    assert names(tmp_path / "back") == expected


def test_what_git_ignores_is_not_sent(net, home, tree):
    """Files of the tree and of its parts, each for what is below it."""
    (tree / ".gitignore").write_text("build/\n*.o\n")
    (tree / "docs/.gitignore").write_text("*\n!.gitignore\n!f.txt\n")
    net.send([tree], gitignore=True)
    assert names(home) == [
        "t/", "t/.gitignore", "t/a.py", "t/b.txt", "t/docs/", "t/docs/.gitignore", "t/docs/f.txt", "t/empty/",
        "t/src/", "t/src/c.py",
    ]  # fmt: skip


def test_patterns_that_a_request_cannot_carry(net, tmp_path):
    """At the limits they go, one past them they are refused before anything is asked."""
    (tmp_path / "root/alice/f").write_bytes(b"")
    assert net.get(b"f", tmp_path, exclude=(b"x" * MAX_PATTERN,) * 14, if_exists="overwrite").failed == 0
    for wrong in ((b"x",) * (MAX_PATTERNS + 1), (b"x" * (MAX_PATTERN + 1),), (b"\xff",), (b"",)):
        assert net.get(b"f", tmp_path, exclude=wrong).code == "unsupported"
    assert net.get(b"f", tmp_path, exclude=(b"x",) * MAX_PATTERNS).failed == 0


def test_directories_keep_their_times(net, home, tree, tmp_path):
    """Set when their content is there, however many files were in the air; modes never lock the owner out."""
    for number in range(200):
        (tree / f"src/{number}").write_bytes(bytes(number))
    (tree / "src/big").write_bytes(bytes(300_000))
    (tree / "docs").chmod(0o750)
    (tree / "empty").chmod(0o555)
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, ns=(OLD, OLD))
    net.send([tree])
    (tmp_path / "back").mkdir()
    net.get(b"t", tmp_path / "back")
    for top in (home / "t", tmp_path / "back/t"):
        for path in [*top.rglob("*"), top]:
            assert path.stat().st_mtime_ns == OLD, path
        assert (top / "docs").stat().st_mode & 0o7777 == 0o750
        assert (top / "empty").stat().st_mode & 0o7777 == 0o755


def test_directories_of_what_is_tried_again(net, home, tree):
    """A file that was damaged on the way comes with the next connection; its directories' times come after it."""
    (tree / "docs/g/big").write_bytes(os.urandom(300_000))
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, ns=(OLD, OLD))
    net.plan.append({"flip_at": 150_000})
    summary = net.send([tree])
    assert len(net.lines) == 2
    assert (summary.files, summary.directories, summary.failed) == (8, 6, 0)
    for path in [*(home / "t").rglob("*"), home / "t"]:
        assert path.stat().st_mtime_ns == OLD, path


def test_a_directory_where_a_file_is(net, home, tree):
    """It and what is in it fail, each by itself; the rest is stored."""
    (home / "t").mkdir()
    (home / "t/docs").write_bytes(b"in the way")
    summary = net.send([tree])
    assert {path for path, _ in summary.failures} == {b"t/docs", b"t/docs/f.txt", b"t/docs/g", b"t/docs/g/h"}
    assert (home / "t/docs").read_bytes() == b"in the way"
    assert (home / "t/src/c.py").exists()


def test_too_deep_is_told(net, home, tmp_path):
    """What is deeper than the protocol carries is a failure, never left out in silence."""
    deep = tmp_path / "/".join(["d"] * 66)
    deep.mkdir(parents=True)
    summary = net.send([tmp_path / "d"])
    assert [path for path, _ in summary.failures] == [b"/".join([b"d"] * 64)]


def test_what_could_not_be_read_there_is_told(net, home, tmp_path, monkeypatch):
    """A tree that is fetched is not taken for whole when a file of it failed at the other end."""
    (home / "t").mkdir()
    (home / "t/big").write_bytes(bytes(300_000))
    (home / "t/small").write_bytes(b"small")
    (tmp_path / "back").mkdir()

    def denied(self, path, offset=0):
        raise PermissionDenied(bytes(path))

    monkeypatch.setattr(LocalStorage, "open_read", denied)
    summary = net.get(b"t", tmp_path / "back")
    assert (summary.files, summary.failed) == (0, 2)
    assert names(tmp_path / "back") == ["t/"]


# --- dry runs ----------------------------------------------------------------------------------------


def snapshot(place):
    """Everything that would show that something was written."""
    return sorted(
        (str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in [place, *place.rglob("*")]
    )


def asked(net, tree, **changes):
    """What a dry run says of each file: path to answer."""
    seen = []
    summary = net.send([tree], on_event=seen.append, dry_run=True, **changes)
    answers = {}
    for event in seen:
        if event.kind in {"would", "skipped"}:
            answers[event.path] = event.why
        elif event.kind == "failed":
            answers[event.path] = event.error.name
        else:
            assert event.kind == "connected", event
    assert summary.files == summary.directories == 0
    return answers


@pytest.mark.parametrize(
    ("policy", "same", "younger", "older"),
    [
        ("refuse", "exists", "exists", "exists"),
        ("overwrite", "replace", "replace", "replace"),
        ("rename", "store", "store", "store"),
        ("newer", "same", "newer", "replace"),
        ("skip-same", "same", "replace", "replace"),
    ],
)
def test_a_dry_run_asks_and_the_run_does_it(net, home, tmp_path, policy, same, younger, older):
    """The receiver says what it would do under each policy; nothing is written; then it does that."""
    tree = tmp_path / "t"
    tree.mkdir()
    (home / "t").mkdir()
    for name, there in (("same", OLD), ("younger", OLD + 1), ("older", OLD - 1)):
        (tree / name).write_bytes(b"content")
        (home / "t" / name).write_bytes(b"content")
        os.utime(tree / name, ns=(OLD, OLD))
        os.utime(home / "t" / name, ns=(there, there))
    (tree / "new").write_bytes(bytes(300_000))
    (tree / "newdir").mkdir()
    before = snapshot(home)
    answers = asked(net, tree, if_exists=policy)
    assert answers == {
        b"t": "same", b"t/newdir": "store", b"t/new": "store",
        b"t/same": same, b"t/younger": younger, b"t/older": older,
    }  # fmt: skip
    assert snapshot(home) == before
    seen = []
    net.send([tree], if_exists=policy, on_event=seen.append)
    for event in seen:
        if event.kind == "failed":
            assert answers[event.path] == event.error.name
        elif event.kind == "skipped":
            assert answers[event.path] == event.why
        elif event.kind == "done" and event.type == "file":
            assert answers[event.path] in {"store", "replace"}


def test_a_dry_run_of_a_part_that_is_kept(net, home, tmp_path):
    """A part is no file: it would be stored, whatever the policy; and the part stays as it is."""
    (tmp_path / "f").write_bytes(os.urandom(3_000_000))
    net.plan.append({"cut_after": 2_000_000})
    net.send([tmp_path / "f"], retries=0)
    assert [path for path in home.iterdir() if path.name.endswith(".xpart")]
    before = snapshot(home)
    assert asked(net, tmp_path / "f", if_exists="refuse") == {b"f": "store"}
    assert snapshot(home) == before


def test_a_dry_run_sees_rights_and_quota(tmp_path, tree):
    """What would be refused for a right, or because all together do not fit, is refused."""
    account = Account("alice", quota_bytes=25, rights=frozenset(Right) - {Right.OVERWRITE, Right.MKDIR})
    net = local_net(tmp_path / "root", accounts={"alice": account})
    net.host.login._portal.realm._ledger = MemoryLedger()
    (tmp_path / "root/alice/b.txt").write_bytes(b"old")
    for name in ("a.py", "b.txt", "src"):
        (tree / name).rename(tmp_path / name)
    (tmp_path / "c").write_bytes(bytes(15))
    (tmp_path / "d").write_bytes(bytes(15))
    seen = []
    net.send(
        [tmp_path / name for name in ("a.py", "b.txt", "src", "c", "d")], on_event=seen.append, dry_run=True
    )
    failed = {event.path: event.error.name for event in seen if event.kind == "failed"}
    assert failed[b"b.txt"] == failed[b"src"] == failed[b"src/c.py"] == "right_missing"
    assert failed[b"d"] == "quota"
    assert {event.path for event in seen if event.kind == "would"} == {b"a.py", b"c"}
    net.close_clean()


def test_a_drop_box_tells_nothing(tmp_path):
    """Who may only write is not told by a dry run what is there."""
    account = Account("alice", rights=frozenset({Right.WRITE}))
    net = local_net(tmp_path / "root", accounts={"alice": account})
    (tmp_path / "f").write_bytes(b"f")
    (tmp_path / "root/alice/f").write_bytes(b"there")
    assert asked(net, tmp_path / "f") == {b"f": "store"}
    net.close_clean()


def test_a_dry_run_of_get(net, home, tree, tmp_path):
    """Our own end says what it would do, and content does not even come for small files."""
    net.send([tree])
    (tmp_path / "back").mkdir()
    carried = net.lines[-1].listener.written
    summary = net.get(b"t", tmp_path / "back", dry_run=True)
    assert (summary.would, summary.files, summary.failed) == (13, 0, 0)
    assert names(tmp_path / "back") == []
    assert b"b.txt" not in bytes(carried)
    net.get(b"t", tmp_path / "back")
    again = net.get(b"t", tmp_path / "back", dry_run=True)
    assert (again.would, again.skipped) == (0, 13)


def test_peers_that_cannot_are_not_asked(tmp_path, tree, monkeypatch):
    """A dry run, or a filter, that the other end would not heed is refused here."""
    monkeypatch.setattr("twisted_xfer.protocols.xfer.server.FEATURES", ())
    net = Net(MemoryHost({"alice": "secret"}))
    assert net.send([tree], dry_run=True).code == "unsupported"
    assert net.get(b"", tmp_path, dry_run=True).code == "unsupported"
    assert net.get(b"", tmp_path, exclude=(b"x",)).code == "unsupported"
    assert net.send([tree], exclude=(b"x",)).failed == 0
    assert set(link.FEATURES) >= {link.DRY_RUN, link.FILTER}
    net.close_clean()


def test_receive_once_does_not_end_with_a_dry_run(net, tree):
    """A sender that only asked has sent nothing."""
    ended = []
    net.factory.on_received = lambda *_args: ended.append(1)
    heard = []
    net.factory.on_event = heard.append
    net.send([tree], dry_run=True, if_exists="refuse")
    assert not heard
    net.lines[-1].cut()
    assert not ended
    net.send([tree])
    net.lines[-1].cut()
    assert ended
