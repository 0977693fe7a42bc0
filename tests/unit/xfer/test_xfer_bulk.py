"""Content between a file and a line, as a thread moves it: over socket pairs, in clear and in TLS."""

import os

import pytest
from xfer_lines import (
    MAX_DATA,
    STREAM,
    close_sockets,
    digest,
    inflow,
    outflow,
    plain_lines,
    public_lines,
    secure_lines,
    sockets,
    source,
)

from twisted_xfer.errors import ConnectionLost, NoSpace
from twisted_xfer.protocols.xfer import bulk
from twisted_xfer.protocols.xfer.line import PlainLine
from twisted_xfer.protocols.xfer.wire.frames import HEADER, Data, FrameReader, FrameType, data_header


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_sockets()


@pytest.fixture(params=[plain_lines, secure_lines, public_lines], ids=["plain", "tls", "tls-public"])
def lines(request):
    pair = request.param()
    yield pair
    for line in pair:
        line.close()


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for a line in one thread."""
    monkeypatch.setattr(bulk, "WAITS", 0)


def drain(into, line, size, begun):
    """Take what has come; a header that has come in part is what the reactor's reader would keep."""
    if not begun:
        into.received = 0
        into.pull(line, [], size - into.position)
        begun, into.unread = into.unread, b""
    if begun:
        more = memoryview(bytearray(HEADER.size - len(begun)))
        try:
            begun += bytes(more[: line.recv_into(more)])
        except BlockingIOError:
            return begun
    if len(begun) == HEADER.size:
        into.left = HEADER.unpack(begun)[4]
        begun = b""
    return begun


def carry(out, into, lines, size):
    """Let both ends work in turn until ``size`` bytes are stored."""
    begun = b""
    for _ in range(10_000):
        if out.position < size or out.pending:
            out.push(lines[0], size)
        rest = lines[0].rest()
        while rest:
            try:
                # What the reactor does: records that did not leave go first.
                rest = rest[lines[0]._plain.send(memoryview(rest)) :]
            except BlockingIOError:
                begun = drain(into, lines[1], size, begun)
        begun = drain(into, lines[1], size, begun)
        if into.position == size:
            return
    raise AssertionError("it never arrived")


@pytest.mark.parametrize("size", [1, bulk.PIECE - 1, bulk.PIECE, 3 * bulk.PIECE + 5])
def test_a_file_arrives_whole_with_the_digest_of_both_ends(lines, impatient, tmp_path, size):
    """Also where the line is full again and again, for neither end waits here."""
    content = os.urandom(size)
    out = outflow(source(tmp_path, content))
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    into = inflow(target)
    carry(out, into, lines, size)
    assert (tmp_path / "target").read_bytes() == content
    assert out.hasher.digest() == into.hasher.digest() == digest(content)
    assert not into.left
    assert not into.unread


def test_what_the_line_does_not_take_is_the_end_of_a_frame(impatient, tmp_path):
    """Whoever writes the rest has written whole frames."""
    content = os.urandom(4 * 1024 * 1024)
    ours, theirs = sockets()
    line = PlainLine(ours)
    out = outflow(source(tmp_path, content))
    out.push(line, len(content))
    assert out.position < len(content)
    rest = out.rest()
    assert rest
    assert not out.pending
    reader = FrameReader()
    reader.raw = True
    theirs.setblocking(False)
    got = bytearray()
    while True:
        try:
            got += theirs.recv(1 << 20)
        except BlockingIOError:
            break
    reader.receive_data(bytes(got) + rest)
    carried = bytearray()
    while (frame := reader.next_frame()) is not None:
        assert isinstance(frame, Data)
        assert frame.stream == STREAM
        carried += frame.data
    assert reader.at_boundary
    assert bytes(carried) == content[: out.position]
    line.close()


def test_a_source_that_ends_early_is_told_of(tmp_path):
    """Nothing is made up for the bytes that are missing."""
    ours, theirs = sockets()
    line = PlainLine(ours)
    out = outflow(source(tmp_path, b"only this"))
    out.push(line, 1000)
    assert out.short
    assert out.position == 9
    assert theirs.recv(100) == data_header(STREAM, 9) + b"only this"
    line.close()


def test_no_frame_is_longer_than_the_peer_takes(tmp_path):
    """One byte more than it takes is another frame."""
    ours, theirs = sockets()
    line = PlainLine(ours)
    out = outflow(source(tmp_path, b"x" * 4097), max_data=4096)
    out.push(line, 4097)
    sent = data_header(STREAM, 4096) + b"x" * 4096 + data_header(STREAM, 1) + b"x"
    assert theirs.recv(10_000) == sent
    line.close()


