"""The objects of JIM."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.protocols.jim.wire import (
    ACTIONS,
    CODES,
    MAX_ACTION,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_OBJECT,
    Bad,
    ClientReader,
    Said,
    ServerReader,
    check,
    encode,
    is_name,
    is_room,
    make,
    response,
)
from twisted_xfer.testing.wires import drive, drive_three_ways

USER = {"account_name": "alice", "password": "x"}
MSG = {"action": "msg", "time": 1, "to": "#r", "from": "a", "encoding": "ascii", "message": "hi"}


@pytest.mark.parametrize(
    "value",
    [
        {"action": "authenticate", "time": 1.5, "user": USER},
        {"action": "presence", "time": 1, "type": "status", "user": USER},
        {"action": "probe", "time": 1},
        {"action": "pr\u043ebe", "time": 1},
        MSG,
        {"action": "join", "time": 1, "room": "#r"},
        {"action": "leave", "time": 1, "room": "#r"},
        {"action": "quit"},
        {"action": "get_contacts", "time": 1, "user_login": "alice"},
        {"action": "add_contact", "time": 1, "user_id": "bob"},
        {"action": "del_contact", "time": 1, "user_id": "bob"},
    ],
)
def test_every_action(value):
    """Read however it is cut, and glued to another."""
    said = Said(ACTIONS[value["action"]], value)
    raw = json.dumps(value).encode()
    assert drive_three_ways(ServerReader, "next_event", raw, trailing=raw, after=[said]) == [said]
    assert drive(ServerReader, "next_event", [json.dumps(value, ensure_ascii=False).encode()]) == [said]


@pytest.mark.parametrize(
    "change",
    [
        {"action": None},
        {"action": "x" * 16},
        {"action": "shout"},
        {"action": ["msg"]},
        {"time": None},
        {"time": "now"},
        {"time": True},
        {"to": ""},
        {"to": "x" * (MAX_NAME + 1)},
        {"to": "a b"},
        {"message": ""},
        {"message": "x" * (MAX_MESSAGE + 1)},
        {"message": 5},
        {"encoding": 5},
    ],
)
def test_what_breaks_a_rule(change):
    """Is named, and the stream goes on."""
    assert isinstance(check({**MSG, **change}), Bad)


@pytest.mark.parametrize("user", [None, "alice", {}, {"account_name": "#alice"}, {"account_name": "a\nb"}])
def test_a_user_has_a_name(user):
    """That is no room's and can be shown."""
    assert isinstance(check({"action": "presence", "time": 1, "user": user}), Bad)


def test_names_at_the_limit():
    """25 characters are a name, 26 are none."""
    assert is_name("x" * MAX_NAME)
    assert not is_name("x" * (MAX_NAME + 1))
    assert is_room("#r")
    assert not is_room("#")
    assert not is_room("r")
    assert isinstance(check({**MSG, "message": "x" * MAX_MESSAGE}), Said)
    assert isinstance(check({**MSG, "encoding": "x" * MAX_NAME}), Said)
    assert isinstance(check({**MSG, "encoding": "x" * (MAX_NAME + 1)}), Bad)
    assert check({**MSG, "action": "x" * MAX_ACTION}) == Bad("unknown action")
    assert check({**MSG, "action": "x" * (MAX_ACTION + 1)}) == Bad("no action")


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_an_object_has_640_characters_at_most(extra, good):
    """Read and written: at the limit, and one beyond."""
    value = {"action": "quit", "pad": ""}
    value["pad"] = "x" * (MAX_OBJECT - len(encode(value)) + extra)
    raw = json.dumps(value, separators=(",", ":")).encode()
    events = drive_three_ways(ServerReader, "next_event", raw)
    assert events == ([Said("quit", value)] if good else [("error", "JSON object too long")])
    if good:
        assert encode(value) == raw
    else:
        with pytest.raises(LocalProtocolError):
            encode(value)


@pytest.mark.parametrize("letter", ["\u044f", "\U0001f600"])
@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_characters_are_counted_and_not_bytes(letter, extra, good):
    """Of any language: at the limit, which is more in bytes, and one beyond."""
    value = {"action": "quit", "pad": ""}
    value["pad"] = letter * (MAX_OBJECT - len(encode(value)) + extra)
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(raw) > MAX_OBJECT
    events = drive_three_ways(ServerReader, "next_event", raw)
    assert events == ([Said("quit", value)] if good else [("error", "JSON object too long")])
    if good:
        assert encode(value) == raw
    else:
        with pytest.raises(LocalProtocolError):
            encode(value)


def test_letters_are_sent_as_they_are_where_escapes_do_not_fit():
    """A long message in Cyrillic."""
    data = make("msg", 1, to="#r", message="\u044f" * 250)
    assert len(data.decode()) <= MAX_OBJECT
    assert json.loads(data)["message"] == "\u044f" * 250


def test_text_that_has_no_utf8_is_not_sent():
    """Half a letter that no longer fits when it is escaped."""
    assert make("msg", 1, to="#r", message="\ud800")
    with pytest.raises(LocalProtocolError):
        make("msg", 1, to="#r", message="\ud800" * 250)


@pytest.mark.parametrize("raw", [b"[]", b"5 ", b'"x"', b"true "])
def test_a_server_says_objects(raw):
    """Anything else is another protocol."""
    assert drive_three_ways(ClientReader, "next_event", raw)[-1][0] == "error"
    assert drive_three_ways(ClientReader, "next_event", b'{"response":200}') == [{"response": 200}]


def test_the_codes():
    """Alerts below 400, errors above."""
    assert {100, 101, 200, 201, 202, 400, 401, 402, 403, 404, 409, 410, 500} == set(CODES)
    assert json.loads(response(200, 5.5)) == {"response": 200, "time": 5, "alert": "OK"}
    assert json.loads(response(404, 5, "x")) == {"response": 404, "time": 5, "error": "x"}
    assert json.loads(make("quit", 5)) == {"action": "quit"}


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_events_or_errors(pieces):
    """In either direction."""
    drive(ServerReader, "next_event", pieces)
    drive(ClientReader, "next_event", pieces)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=10,
    ),
    st.sampled_from([*ACTIONS, "x"]),
)
@settings(derandomize=True, deadline=None)
def test_any_object_is_right_or_bad(value, action):
    """Whatever is in the fields."""
    assert isinstance(check(value), Bad | Said)
    fields = (
        value if isinstance(value, dict) else {"user": value, "to": value, "room": value, "message": value}
    )
    assert isinstance(check({"time": 1, **fields, "action": action}), Bad | Said)
