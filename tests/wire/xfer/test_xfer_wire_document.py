"""The protocol document holds what the code does."""

import json
import re
from pathlib import Path

import attrs
import pytest

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.frames import Control, FrameType
from twisted_xfer.protocols.xfer.wire.messages import MESSAGES, Hello, Select, read_message
from twisted_xfer.protocols.xfer.wire.states import ENTRY, HANDSHAKE

DOCUMENT = (Path(__file__).parents[3] / "docs/protocol/xfer.rst").read_text("utf-8")


def test_every_frame_type_is_in_the_table():
    """Number and name of each."""
    rows = {
        (int(number, 16), name)
        for number, name in re.findall(r"^(0x[0-9a-f]{2})\s+([A-Z_]+)", DOCUMENT, re.MULTILINE)
    }
    assert rows == {(kind.value, kind.name) for kind in FrameType}


def test_every_key_is_in_the_table():
    """With a question mark where it may be left out."""
    table = DOCUMENT.split("======  =====", 3)
    text = " ".join(table[1:])
    for kind in MESSAGES.values():
        for field in attrs.fields(kind):
            if "kind" in field.metadata:
                wanted = field.name + ("" if field.default is attrs.NOTHING else r"\?")
                assert re.search(rf"\b{wanted}(?=[\s,(]|$)", text, re.MULTILINE), (kind.__name__, field.name)


def test_every_default_is_in_the_document():
    """Whoever leaves a key out must know what that says; JSON has no tuples."""
    defaults = {
        (kind.TYPE.name, field.name): list(field.default)
        if isinstance(field.default, tuple)
        else field.default
        for kind in MESSAGES.values()
        for field in attrs.fields(kind)
        if "kind" in field.metadata and field.default is not attrs.NOTHING and field.default
    }
    rows = re.findall(r"^\* ([A-Z]+): (``\w+`` [\[\"\d].*)$", DOCUMENT, re.MULTILINE)
    said = {
        (name, key): json.loads(value)
        for name, pairs in rows
        for key, value in re.findall(r"``(\w+)`` ([^,]+)", pairs)
    }
    assert defaults == said


def test_the_ranges_in_the_document():
    """At the limit and one past."""
    sentence = re.search(
        r"``max_data`` is (\d+) to (\d+), ``window`` (\d+) to (\d+), and at most (\d+)", DOCUMENT
    )
    least_data, most_data, least, most, most_selected = map(int, sentence.groups())
    hello = {"nonce": "00" * 16}
    select = {"version": 1, "hash": "blake3", "compression": "none", "max_data": least_data, "window": 1}
    for kind, message, key, good, bad in (
        (Hello, hello, "max_data", least_data, least_data - 1),
        (Hello, hello, "max_data", most_data, most_data + 1),
        (Hello, hello, "window", least, least - 1),
        (Hello, hello, "window", most, most + 1),
        (Select, select, "window", most_selected, most_selected + 1),
    ):
        read_message(Control(kind.TYPE, 0, json.dumps(message | {key: good}).encode()))
        with pytest.raises(RemoteProtocolError):
            read_message(Control(kind.TYPE, 0, json.dumps(message | {key: bad}).encode()))


@pytest.mark.parametrize("table", [HANDSHAKE, ENTRY], ids=["handshake", "entry"])
def test_every_transition_is_in_the_document(table):
    """State, messages, next state: as the code has them, and no other."""
    rows = re.findall(r"^   ([a-z]+) +(.+?)  +([a-z]+)$", DOCUMENT, re.MULTILINE)
    states = {str(state) for state in table.states}
    written = [
        (state, event, target)
        for state, events, target in rows
        if state in states and target in states
        for event in events.split(", ")
    ]
    assert sorted(written) == sorted(
        (str(state), str(event), str(target)) for state, event, target in table.edges()
    )