def test_a_stopped_sender_ends_with_its_frame(tmp_path):
    """The reactor sets ``stop`` when the receiver gives the entry up."""
    ours, _theirs = sockets()
    line = PlainLine(ours)
    out = outflow(source(tmp_path, os.urandom(1000)), stop=True)
    out.push(line, 1000)
    assert out.position == 0
    assert not out.rest()
    line.close()


def test_other_frames_are_left_to_the_reactor(tmp_path):
    """A control frame behind content is handed back to its first byte."""
    ours, theirs = sockets()
    other = HEADER.pack(FrameType.END, 0, 0, STREAM, 2) + b"{}"
    theirs.sendall(b"abc" + data_header(STREAM, 2) + b"de" + other)
    line = PlainLine(ours)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    into = inflow(target, left=3)
    into.pull(line, [b"before "], 1000)
    assert (tmp_path / "target").read_bytes() == b"before abcde"
    assert into.unread + ours.recv(100) == other
    assert (into.received, into.left) == (5, 0)
    line.close()


@pytest.mark.parametrize(
    "header",
    [
        data_header(STREAM + 1, 2),
        data_header(STREAM, MAX_DATA + 1),
        data_header(STREAM, 0),
        HEADER.pack(0x20, 1, 0, STREAM, 2),
        HEADER.pack(0x20, 0, 1, STREAM, 2),
    ],
    ids=["another stream", "too long", "empty", "flags", "reserved"],
)
def test_only_more_of_the_same_is_taken(tmp_path, header):
    """Every other header is for the reader that knows all rules."""
    ours, theirs = sockets()
    theirs.sendall(header + b"xx")
    line = PlainLine(ours)
    into = inflow(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT))
    into.pull(line, [], MAX_DATA * 2)
    assert into.unread == header
    assert into.position == 0
    line.close()


def test_a_frame_longer_than_what_may_come_is_not_taken(tmp_path):
    """The entry's size holds: one byte more is left to the reader, that many are not."""
    for length, taken in ((5, True), (6, False)):
        ours, theirs = sockets()
        theirs.sendall(data_header(STREAM, length) + b"x" * length)
        line = PlainLine(ours)
        into = inflow(os.open(tmp_path / str(length), os.O_RDWR | os.O_CREAT))
        into.pull(line, [], 5)
        assert bool(into.position) is taken
        assert bool(into.unread) is not taken
        line.close()


def test_the_end_of_the_connection_is_left_to_the_reactor(tmp_path):
    """What came before it is stored."""
    ours, theirs = sockets()
    theirs.sendall(b"abc")
    theirs.close()
    line = PlainLine(ours)
    into = inflow(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT), left=10)
    into.pull(line, [], 100)
    assert into.ended
    assert (tmp_path / "target").read_bytes() == b"abc"
    assert into.left == 7
    line.close()


def test_a_full_disk_leaves_the_frames_in_step(tmp_path, monkeypatch):
    """What was taken off the line is counted although it could not be stored."""
    ours, theirs = sockets()
    theirs.sendall(b"abc")
    line = PlainLine(ours)
    into = inflow(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT), left=10)

    def full(*_args):
        raise NoSpace

    monkeypatch.setattr(bulk, "store", full)
    with pytest.raises(NoSpace):
        into.pull(line, [], 100)
    assert (into.received, into.left, into.position) == (3, 7, 0)
    line.close()


def test_a_peer_that_is_gone_is_told_of(lines, tmp_path):
    """The sender's thread ends with ConnectionLost, not with whatever the system calls it."""
    close_sockets()
    lines[1].close()
    out = outflow(source(tmp_path, os.urandom(1 << 20)))
    with pytest.raises(ConnectionLost):
        for _ in range(100):
            out.push(lines[0], 1 << 20)


@pytest.mark.parametrize("make", [secure_lines, public_lines])
def test_a_flipped_bit_in_tls_ends_the_line(tmp_path, make):
    """Records that were tampered with are no content."""
    sender, receiver = make()
    out = outflow(source(tmp_path, os.urandom(1000)))

    class Flipping:
        def send(self, view):
            data = bytearray(view)
            data[len(data) // 2] ^= 1
            return plain.send(memoryview(data))

    plain, sender._plain = sender._plain, Flipping()
    out.push(sender, 1000)
    into = inflow(os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT))
    into.pull(receiver, [], 1000)
    assert into.ended
    assert into.position == 0
    for line in (plain, receiver):
        line.close()
