"""The bounded buffer and the cursor."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.sansio import ByteBuffer, Cursor, Transitions


def test_takes_what_was_appended_in_order():
    """Bytes come out as they went in."""
    buffer = ByteBuffer(10)
    buffer.append(b"abc")
    buffer.append(memoryview(b"def"))
    assert buffer.peek(2) == b"ab"
    assert buffer.take(7) is None
    assert buffer.take(4) == b"abcd"
    assert buffer.take_some(1) == b"e"
    assert buffer.take_some() == b"f"
    assert buffer.take_some() == b""
    assert len(buffer) == 0


def test_limit_and_one_past():
    """The limit itself fits, one byte more is refused and changes nothing."""
    buffer = ByteBuffer(4)
    buffer.append(b"1234")
    assert buffer.room == 0
    with pytest.raises(RemoteProtocolError):
        buffer.append(b"5")
    assert buffer.take(1) == b"1"
    buffer.append(b"5")
    assert buffer.clear() == 4
    assert buffer.room == 4


def test_lines_limit_and_one_past():
    """A line may have as many bytes as allowed, its end counted."""
    buffer = ByteBuffer(100)
    buffer.append(b"abc\n")
    assert buffer.take_line(4) == b"abc\n"
    buffer.append(b"abc")
    assert buffer.take_line(4) is None
    assert buffer.take_line(4) is None
    buffer.append(b"d")
    with pytest.raises(RemoteProtocolError):
        buffer.take_line(4)
    buffer.append(b"\n")
    with pytest.raises(RemoteProtocolError):
        buffer.take_line(4)
    assert buffer.take_line(5) == b"abcd\n"


def test_a_search_after_a_take_still_finds_what_is_before_the_last_search():
    """Taking bytes between two searches for a line end loses none."""
    buffer = ByteBuffer(100)
    buffer.append(b"abc")
    assert buffer.take_line(10) is None
    assert buffer.take(1) == b"a"
    buffer.append(b"\nx")
    assert buffer.take_line(10) == b"bc\n"
    assert buffer.take(1) == b"x"


def test_memory_stays_bounded_when_bytes_flow_through():
    """What was taken is let go: the inner array stays near the limit."""
    buffer = ByteBuffer(16384)
    buffer.append(b"x" * 10000)
    for _ in range(200):
        assert buffer.take(5000) == b"x" * 5000
        buffer.append(b"x" * 5000)
        assert len(buffer._data) <= 2 * 16384


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=3000), st.integers(0, 4000)), max_size=20))
def test_any_cutting_gives_the_same_bytes(steps):
    """However bytes are added and taken, the stream is the same."""
    buffer = ByteBuffer(10**6)
    sent = b"".join(piece for piece, _ in steps)
    got = []
    for piece, size in steps:
        buffer.append(piece)
        got.append(buffer.take_some(size))
    got.append(buffer.take_some())
    assert b"".join(got) == sent


def test_cursor_reads_big_endian_fields():
    """Each width, a counted field, and the rest."""
    cursor = Cursor(b"\x01\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x04\x02hirest")
    assert (cursor.u8(), cursor.u16(), cursor.u32(), cursor.u64()) == (1, 2, 3, 4)
    assert cursor.counted(1, 2) == b"hi"
    with pytest.raises(RemoteProtocolError):
        cursor.finish()
    assert cursor.left == 4
    assert cursor.rest() == b"rest"
    cursor.finish()


def test_cursor_never_reads_beyond_the_end():
    """One byte too many is refused and moves nothing."""
    cursor = Cursor(b"ab")
    with pytest.raises(RemoteProtocolError):
        cursor.take(3)
    with pytest.raises(RemoteProtocolError):
        cursor.take(-1)
    assert cursor.take(2) == b"ab"
    with pytest.raises(RemoteProtocolError):
        cursor.u8()


def test_cursor_counted_limit_and_one_past():
    """A length over the field's own limit is refused before it is believed."""
    assert Cursor(b"\x03abc").counted(1, 3) == b"abc"
    with pytest.raises(RemoteProtocolError):
        Cursor(b"\x04abcd").counted(1, 3)


def test_transitions():
    """Legal events lead on, others are the peer's fault, and the table can be read back."""
    table = Transitions({"new": {"login": "in"}, "in": {"quit": "end", "noop": "in"}, "end": {}})
    assert table.after("new", "login") == "in"
    assert table.legal("in") == {"quit", "noop"}
    assert table.states == ("new", "in", "end")
    assert list(table.edges()) == [("new", "login", "in"), ("in", "quit", "end"), ("in", "noop", "in")]
    legal = {(state, event) for state, event, _ in table.edges()}
    for state in table.states:
        for event in ("login", "quit", "noop"):
            if (state, event) not in legal:
                with pytest.raises(RemoteProtocolError):
                    table.after(state, event)


def test_transitions_to_nowhere_are_refused():
    """A table that leads to a state without a row is a bug of ours."""
    with pytest.raises(LocalProtocolError):
        Transitions({"new": {"login": "in"}})
