"""Small files that come together: stored after the frames of all of them were read, and answered in their order."""

import os

import pytest
from blake3 import blake3
from twisted.logger import Logger

from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.xfer.receiving import ReceiverRole
from twisted_xfer.protocols.xfer.small_in import BATCH
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import FrameType, encode_frame
from twisted_xfer.storage.local import LocalStorage

CONTENT = b"content"


def small(number, digest=None, path=None, **more):
    """ENTRY and INLINE of one file, in one piece."""
    entry = m.Entry(
        stream=number, path=path or b"file%d" % number, size=len(CONTENT), inline=True,
        digest=digest or blake3(CONTENT).digest(), **more,
    )  # fmt: skip
    return entry.encode() + encode_frame(FrameType.INLINE, number, CONTENT)


def several(count, first=1):
    """As many, one after the other."""
    return b"".join(small(number) for number in range(first, first + count))


@pytest.fixture
def held(monkeypatch):
    """How many entries were open each time that one was stored."""
    found = []
    stored = ReceiverRole.stored

    def noted(role, *args):
        found.append(len(role.books.open))
        stored(role, *args)

    monkeypatch.setattr(ReceiverRole, "stored", noted)
    return found


def said(sender):
    """What came, as names and streams."""
    return [(type(one).__name__, one.stream) for one in sender.heard()]


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 2])
def test_all_of_them_are_there_and_answered_in_their_order(sender, tmp_path, count):
    """However many come in one piece; the end of the offer behind them finishes it once."""
    sender.say(several(count) + m.EndOfOffer(entries=count).encode())
    assert said(sender) == [("Done", number) for number in range(1, count + 1)]
    assert {path.read_bytes() for path in (tmp_path / "alice").iterdir()} == {CONTENT}
    assert len(list((tmp_path / "alice").iterdir())) == count
    assert sender.line.listener.protocol.complete


@pytest.mark.parametrize(
    ("count", "open_then"), [(BATCH, [*range(BATCH, 0, -1)]), (BATCH + 1, [*range(BATCH, 0, -1), 1])]
)
def test_no_more_than_a_batch_is_held(sender, held, count, open_then):
    """The content of so many waits, and of no more."""
    sender.say(several(count))
    assert held == open_then


def test_half_a_file_keeps_none_waiting(sender):
    """What is whole is stored although more has begun to come."""
    raw = several(3)
    sender.say(raw[:-1])
    assert said(sender) == [("Done", 1), ("Done", 2)]
    sender.say(raw[-1:])
    assert said(sender) == [("Done", 3)]


def test_what_comes_behind_them_comes_behind_them(sender):
    """A directory, a large file and a question are not answered before."""
    others = [
        m.Entry(stream=3, path=b"folder", type="dir"),
        m.Entry(stream=4, path=b"large", size=10**6),
        m.Entry(stream=5, path=b"file1", size=len(CONTENT), dry_run=True),
    ]
    sender.say(several(2) + b"".join(one.encode() for one in others) + small(6))
    assert said(sender) == [("Done", 1), ("Done", 2), ("Done", 3), ("Take", 4), ("Skip", 5), ("Done", 6)]


def test_one_that_is_damaged_costs_no_other(sender, tmp_path):
    """Its error stands among the answers, where it belongs."""
    sender.say(small(1) + small(2, digest=bytes(32)) + small(3))
    assert said(sender) == [("Done", 1), ("Error", 2), ("Done", 3)]
    assert sorted(path.name for path in (tmp_path / "alice").iterdir()) == ["file1", "file3"]


def test_the_same_name_twice(sender):
    """The second finds the first: nothing is stored at once with another."""
    sender.say(small(1, path=b"same") + small(2, path=b"same"))
    assert said(sender) == [("Done", 1), ("Done", 2)]


@pytest.mark.parametrize("wrong", [m.Take(stream=1), m.Hello(nonce=bytes(16)), m.Restart(stream=9)])
def test_a_rule_that_is_broken_behind_them(sender, tmp_path, wrong):
    """They came before that: they are stored and answered, then comes the error."""
    sender.say(several(2) + wrong.encode())
    assert said(sender) == [("Done", 1), ("Done", 2), ("Error", 0)]
    assert len(list((tmp_path / "alice").iterdir())) == 2


