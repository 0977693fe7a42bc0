"""The messages of the JSON "FTP", glued and cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.protocols.jsonftp.wire import (
    ACTIONS,
    CODES,
    ERRORS,
    MAX_OBJECT,
    MEANINGS,
    Chunk,
    GoOn,
    Message,
    MessageReader,
    Word,
    encode,
    reply,
    size_of,
)
from twisted_xfer.testing.wires import drive, drive_three_ways

A, B = {"action": "put", "filename": "f"}, {"status_code": 257, "file_size": 3}


def test_two_objects_in_one_read_are_two():
    """What ends the script's server is nothing here."""
    assert drive_three_ways(MessageReader, "next_event", encode(A) + encode(B)) == [Message(A), Message(B)]


def test_a_go_on_glued_to_the_next_object_is_passed_over():
    """A client that sends its 1 all the same, after a refusal."""
    assert drive_three_ways(MessageReader, "next_event", b"1" + encode(A)) == [Message(A)]


@pytest.mark.parametrize("cuts", [1, 2, 100])
def test_a_file_between_objects(cuts):
    """Go-on, bytes that look like JSON, an object: each is read as what it has to be."""
    reader = MessageReader()
    events = []
    data = encode(A) + b'1{"a{{' + encode(B)
    for at in range(0, len(data), cuts):
        reader.receive_data(data[at : at + cuts])
        while (event := reader.next_event()) is not None:
            events.append(event)
            if event == Message(A):
                reader.expect_go_on()
            elif event == GoOn():
                reader.expect_bytes(5)
    body = b"".join(event.data for event in events if isinstance(event, Chunk))
    assert body == b'{"a{{'
    assert [event for event in events if not isinstance(event, Chunk)] == [Message(A), GoOn(), Message(B)]


def expecting(what):
    def make():
        reader = MessageReader()
        getattr(reader, what)()
        return reader

    return make


def test_an_object_in_place_of_a_go_on_says_why_not():
    """A refusal."""
    assert drive_three_ways(expecting("expect_go_on"), "next_event", encode(B)) == [Message(B)]
    assert drive_three_ways(expecting("expect_go_on"), "next_event", b"2")[0][0] == "error"


@pytest.mark.parametrize(
    ("data", "event"), [(b"done", Word(True)), (b"md5 false", Word(False)), (encode(B), Message(B))]
)
def test_the_last_word(data, event):
    """Of the servers that say one."""
    assert drive_three_ways(expecting("expect_word"), "next_event", data) == [event]
    assert drive_three_ways(expecting("expect_word"), "next_event", b"dune") == [("error", "an unknown word")]


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_an_object_is_bounded(extra, good):
    """At the limit and one byte beyond."""
    data = encode({"a": "x" * (MAX_OBJECT - len(encode({"a": ""})) + extra)})
    events = drive_three_ways(MessageReader, "next_event", data)
    assert isinstance(events[0], Message) is good


def test_lists_only_where_they_are_meant():
    """A server takes no lists, a client does."""
    assert drive(lambda: MessageReader(lists=True), "next_event", [b'["a"]']) == [Message(["a"])]
    assert drive(MessageReader, "next_event", [b'["a"]'])[0][0] == "error"


def test_the_articles_codes():
    """250 to 259, each once, and every code has a meaning for our client."""
    codes = [code for meaning, (code, _) in CODES["article"].items() if meaning != "refused"]
    assert sorted(codes) == list(range(250, 260))
    assert all(MEANINGS[code] == meaning for meaning, (code, _) in CODES["wide"].items())
    assert set(ERRORS) <= set(CODES["article"])
    assert {"change_dir", "listdir", "pwd", "cd", "ls"} <= set(ACTIONS)
    assert reply("wide", "refused", "no")[:20] == b'{"status_code": 260,'


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 0), (5, 5), (2**63 - 1, 2**63 - 1), (2**63, None), (-1, None), (True, None), ("5", None)],
)
def test_sizes(value, size):
    """Whole numbers that a file can have."""
    assert size_of({"n": value}, "n") == size
    assert size_of({}, "n") is None


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.sampled_from(["go_on", "word", ""]))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_events_or_errors(pieces, mode):
    """In every mode."""
    make = expecting(f"expect_{mode}") if mode else MessageReader
    drive(make, "next_event", pieces)
