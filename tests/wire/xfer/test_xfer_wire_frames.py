"""Frames and paths under any bytes, at their limits and past them."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    HEADER,
    MAX_CONTROL,
    MAX_EARLY,
    MAX_INLINE,
    MAX_STREAM,
    Control,
    Data,
    FrameReader,
    FrameType,
    data_header,
    encode_frame,
    numbered,
)
from twisted_xfer.protocols.xfer.wire.link import Link
from twisted_xfer.protocols.xfer.wire.paths import MAX_PATH, is_sendable, printable, split_path

FUZZ = settings(derandomize=True, deadline=None, max_examples=200)


def ready_reader(max_data=4096):
    made = FrameReader(MAX_CONTROL, max_data)
    made.raw = True
    return made


def joined(reader, chunks):
    """Events with neighbouring pieces of one stream's DATA put together; an error is the last."""
    events = []
    try:
        for chunk in chunks:
            reader.receive_data(chunk)
            while (event := reader.next_frame()) is not None:
                last = events[-1] if events else None
                if isinstance(event, Data) and isinstance(last, Data) and last.stream == event.stream:
                    event = Data(event.stream, events.pop().data + event.data)
                events.append(event)
    except RemoteProtocolError as error:
        events.append(error.detail)
    return events


@FUZZ
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_cut_anywhere(raw, cuts):
    """Arbitrary bytes give the same events however they are cut, or the one error."""
    points = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    chunks = [raw[a:b] for a, b in itertools.pairwise(points)]
    assert joined(ready_reader(), chunks) == joined(ready_reader(), [raw])


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from([0x20, 0x25, 0x10, 0x30, 0x7F]), st.integers(0, 3), st.binary(max_size=60)),
        max_size=6,
    )
)
def test_frames_three_ways(rows):
    """Well-formed headers with any payload: whole, byte by byte and with trailing bytes are the same."""
    raw = b"".join(HEADER.pack(kind, 0, 0, stream, len(data)) + data for kind, stream, data in rows)
    whole = joined(ready_reader(), [raw])
    assert joined(ready_reader(), [raw[i : i + 1] for i in range(len(raw))]) == whole
    if not whole or not isinstance(whole[-1], str):
        trailed = joined(ready_reader(), [raw + m.Ping().encode()])
        assert trailed == [*whole, Control(FrameType.PING, 0, b"{}")]


@FUZZ
@given(
    st.sampled_from(sorted(m.MESSAGES)),
    st.dictionaries(
        st.sampled_from(
            sorted({name for kind in m.MESSAGES.values() for name in dir(kind) if name[0] != "_"})
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
            ),
            max_leaves=5,
        ),
        max_size=6,
    ),
)
def test_any_json_is_a_message_or_the_error(kind, given_fields):
    """Any object gives a value that can be written again, or RemoteProtocolError: nothing else."""
    payload = json.dumps(given_fields).encode()
    try:
        message = m.read_message(Control(kind, 0, payload))
    except RemoteProtocolError:
        return
    frame = ready_reader()
    frame.receive_data(message.encode())
    assert m.read_message(frame.next_frame()) == message


@pytest.mark.parametrize(
    ("kind", "limit", "early"),
    [
        (FrameType.ENTRY, MAX_CONTROL, False),
        (FrameType.AUTH, MAX_EARLY, True),
        (FrameType.INLINE, MAX_INLINE, False),
        (FrameType.DATA, 4096, False),
        (0x7F, MAX_CONTROL, False),
    ],
)
def test_length_at_and_past_the_limit(kind, limit, early):
    """The longest frame of each kind is taken; one byte more is refused by its header alone."""

    def fresh():
        return FrameReader() if early else ready_reader()

    at = fresh()
    at.receive_data(HEADER.pack(kind, 0, 0, 1 if not early else 0, limit) + b"x" * limit)
    at.next_frame()
    assert at.at_boundary
    past = fresh()
    past.receive_data(HEADER.pack(kind, 0, 0, 1 if not early else 0, limit + 1))
    with pytest.raises(RemoteProtocolError):
        past.next_frame()


def test_our_own_frames_are_bounded():
    """We do not send what we would not take."""
    assert encode_frame(FrameType.ERROR, MAX_STREAM, b"x" * MAX_CONTROL)
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameType.ERROR, 0, b"x" * (MAX_CONTROL + 1))
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameType.ERROR, MAX_STREAM + 1, b"")
    with pytest.raises(LocalProtocolError):
        numbered(MAX_STREAM + 1)


def test_data_is_not_collected():
    """A DATA frame is passed on as it comes: the reader keeps none of it."""
    reader = ready_reader()
    reader.receive_data(data_header(1, 4096) + b"a" * 10)
    assert reader.next_frame() == Data(1, b"a" * 10)
    assert (reader.pending, reader.at_boundary) == (0, False)
    reader.receive_data(b"b" * 4086 + m.Ping().encode())
    assert reader.next_frame() == Data(1, b"b" * 4086)
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")


@pytest.mark.parametrize("path", [b"a" * 255, b"/".join([b"a"] * 64), b"/".join([b"a" * 255] * 16), b"\xff"])
def test_paths_at_the_limit(path):
    """The longest name, the deepest and the longest path are legal."""
    assert b"/".join(split_path(path)) == path
    assert is_sendable(path)
    assert len(path) <= MAX_PATH


@pytest.mark.parametrize(
    "path",
    [
        b"a" * 256,
        b"/".join([b"a"] * 65),
        b"/".join([b"a" * 255] * 16) + b"/" + b"b",
        b"\x7f",
        b"..",
        b"",
        b"/",
    ],
)
def test_paths_past_the_limit(path):
    """One more is not."""
    assert not is_sendable(path)


def test_names_are_escaped_for_people():
    """What a terminal would obey is shown, not obeyed."""
    assert printable(b"a\x1b[2J\xff\xc2\x9b") == "a\\x1b[2J\\xff\\x9b"


def test_inner_pieces_of_a_frame_may_pass():
    """Only bytes that are content whole, with nothing before them, and never a frame's last."""
    reader = ready_reader()
    assert reader.pass_content(b"x") == 0
    reader.receive_data(data_header(7, 10) + b"a")
    assert reader.pass_content(b"b") == 0
    assert reader.next_frame() == Data(7, b"a")
    assert reader.pass_content(b"b" * 8) == 7
    assert reader.pass_content(b"c") == 0
    reader.receive_data(b"c" + m.Ping().encode())
    assert reader.next_frame() == Data(7, b"c")
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")
    early = Link("listener")
    assert early.pass_content(b"x") == 0
