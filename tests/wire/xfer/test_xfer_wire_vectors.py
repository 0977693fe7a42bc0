"""The test vectors of the protocol document, read both ways."""

import json
from pathlib import Path

import pytest

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.packing import library
from twisted_xfer.protocols.xfer.wire import messages
from twisted_xfer.protocols.xfer.wire.frames import (
    MAX_CONTROL,
    PREAMBLE,
    Control,
    FrameReader,
    FrameType,
    data_header,
    encode_frame,
    encode_packed,
)
from twisted_xfer.testing.wires import drive_three_ways

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))


def reader(early=False):
    made = FrameReader() if early else FrameReader(MAX_CONTROL)
    made.raw = not early
    return made


def test_preamble():
    """The first 8 bytes are those of the document."""
    assert bytes.fromhex(VECTORS["preamble"]) == PREAMBLE


@pytest.mark.parametrize("row", VECTORS["messages"], ids=lambda row: row["json"][:40] or row["type"])
def test_message(row):
    """A message reads as its type, holds the JSON, and is written as the same bytes again."""
    raw = bytes.fromhex(row["frame"])
    (frame,) = drive_three_ways(reader, "next_frame", raw)
    message = messages.read_message(frame)
    assert type(message).__name__ == row["type"]
    assert frame.payload == row["json"].encode()
    assert message.encode() == raw


def test_every_message_has_a_vector():
    """No message type is missing in the vectors."""
    assert {row["type"] for row in VECTORS["messages"]} == {
        kind.__name__ for kind in messages.MESSAGES.values()
    }


@pytest.mark.parametrize("row", VECTORS["content"], ids=lambda row: row["what"])
def test_content(row):
    """DATA and INLINE carry bytes as they are."""
    made = reader()
    raw = bytes.fromhex(row["frame"])
    made.receive_data(raw)
    got = made.next_frame()
    assert (got.stream, got.data) == (row["stream"], row["data"].encode())
    assert made.next_frame() is None
    assert made.at_boundary
    data = row["data"].encode()
    again = (
        data_header(got.stream, len(data)) + data
        if row["what"].startswith("DATA")
        else encode_frame(FrameType.INLINE, got.stream, data)
    )
    assert again == raw


@pytest.mark.parametrize("row", VECTORS["packed"], ids=lambda row: row["what"])
def test_packed(row):
    """PACKED unpacks to its content, and no other bytes need to be the packer's."""
    made = reader()
    made.receive_data(bytes.fromhex(row["frame"]))
    got = made.next_frame()
    data = row["data"].encode() * row["times"]
    assert (got.stream, got.size) == (row["stream"], len(data))
    assert library().decompress(got.data) == data
    assert encode_packed(got.stream, got.size, got.data).hex() == row["frame"]


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["what"])
def test_refused(row):
    """What the document calls an error is one, and only then."""
    made = reader(row["early"])
    made.receive_data(bytes.fromhex(row["frame"]))
    with pytest.raises(RemoteProtocolError):
        frame = made.next_frame()
        assert isinstance(frame, Control)
        messages.read_message(frame)
