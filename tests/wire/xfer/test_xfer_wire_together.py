"""Small files that travel together: what FILES may say, and the books of both sides."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.xfer.wire import checks
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    MAX_CONTROL,
    MAX_INLINE,
    MAX_STREAM,
    Control,
    FrameType,
    Inline,
)
from twisted_xfer.protocols.xfer.wire.link import Link
from twisted_xfer.protocols.xfer.wire.paths import is_sendable, split_names
from twisted_xfer.protocols.xfer.wire.peer import Receiver, Sender
from twisted_xfer.protocols.xfer.wire.states import EntryState
from twisted_xfer.protocols.xfer.wire.together import check_files, digest_of, entry_of, pieces_of

DIGESTS = bytes(range(96))


def files(stream=1, names=(b"a", b"b", b"c"), sizes=None, **more):
    """As many as there are names, of one byte each, with digests of 32."""
    count = len(names)
    given = {
        "sizes": sizes or (1,) * count,
        "modes": (0o644,) * count,
        "mtimes_ns": (None,) * count,
        "digests": (DIGESTS * count)[: 32 * count],
    }
    return m.Files(names=names, stream=stream, **(given | more))


def inline(one, data=None):
    """What is in them."""
    return Inline(one.stream, bytes(sum(one.sizes)) if data is None else data)


# --- the message -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            checks.names(2),
            (["a"], ["a", "ü"], ["a" * 255], ["ü" * 127], ["..."]),
            (
                [], ["a", "b", "c"], ["a/b"], ["a/b", "c"], ["a", ""], ["."], ["a", ".."], ["a" * 256], ["ü" * 128],
                ["a\x1f"], ["a\x7f"], ["a\x00"], ["\ud800"], [1], [None], "ab", None, {"a": 1}, [["a"]],
            ),
        ),
        (
            checks.integers(1, 9, 2),
            ([1], [9, 1]),
            ([], [0], [10], [1, 2, 3], [True], [1.0], ["1"], [None], 1, None, "1", {"1": 1}),
        ),
        (checks.integers(1, 9, 2, null=True), ([None], [None, 9], [None, None]), ([], [None, 0], [10, None], [False])),
    ],
)  # fmt: skip
def test_what_a_field_may_be(kind, good, bad):
    """At its limits and one past them, and nothing of another type that Python takes for the same."""
    for value in good:
        assert len(kind.read(value)) == len(value)
    for value in bad:
        with pytest.raises(RemoteProtocolError):
            kind.read(value)


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"),
                min_size=1,
                max_size=60,
            ),
            st.integers(0, MAX_INLINE),
            st.none() | st.integers(0, 0o777),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        ).filter(lambda row: row[0] not in {".", ".."}),
        min_size=1,
        max_size=m.MAX_FILES,
    ),
    st.sampled_from([b"", b"dir", b"\xff\xfe/x"]),
)
def test_it_comes_back_as_it_went(rows, path):
    """Whatever the names and numbers."""
    names, sizes, modes, times = zip(*rows, strict=True)
    one = m.Files(
        tuple(name.encode() for name in names), sizes, modes, times, bytes(len(rows) * 16), path, stream=1
    )
    assert m.read_message(Control(FrameType.FILES, 1, one.payload())) == one


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 4))
def test_names_are_those_that_paths_are_made_of(names, count):
    """Together they are taken exactly if each is."""
    given = names.split(b"/")
    good = len(given) == count and all(is_sendable(name) for name in given)
    try:
        assert list(split_names(names, count)) == given
        assert good
    except RemoteProtocolError:
        assert not good


def test_the_longest_of_all_fits():
    """As many as there may be, with the longest names, path, times and digests."""
    most = m.MAX_FILES
    one = m.Files(
        (b'"' * 255,) * most, (MAX_INLINE,) * most, (0o777,) * most, (-(2**63),) * most, b"\xff" * (m.MAX_DIGEST * most),
        b"\\" * 3840, "skip-same", stream=MAX_STREAM,
    )  # fmt: skip
    assert MAX_CONTROL // 2 < len(one.payload()) <= MAX_CONTROL


@pytest.mark.parametrize(
    "change",
    [
        {"stream": 0},
        {"stream": MAX_STREAM - 1},
        {"sizes": (1, 1)},
        {"sizes": (1, 1, 1, 1)},
        {"modes": (None, None)},
        {"mtimes_ns": (0,) * 4},
        {"digests": DIGESTS[:95]},
        {"sizes": (MAX_INLINE, 0, 1)},
        {"path": b"/".join([b"d"] * 64)},
        {"path": b"/".join([b"d" * 255] * 16)[: 4096 - 1]},
    ],
)
def test_what_does_not_go_together(change):
    """Is refused as a whole; one less of it is not."""
    with pytest.raises(RemoteProtocolError):
        check_files(attrs.evolve(files(), **change))


@pytest.mark.parametrize(
    "change",
    [
        {"stream": MAX_STREAM - 2},
        {"sizes": (MAX_INLINE, 0, 0)},
        {"sizes": (0, 0, 0)},
        {"path": b"/".join([b"d"] * 63)},
        {"path": b"/".join([b"d" * 255] * 16)[: 4096 - 2]},
    ],
)
def test_what_just_goes_together(change):
    """At each limit."""
    check_files(attrs.evolve(files(), **change))


def test_each_as_an_entry():
    """Path, numbers and digest of its own."""
    one = files(7, path=b"d/e", sizes=(2, 0, 3), mtimes_ns=(None, 5, 6), if_exists="refuse")
    assert entry_of(one, 2) == m.Entry(
        b"d/e/c", "file", 3, 0o644, 6, if_exists="refuse", inline=True, digest=DIGESTS[64:], stream=9
    )
    assert entry_of(files(), 0).path == b"a"
    assert digest_of(one, 1) == DIGESTS[32:64]
    assert pieces_of(one, b"aaccc") == [b"aa", b"", b"ccc"]


def test_only_after_the_login():
    """As content, for which nobody has a right before."""
    link = Link("listener")
    link.receive_data(b"XFER\x01\r\n\x1a" + files().encode())
    with pytest.raises(RemoteProtocolError):
        link.next_event()


# --- the receiver's books ----------------------------------------------------------------------------


def test_content_comes_next():
    """And after it nobody counts them."""
    books = Receiver(3)
    one = files()
    assert books.received(one) is None
    assert books.awaited is one
    assert books.received(inline(one)) is None
    assert (books.awaited, books.open) == (None, {})
    books.received(m.EndOfOffer(entries=3))
    assert books.finished


@pytest.mark.parametrize(
    "event",
    [
        Inline(1, b"xx"), Inline(1, b"xxxx"), Inline(2, b"xxx"), m.Entry(stream=4, path=b"d"), m.EndOfOffer(), m.Abort(stream=1),
        files(4),
    ],
    ids=["too little", "too much", "another", "an entry", "the end", "given up", "more files"],
)  # fmt: skip
def test_nothing_else_comes_next(event):
    """Whatever else would be allowed."""
    books = Receiver(64)
    books.received(files())
    with pytest.raises(RemoteProtocolError):
        books.received(event)
    assert books.awaited is not None


def test_each_of_them_counts_for_the_window():
    """At the limit and one past it, together with what is open already."""
    books = Receiver(4)
    books.received(m.Entry(stream=1, path=b"x", size=1))
    with pytest.raises(RemoteProtocolError):
        books.received(files(2, names=(b"a", b"b", b"c", b"d")))
    books.received(files(2))


@pytest.mark.parametrize("stream", [1, 3])
def test_they_are_numbered_upwards(stream):
    """From behind the last of those before."""
    books = Receiver(64)
    one = files()
    books.received(one)
    books.received(inline(one))
    with pytest.raises(RemoteProtocolError):
        books.received(files(stream))
    with pytest.raises(RemoteProtocolError):
        books.received(m.Entry(stream=stream, path=b"d"))
    books.received(files(4))


def test_none_after_the_end():
    """As with any entry."""
    books = Receiver(64)
    books.received(m.EndOfOffer())
    with pytest.raises(RemoteProtocolError):
        books.received(files())


def test_one_by_one_they_are_answered_as_entries_are():
    """From any of them on."""
    books = Receiver(3)
    one = files()
    books.received(one)
    books.received(inline(one))
    assert [entry.stream for entry in books.single(one, 1)] == [2, 3]
    assert {state.state for state in books.open.values()} == {EntryState.ENDED}
    books.answer(m.Skip(stream=3))
    books.answer(m.Done(stream=2))
    assert books.open == {}


# --- the sender's books ------------------------------------------------------------------------------


def test_room():
    """Each takes its own, until it is answered."""
    books = Sender(5)
    assert books.room == 5
    books.offer_files(files(books.next_number()))
    assert books.room == 2
    with pytest.raises(LocalProtocolError):
        books.offer_files(files(books.next_number()))
    books.offer_files(files(books.next_number(), names=(b"x", b"y")))
    assert (books.room, books.next_number()) == (0, 6)
    with pytest.raises(LocalProtocolError):
        books.offer(m.Entry(stream=6, path=b"z"))
    books.received(m.Stored(3, DIGESTS, b"/", stream=1))
    assert books.room == 3
    books.end()
    assert (books.room, books.finished) == (0, False)
    books.received(m.Stored(2, DIGESTS[:64], b"/", stream=4))
    assert books.finished


def test_the_first_of_them():
    """STORED of fewer leaves the others to be answered one by one."""
    books = Sender(5)
    books.offer_files(files())
    books.received(m.Stored(1, DIGESTS[:32], b"/", stream=1))
    assert sorted(books.open) == [2, 3]
    books.received(m.Done(stream=3))
    books.received(m.Refuse(stream=2, code=300, name="exists"))
    assert (books.open, books.files, books.room) == ({}, {}, 5)


@pytest.mark.parametrize("stream", [1, 2, 3])
def test_any_other_answer_leaves_all_of_them(stream):
    """To be answered one by one, by any of them."""
    books = Sender(5)
    books.offer_files(files())
    books.received(m.Skip(stream=stream))
    assert sorted(books.open) == sorted({1, 2, 3} - {stream})
    assert books.room == 3
    with pytest.raises(RemoteProtocolError):
        books.received(m.Stored(1, DIGESTS[:32], b"/", stream=1))


@pytest.mark.parametrize("stream", [1, 2, 3])
def test_progress_of_one_is_no_answer(stream):
    """A receiver that tells it may answer all of them together afterwards."""
    books = Sender(5)
    books.offer_files(files())
    assert books.received(m.Ack(0, stream=stream)) is None
    books.received(m.Stored(3, DIGESTS, b"/", stream=1))
    assert (books.open, books.files, books.room) == ({}, {}, 5)


@pytest.mark.parametrize(
    "answer",
    [
        m.Stored(4, DIGESTS, b"/", stream=1),
        m.Stored(1, DIGESTS[:32], b"/", stream=2),
        m.Stored(1, DIGESTS[:32], b"/", stream=4),
        m.Stored(3, DIGESTS[:95], b"/", stream=1),
        m.Stored(3, DIGESTS + b"x", b"/", stream=1),
        m.Stored(2, DIGESTS, b"/", stream=1),
        m.Take(stream=1),
        m.Done(stream=4),
    ],
    ids=[
        "too many",
        "from the middle",
        "of an entry",
        "less of digests",
        "more of digests",
        "a digest more",
        "to be sent again",
        "of another",
    ],
)
def test_answers_that_are_none(answer):
    """Nothing can be believed of who says so."""
    books = Sender(9)
    books.offer_files(files())
    books.offer(m.Entry(stream=4, path=b"d", size=5))
    with pytest.raises(RemoteProtocolError):
        books.received(answer)


def test_an_answer_twice():
    """As with any entry."""
    books = Sender(9)
    books.offer_files(files())
    books.received(m.Stored(3, DIGESTS, b"/", stream=1))
    with pytest.raises(RemoteProtocolError):
        books.received(m.Stored(3, DIGESTS, b"/", stream=1))


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.data())
def test_whatever_is_answered_how(count, told, data):
    """STORED of the first and any answers to the others, in any order: at the end all is counted and nothing open."""
    books = Sender(6)
    one = files(names=tuple(b"n%d" % number for number in range(count)))
    books.offer_files(one)
    told = min(told, count)
    if told:
        books.received(m.Stored(told, one.digests[: told * 32], b"/", stream=1))
    rest = data.draw(st.permutations(range(told + 1, count + 1)))
    for number in rest:
        answer = data.draw(st.sampled_from([m.Done, m.Skip]))
        books.received(answer(stream=number))
    books.end()
    assert (books.finished, books.open, books.files) == (True, {}, {})