def test_folders_that_are_not_there_yet(sender, tmp_path):
    """The first of each makes it; what belongs to it goes there, whichever came before."""
    paths = [b"a/b/%d", b"a/c/%d", b"%d", b"a/%d"]
    wanted = [paths[number // 3 % 4] % number for number in range(1, 40)]
    sender.say(b"".join(small(number, path=path) for number, path in enumerate(wanted, 1)))
    answers = sender.heard()
    assert [one.stored_as for one in answers] == [b"/" + path for path in wanted]
    assert {tmp_path / "alice" / path.decode() for path in wanted} == {
        path for path in (tmp_path / "alice").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("policy", "answer"),
    [("refuse", "Refuse"), ("overwrite", "Done"), ("rename", "Done"), ("skip-same", "Skip")],
)
def test_a_taken_name_in_the_middle(sender, tmp_path, policy, answer):
    """The policy holds for it, and for it alone."""
    (tmp_path / "alice/file2").write_bytes(b"earlier")
    os.utime(tmp_path / "alice/file2", ns=(5, 5))
    sender.say(small(1) + small(2, mtime_ns=5, if_exists=policy) + small(3))
    came = sender.heard()
    assert [type(one).__name__ for one in came] == ["Done", "Error" if answer == "Refuse" else answer, "Done"]
    there = {path.name: path.read_bytes() for path in (tmp_path / "alice").iterdir()}
    assert there.pop("file2") == (CONTENT if policy == "overwrite" else b"earlier")
    assert there.pop("file2 (1)", None) == (CONTENT if policy == "rename" else None)
    assert there == {"file1": CONTENT, "file3": CONTENT}


def test_a_file_and_a_folder_of_the_same_name(sender, tmp_path):
    """Who comes first has it, as if each had come alone."""
    sender.say(small(1, path=b"d/x") + small(2, path=b"d") + small(3, path=b"e") + small(4, path=b"e/x"))
    assert said(sender) == [("Done", 1), ("Error", 2), ("Done", 3), ("Error", 4)]
    assert {path.name for path in (tmp_path / "alice").rglob("*") if path.is_file()} == {"x", "e"}


def test_mode_and_time(sender, tmp_path):
    """They are the sender's, as far as anybody's may be."""
    sender.say(small(1, mode=0o777, mtime_ns=10**18 + 1) + small(2, mode=0o400))
    assert said(sender) == [("Done", 1), ("Done", 2)]
    one, two = (tmp_path / "alice/file1").stat(), (tmp_path / "alice/file2").stat()
    assert (one.st_mode & 0o7777, one.st_mtime_ns, two.st_mode & 0o7777) == (0o755, 10**18 + 1, 0o400)


def test_a_part_that_is_kept_under_one_of_the_names(sender, tmp_path):
    """It is begun anew, and nothing is left of it."""
    storage = LocalStorage(tmp_path / "alice", owner="alice")
    upload = storage.open_write(VirtualPath((b"file2",)), WriteIntent())
    upload.write(b"begun, and longer than what comes")
    upload.suspend()
    sender.say(several(3))
    assert said(sender) == [("Done", number) for number in (1, 2, 3)]
    assert {path.name: path.read_bytes() for path in (tmp_path / "alice").iterdir()} == {
        f"file{number}": CONTENT for number in (1, 2, 3)
    }


def test_which_way_they_go(sender, way, monkeypatch):
    """Only what is not simple opens an upload."""
    opened = []
    open_write = LocalStorage.open_write

    def noted(storage, path, intent):
        opened.append(path.name)
        return open_write(storage, path, intent)

    monkeypatch.setattr(LocalStorage, "open_write", noted)
    sender.say(several(2) + small(3, path=b"d/x") + several(2, first=4))
    assert len(said(sender)) == 5
    long = [b"file1", b"file2", b"x", b"x", b"file4", b"file5"]
    assert opened == ([b"x", b"x"] if way == "at once" else long)


def test_whoever_watches_fails(sender, tmp_path):
    """It costs the file that it was told of its answer, and nobody else anything."""

    def watch(event):
        if event.path == b"file2" and event.kind == "done":
            raise ValueError("a bug of whoever watches")

    role = sender.line.listener.protocol.role
    role._on_event = watch
    role.log = Logger(observer=lambda event: None)
    sender.say(several(3))
    assert said(sender) == [("Done", 1), ("Error", 2), ("Done", 3)]
    assert len(list((tmp_path / "alice").iterdir())) == 3
