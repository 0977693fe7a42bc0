"""TYPE A conversion, driven whole, byte by byte and in arbitrary pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_xfer.transfer.text import FromWire, to_wire

SAMPLES = [
    (b"", b""),
    (b"a\r\nb\r\n", b"a\nb\n"),
    (b"a\rb", b"a\rb"),
    (b"a\r", b"a\r"),
    (b"\r\r\n", b"\r\n"),
    (b"\n\r\n\n", b"\n\n\n"),
]


def decode(pieces):
    decoder = FromWire()
    return b"".join([decoder.feed(piece) for piece in pieces]) + decoder.end()


@pytest.mark.parametrize(("wire", "stored"), SAMPLES)
def test_whole(wire, stored):
    """A text in one piece."""
    assert decode([wire]) == stored


@pytest.mark.parametrize(("wire", "stored"), SAMPLES)
def test_byte_by_byte(wire, stored):
    """The same text, one byte at a time: no line end is lost at a border."""
    assert decode([wire[i : i + 1] for i in range(len(wire))]) == stored


@given(st.lists(st.binary(max_size=8)))
def test_any_pieces(pieces):
    """However the pieces fall, the file is what the whole text gives."""
    assert decode(pieces) == b"".join(pieces).replace(b"\r\n", b"\n")


@given(st.binary())
def test_round_trip(stored):
    """What goes out and comes back is the same file, bare CR and CRLF included."""
    assert decode([to_wire(stored)]) == stored
