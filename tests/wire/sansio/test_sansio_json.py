"""JSON out of an unframed stream."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.sansio.json import MAX_DEPTH, JSONReader, decode_json
from twisted_xfer.testing.wires import drive, drive_three_ways, pull_into


def reader():
    return JSONReader(640)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 1},
        {"a": '}"\\{['},
        {"a": {"b": [1, {"c": "\\"}]}},
        {"имя": "中文"},
        {"a": [None, True, -1.5]},
    ],
)
def test_objects_three_ways(value):
    """Objects come out the same however they were cut, brackets in strings included."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    assert drive_three_ways(reader, "next_value", raw, trailing=b' \r\n{"x":2}', after=[{"x": 2}]) == [value]


def test_glued_objects():
    """Two objects in one read are two values."""
    assert drive_three_ways(reader, "next_value", b'{"a":1}{"b":2}\n\n{}') == [{"a": 1}, {"b": 2}, {}]


@pytest.mark.parametrize(
    "raw", [b"x", b"1", b"[1]", b"}", b'{"a":NaN}', b'{"a":1]', b"{a}", b'{"\xff":1}', b"{1:2}"]
)
def test_what_is_no_object_is_an_error(raw):
    """Anything else is the peer's fault, three ways."""
    events = drive_three_ways(reader, "next_value", raw)
    assert len(events) == 1
    assert events[0][0] == "error"


def test_arrays_where_allowed():
    """A bare list is a value only for readers that allow it."""
    assert drive(lambda: JSONReader(100, arrays=True), "next_value", [b'["a"]{}']) == [["a"], {}]


def test_length_limit_and_one_past():
    """An object may have the limit's length, not one byte more, whole or not."""
    whole = b'{"a":"' + b"x" * 632 + b'"}'
    assert len(whole) == 640
    assert len(drive_three_ways(reader, "next_value", whole, trailing=b"{}", after=[{}])) == 1
    longer = whole.replace(b"xx", b"xxx", 1)
    assert drive_three_ways(reader, "next_value", longer) == [("error", "JSON object too long")]
    assert drive(reader, "next_value", [longer[:-1]]) == []
    assert drive(reader, "next_value", [b'{"' + b"x" * 639]) == [("error", "JSON object too long")]


@pytest.mark.parametrize("letter", ["a", "ф", "日", "😀"])
def test_characters_are_counted_before_the_end_is_there(letter):
    """At the limit the end is waited for; one past it nobody waits, whatever a letter has of bytes."""
    open_object = '{"a":"' + letter * 10
    at_limit = JSONReader(400, characters=len(open_object) + 2)
    at_limit.receive_data(open_object.encode())
    assert at_limit.next_value() is None
    at_limit.receive_data(b'"}')
    assert at_limit.next_value() == {"a": letter * 10}
    at_limit.receive_data((open_object + letter * 2).encode())
    assert at_limit.next_value() is None
    at_limit.receive_data(letter.encode()[:1])
    with pytest.raises(RemoteProtocolError) as caught:
        at_limit.next_value()
    assert caught.value.fields["limit"] == len(open_object) + 2


def test_depth_limit_and_one_past():
    """Nesting has a bound that is far from the interpreter's."""
    deep = JSONReader(10_000)
    fits = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    deep.receive_data(fits)
    assert deep.next_value() is not None
    deep.receive_data(b'{"a":' + b"[" * MAX_DEPTH)
    with pytest.raises(RemoteProtocolError):
        deep.next_value()


def test_raw_bytes_between_values():
    """Protocols that glue raw bytes to an object take them out by count, but not out of an object."""
    stream = reader()
    stream.receive_data(b'{"a":1}1RAW{"b"')
    assert stream.next_value() == {"a": 1}
    assert stream.take(4) == b"1RAW"
    assert stream.next_value() is None
    assert stream.take(2) == b""
    stream.receive_data(b":2}")
    assert stream.pending == 7
    assert stream.next_value() == {"b": 2}


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"Infinity", b"1 2", b"[" * 100_000, b"1" * 5000])
def test_decode_refuses(raw):
    """Broken framed JSON is the remote error and no other."""
    with pytest.raises(RemoteProtocolError):
        decode_json(raw)


def test_decode_takes_any_value():
    """Framed values may be of any kind."""
    assert decode_json(b' {"a": [1, null]} ') == {"a": [1, None]}
    assert decode_json(b"null") is None


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b'{"a":', b'"\\"', b"1}", b"{", b"[", b"]", b"}"]))
    )
)
def test_any_bytes_give_values_or_the_remote_error(chunks):
    """No bytes whatever raise anything else, and no more than the cap stays."""
    stream = reader()
    events: list = []
    try:
        for chunk in chunks:
            stream.receive_data(chunk)
            pull_into(events, stream.next_value)
            assert stream.pending <= 640
    except RemoteProtocolError:
        pass
    assert all(isinstance(event, dict) for event in events)
