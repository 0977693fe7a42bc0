"""Objects with ``struct.pack('i', size)`` before them: told apart, cut, glued and bounded."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.protocols.jsonftp.wire import MAX_OBJECT, Chunk, Message, MessageReader, encode, frame
from twisted_xfer.testing.wires import drive, drive_three_ways

A, B = {"action": "ls"}, {"action": "get", "filename": "f"}


def detecting():
    return MessageReader(framed=None)


def framed():
    return MessageReader(framed=True)


def test_the_length_is_structs_own():
    """Four bytes, as ``struct.pack('i', ...)`` writes them on the machines that the scripts run on."""
    assert frame(b"{}") == struct.pack("<i", 2) + b"{}" == b"\x02\0\0\0{}"


@pytest.mark.parametrize("wrap", [frame, bytes])
def test_the_first_bytes_tell_framed_from_bare(wrap):
    """In whatever pieces they come, and whatever the length: 123 looks like the brace of an object."""
    for pad in (0, 1, 123, 1000):
        value = {**A, "pad": "x" * pad}
        data = wrap(encode(value)) + wrap(encode(B))
        assert drive_three_ways(detecting, "next_event", data) == [Message(value), Message(B)]


def test_a_length_that_is_a_brace():
    """An object of 123 bytes, and one of 123 + 32 * 256."""
    for size in (0x7B, 0x207B):
        value = {"a": "x" * (size - len(encode({"a": ""})))}
        assert frame(encode(value))[:1] == b"{"
        assert drive_three_ways(detecting, "next_event", frame(encode(value))) == [Message(value)]


def test_bare_objects_of_two_bytes_are_not_waited_for():
    """``{}`` is whole, though it could begin a length."""
    assert drive(detecting, "next_event", [b"{}"]) == [Message({})]


def test_a_go_on_that_nobody_needs_is_passed_over():
    """Also before the length 49, which is the same byte."""
    for size in (49, 60, 0x131):
        value = {"a": "x" * (size - len(encode({"a": ""})))}
        for stray in (b"", b"1"):
            data = frame(encode(A)) + stray + frame(encode(value))
            assert drive_three_ways(framed, "next_event", data) == [Message(A), Message(value)]


@pytest.mark.parametrize("cuts", [1, 3, 1000])
def test_a_file_between_frames(cuts):
    """Raw bytes that look like a frame are the file."""
    reader = framed()
    body = frame(encode(A))
    data = frame(encode(B)) + body + frame(encode(A))
    events = []
    for at in range(0, len(data), cuts):
        reader.receive_data(data[at : at + cuts])
        while (event := reader.next_event()) is not None:
            events.append(event)
            if event == Message(B):
                reader.expect_bytes(len(body))
    assert b"".join(event.data for event in events if isinstance(event, Chunk)) == body
    assert [event for event in events if isinstance(event, Message)] == [Message(B), Message(A)]


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_a_frame_is_bounded(extra, good):
    """At the limit and one byte beyond, before any of it is read."""
    data = encode({"a": "x" * (MAX_OBJECT - len(encode({"a": ""})) + extra)})
    events = drive_three_ways(framed, "next_event", frame(data))
    assert isinstance(events[0], Message) is good
    assert drive(framed, "next_event", [frame(data)[:5]]) == ([] if good else events)


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\0{}", b"\xff\xff\xff\xff{}", frame(b"[]"), frame(b"{}x"), frame(b"1"), frame(b"\xff\xff")],
)
def test_what_is_no_frame(data):
    """No length, no object, or more than one."""
    assert drive_three_ways(framed, "next_event", data)[0][0] == "error"


def test_lists_only_where_they_are_meant():
    """As without lengths."""
    events = drive(lambda: MessageReader(lists=True, framed=True), "next_event", [frame(b'["a"]')])
    assert events == [Message(["a"])]


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_events_or_errors(pieces):
    """With and without knowing what comes."""
    drive(detecting, "next_event", pieces)
    drive(framed, "next_event", pieces)
