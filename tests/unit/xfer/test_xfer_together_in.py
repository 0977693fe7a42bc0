"""Small files that come in one FILES: what is answered for all of them, and what for each."""

import os

import attrs
import pytest
from blake3 import blake3

from twisted_xfer.paths import MAX_DEPTH, VirtualPath
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, FrameType, encode_frame

CONTENT = b"content"


def digest(content=CONTENT):
    return blake3(content).digest()


def together(*names, first=1, path=b"", content=CONTENT, digests=None, **more):
    """FILES and INLINE of so many, each of the same content."""
    count = len(names)
    fields = {
        "sizes": (len(content),) * count,
        "modes": (None,) * count,
        "mtimes_ns": (None,) * count,
        "digests": digests or digest(content) * count,
    }
    files = m.Files(names=names, path=path, stream=first, **(fields | more))
    return files.encode() + encode_frame(FrameType.INLINE, first, content * count)


def said(sender):
    """What came, one answer for each file: those of a STORED are told as it tells them."""
    found = []
    for one in sender.heard():
        if isinstance(one, m.Stored):
            found += [("Done", one.stream + at) for at in range(one.count)]
        else:
            found.append((type(one).__name__, one.stream))
    return found


def there(tmp_path):
    home = tmp_path / "alice"
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_one_answer_for_all_of_them(sender, tmp_path, way):
    """With the digests of what was stored, and where."""
    sender.say(together(b"a", "ü".encode(), b"c") + m.EndOfOffer(entries=3).encode())
    if way == "at once":
        assert sender.heard() == [m.Stored(3, digest() * 3, b"/", stream=1)]
    else:
        assert said(sender) == [("Done", 1), ("Done", 2), ("Done", 3)]
    assert there(tmp_path) == {"a": CONTENT, "ü": CONTENT, "c": CONTENT}
    assert sender.line.listener.protocol.complete


def test_a_folder_that_is_not_there_yet(sender, tmp_path):
    """The first makes it; those behind it are there all the same."""
    sender.say(together(b"a", b"b", path=b"d/e") + together(b"c", b"d", first=3, path=b"d/e"))
    assert said(sender) == [("Done", number) for number in (1, 2, 3, 4)]
    assert there(tmp_path) == {f"d/e/{name}": CONTENT for name in "abcd"}


def test_their_folder_is_told(sender, way):
    """As this account sees it, which the sender may be shown."""
    sender.say(together(b"a", path=b"d/e") + together(b"b", b"c", first=2, path=b"d/e"))
    first, *others = sender.heard()
    assert first.stored_as == b"/d/e/a"
    if way == "at once":
        assert others == [m.Stored(2, digest() * 2, b"/d/e", stream=2)]
    else:
        assert [one.stored_as for one in others] == [b"/d/e/b", b"/d/e/c"]


