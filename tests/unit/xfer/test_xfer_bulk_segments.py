"""SEGMENTs among the content that a thread moves: said and compared there, or left to the reactor."""

import os

import pytest
from xfer_lines import MAX_DATA, STREAM, close_sockets, digest, inflow, outflow, sockets, source

from twisted_xfer.protocols.xfer import bulk
from twisted_xfer.protocols.xfer.line import PlainLine
from twisted_xfer.protocols.xfer.wire.frames import HEADER, FrameType, data_header
from twisted_xfer.protocols.xfer.wire.messages import Segment


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_sockets()


def segment(content, **changes):
    return Segment(**{"stream": STREAM, "offset": len(content), "digest": digest(content)} | changes).encode()


def pulled(tmp_path, wire, **changes):
    """What one call makes of ``wire``, and what it leaves on the line."""
    ours, theirs = sockets()
    theirs.sendall(wire)
    line = PlainLine(ours)
    into = inflow(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT), **changes)
    into.pull(line, [], MAX_DATA)
    try:
        left = ours.recv(1 << 20)
    except BlockingIOError:
        left = b""
    line.close()
    return into, into.unread + left


def test_a_segment_that_is_right_is_compared_on_the_way(tmp_path):
    """What comes behind it is stored in the same call."""
    wire = data_header(STREAM, 2) + b"ab" + segment(b"ab") + data_header(STREAM, 1) + b"c"
    into, left = pulled(tmp_path, wire)
    assert (into.position, into.verified, left) == (3, 2, b"")
    assert (tmp_path / "target").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "said",
    [
        segment(b"ax"),
        segment(b"ab", offset=3),
        segment(b"ab", stream=STREAM + 1),
        HEADER.pack(FrameType.SEGMENT, 1, 0, STREAM, 2) + b"{}",
        HEADER.pack(FrameType.SEGMENT, 0, 0, STREAM, 2) + b"{}",
        HEADER.pack(FrameType.SEGMENT, 0, 0, STREAM, 0),
        HEADER.pack(FrameType.SEGMENT, 0, 0, STREAM, bulk.MAX_SEGMENT + 1) + b" " * (bulk.MAX_SEGMENT + 1),
        segment(b"ab")[:-1],
        segment(b"ab")[:5],
    ],
    ids=["digest", "offset", "stream", "flags", "fields", "empty", "too long", "cut", "cut header"],
)
def test_a_segment_that_is_not_is_left_to_the_reactor(tmp_path, said):
    """To its last byte, for it is the reactor that fails an entry or a connection."""
    behind = data_header(STREAM, 1) + b"c" if len(said) > 100 and said[:1] == segment(b"ab")[:1] else b""
    into, left = pulled(tmp_path, data_header(STREAM, 2) + b"ab" + said + behind)
    assert (into.position, into.verified) == (2, 0)
    assert left == said + behind


def test_a_segment_as_long_as_may_be_is_compared(tmp_path):
    """Unknown keys make it longer."""
    plain = segment(b"ab")
    spaces = b" " * (bulk.MAX_SEGMENT - (len(plain) - HEADER.size))
    long = HEADER.pack(FrameType.SEGMENT, 0, 0, STREAM, bulk.MAX_SEGMENT) + plain[HEADER.size :] + spaces
    into, left = pulled(tmp_path, data_header(STREAM, 2) + b"ab" + long)
    assert (into.verified, left) == (2, b"")


def test_only_so_many_segments_are_compared_in_one_call(tmp_path):
    """A peer that sends hardly anything else does not keep the thread."""
    wire, content = b"", b""
    for _ in range(bulk.PROOFS + 1):
        content += b"x"
        wire += data_header(STREAM, 1) + b"x" + segment(content)
    into, left = pulled(tmp_path, wire)
    assert (into.position, into.verified) == (bulk.PROOFS + 1, bulk.PROOFS)
    assert left == segment(content)


@pytest.mark.parametrize(("lasted", "verified"), [(bulk.BRIEF * 0.9, 2), (bulk.BRIEF, 0)])
def test_a_call_that_has_lasted_ends_with_its_segment(tmp_path, lasted, verified):
    """So that others have their turn where disks or lines are slow."""
    times = iter([0.0, lasted, lasted])
    wire = data_header(STREAM, 2) + b"ab" + segment(b"ab") + data_header(STREAM, 1) + b"c"
    into, _ = pulled(tmp_path, wire, clock=lambda: next(times))
    assert into.verified == verified
    assert into.position == (3 if verified else 2)


@pytest.fixture
def short(monkeypatch):
    """Segments of four bytes."""
    monkeypatch.setattr(bulk, "SEGMENT", 4)


def pushed(tmp_path, until, begin=0, **changes):
    """What one call sends of ten letters."""
    ours, theirs = sockets()
    line = PlainLine(ours)
    out = outflow(source(tmp_path, b"abcdefghij"), **changes)
    out.hasher.update(b"abcdefghij"[:begin])
    out.position = begin
    out.push(line, until)
    line.close()
    return out, theirs.recv(10_000)


@pytest.mark.parametrize(
    ("begin", "until", "wire"),
    [
        (0, 4, data_header(STREAM, 4) + b"abcd"),
        (0, 5, data_header(STREAM, 4) + b"abcd" + segment(b"abcd") + data_header(STREAM, 1) + b"e"),
        (4, 8, data_header(STREAM, 4) + b"efgh"),
        (3, 6, data_header(STREAM, 1) + b"d" + segment(b"abcd") + data_header(STREAM, 2) + b"ef"),
    ],
    ids=["its end", "behind its end", "from another's end", "from within"],
)
def test_a_segment_is_said_where_content_follows_in_the_same_call(short, tmp_path, begin, until, wire):
    """The last one is the reactor's to say, and so is what was said already."""
    out, sent = pushed(tmp_path, until, begin)
    assert sent == wire
    assert out.position == until


@pytest.mark.parametrize(("lasted", "reached"), [(bulk.BRIEF * 0.9, 5), (bulk.BRIEF, 4)])
def test_a_sending_call_that_has_lasted_ends_with_its_segment(short, tmp_path, lasted, reached):
    """The reactor says it then, and others have their turn."""
    times = iter([0.0, lasted, lasted])
    out, sent = pushed(tmp_path, 5, clock=lambda: next(times))
    assert out.position == reached
    assert (segment(b"abcd") in sent) is (reached == 5)


def test_what_was_said_last_is_known(short, tmp_path, monkeypatch):
    """So that nobody says it twice when the line was full behind it."""
    ours, theirs = sockets()

    class Full(PlainLine):
        def send(self, view):
            if bytes(view[:1]) == bytes([FrameType.SEGMENT]):
                raise BlockingIOError
            return super().send(view)

    line = Full(ours)
    out = outflow(source(tmp_path, b"abcdefghij"))
    out.push(line, 10)
    assert (out.position, out.said) == (4, 4)
    assert theirs.recv(100) + out.rest() == data_header(STREAM, 4) + b"abcd" + segment(b"abcd")
    line.close()