@pytest.mark.parametrize(
    ("policy", "answer"),
    [("refuse", "Error"), ("overwrite", "Done"), ("rename", "Done"), ("skip-same", "Skip")],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_taken_name_among_them(sender, tmp_path, policy, answer, at):
    """The policy holds for it, and for it alone."""
    name = "abc"[at]
    (tmp_path / "alice" / name).write_bytes(b"earlier")
    os.utime(tmp_path / "alice" / name, ns=(5, 5))
    if policy == "skip-same":
        (tmp_path / "alice" / name).write_bytes(b"EARLIER")
        os.utime(tmp_path / "alice" / name, ns=(5, 5))
    sender.say(together(b"a", b"b", b"c", if_exists=policy, mtimes_ns=(5, 5, 5)))
    answers = ["Done"] * 3
    answers[at] = answer
    assert said(sender) == list(zip(answers, (1, 2, 3), strict=True))
    found = there(tmp_path)
    kept = found.pop(name)
    assert kept.lower() == (CONTENT if policy == "overwrite" else b"earlier")
    assert found.pop(f"{name} (1)", None) == (CONTENT if policy == "rename" else None)
    assert len(found) == 2


def test_one_that_is_damaged_costs_no_other(sender, tmp_path):
    """Only it has failed."""
    digests = digest() + bytes(32) + digest()
    sender.say(together(b"a", b"b", b"c", digests=digests))
    assert said(sender) == [("Done", 1), ("Error", 2), ("Done", 3)]
    assert sorted(there(tmp_path)) == ["a", "c"]


def test_the_same_name_twice(sender, tmp_path):
    """The second finds the first."""
    sender.say(together(b"same", b"same", b"other"))
    assert said(sender) == [("Done", 1), ("Done", 2), ("Done", 3)]
    assert there(tmp_path) == {"same": CONTENT, "other": CONTENT}


def test_names_of_parts(sender, tmp_path):
    """They do not exist for peers."""
    sender.say(together(b"a", b".f." + b"0" * 16 + b".xpart", b"c"))
    assert [name for name, _ in said(sender)] == ["Done", "Error", "Done"]
    assert sorted(there(tmp_path)) == ["a", "c"]


def test_mode_and_time(sender, tmp_path):
    """They are the sender's, as far as anybody's may be."""
    sender.say(together(b"a", b"b", modes=(0o777, 0o400), mtimes_ns=(10**18 + 1, None)))
    assert said(sender) == [("Done", 1), ("Done", 2)]
    one, two = (tmp_path / "alice/a").stat(), (tmp_path / "alice/b").stat()
    assert (one.st_mode & 0o7777, one.st_mtime_ns, two.st_mode & 0o7777) == (0o755, 10**18 + 1, 0o400)


def test_they_come_in_their_turn(sender):
    """Behind single ones before them, and before what is behind."""
    entry = m.Entry(stream=1, path=b"z", size=len(CONTENT), inline=True, digest=digest())
    folder = m.Entry(stream=4, path=b"folder", type="dir")
    sender.say(
        entry.encode()
        + encode_frame(FrameType.INLINE, 1, CONTENT)
        + together(b"a", b"b", first=2)
        + folder.encode()
    )
    assert said(sender) == [("Done", 1), ("Done", 2), ("Done", 3), ("Done", 4)]


def test_whoever_watches_is_told_of_each(sender, tmp_path):
    """And then each is answered by itself."""
    told = []
    sender.line.listener.protocol.role._on_event = told.append
    sender.say(together(b"a", b"b", path=b"d"))
    assert [(event.kind, event.path, event.stored_as) for event in told] == [
        ("done", b"d/a", b"/d/a"),
        ("done", b"d/b", b"/d/b"),
    ]
    assert [type(one) for one in sender.heard()] == [m.Done, m.Done]


def test_what_was_brought_already(sender, tmp_path):
    """By an earlier connection: it is left out, and those beside it are stored."""
    placing = sender.line.listener.protocol.role.placing
    placing.rules = attrs.evolve(placing.rules, done={b"a"})
    sender.say(together(b"a", b"b"))
    assert said(sender) == [("Skip", 1), ("Done", 2)]
    assert there(tmp_path) == {"b": CONTENT}


def test_too_deep_for_the_folder_they_go_to(sender, tmp_path):
    """Each fails by itself, and the connection goes on."""
    placing = sender.line.listener.protocol.role.placing
    placing.rules = attrs.evolve(placing.rules, base=VirtualPath((b"deep",) * MAX_DEPTH))
    sender.say(together(b"a", b"b"))
    assert [(one.stream, one.name) for one in sender.heard()] == [(1, "name_invalid"), (2, "name_invalid")]
    assert (sender.gone, there(tmp_path)) == (False, {})


def test_content_that_does_not_come(sender):
    """Keeps the connection busy: it is waited for no longer than for that of any entry."""
    role = sender.line.listener.protocol.role
    content = encode_frame(FrameType.INLINE, 1, CONTENT * 2)
    sender.say(together(b"a", b"b").removesuffix(content))
    assert role.busy
    sender.say(content)
    assert not role.busy


def test_half_of_them_is_none(sender, tmp_path):
    """Nothing is stored before all of INLINE is there."""
    raw = together(b"a", b"b")
    sender.say(raw[:-1])
    assert (said(sender), there(tmp_path)) == ([], {})
    sender.say(raw[-1:])
    assert said(sender) == [("Done", 1), ("Done", 2)]


@pytest.mark.parametrize(
    "wrong",
    [
        together(b"..", b"b"),
        together(b"a", b"b", path=b"/etc"),
        together(b"a", b"b", digests=bytes(33)),
        together(b"a", b"b", sizes=(7, 8)),
        together(b"a", b"b", sizes=(7,)),
        together(b"a", b"b", sizes=(MAX_INLINE, 1)),
        together(b"a", b"b")[:-26] + m.Entry(stream=3, path=b"x", type="dir").encode(),
        together(b"a", b"b", first=1) + together(b"c", b"d", first=2),
        together(*[b"%d" % number for number in range(64)]) + together(b"c", first=64),
    ],
    ids=[
        "up",
        "from the top",
        "digests",
        "sizes",
        "a list",
        "64 KiB",
        "no content",
        "numbers",
        "numbers again",
    ],
)
def test_rules_that_are_broken(sender, wrong):
    """End the connection, with the error that says so."""
    sender.say(wrong)
    assert [one.name for one in sender.heard() if isinstance(one, m.Error)] == ["protocol"]
    assert sender.gone
