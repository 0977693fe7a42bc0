"""Small files that leave in one FILES: which do, and what is told of each when they are answered."""

import pytest
from blake3 import blake3
from twisted.internet.defer import Deferred
from written_frames import Lines

from twisted_xfer.errors import DigestMismatch, RemoteProtocolError
from twisted_xfer.protocols.xfer.sending import AT_ONCE, SenderRole
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, FrameReader, Inline
from twisted_xfer.protocols.xfer.wire.link import TOGETHER
from twisted_xfer.runtime.blocking import InlineBlocking


def digest(content):
    return blake3(content).digest()


def frames(lines):
    """What has left since the last call: of FILES the names, of ENTRY the path, of content how much."""
    found = []
    for frame in [frame for write in lines.read() for frame in write]:
        if isinstance(frame, Inline):
            found.append(len(frame.data))
            continue
        message = m.read_message(frame)
        if isinstance(message, m.Files):
            found.append((message.stream, message.path, message.names))
        elif isinstance(message, m.Entry):
            found.append((message.stream, message.path))
    lines.writes.clear()
    return found


class Source:
    """Small files, of the paths and contents given."""

    def __init__(self, *files):
        self.left = [
            Offer(path, "file", len(data), 0o600, 7, lambda: None, whole=lambda _size, data=data: data)
            if data is not None
            else Offer(path, "dir", None, 0o700, 7, lambda: None)
            for path, data in files
        ]

    def next(self):
        return self.left.pop(0) if self.left else None

    def close(self):
        self.left = []


def begun(lines, *files, window=64, source=None, **more):
    role = SenderRole(
        lines,
        source or Source(*files),
        InlineBlocking(),
        window=window,
        hash_name="blake3",
        max_data=MAX_INLINE,
        **more,
    )
    role.start()
    return role


def test_those_of_one_folder_leave_together():
    """Others, and what is no small file, by themselves, in the order of the source."""
    lines = Lines(TOGETHER)
    begun(
        lines, (b"d/a", b"1"), (b"d/b", b""), (b"e/c", b"22"), (b"e/d", b"3"), (b"f", b"4"), (b"big", bytes(MAX_INLINE + 1)),
        (b"g", b"5"), (b"h", b"6"), (b"d", None), (b"\xff", b"7"), (b"i", b"8"), ("ü".encode(), b"9"),
    )  # fmt: skip
    assert frames(lines) == [
        (1, b"d", (b"a", b"b")), 1, (3, b"e", (b"c", b"d")), 3, (5, b"f"), 1, (6, b"big"), (7, b"", (b"g", b"h")), 2,
        (9, b"d"), (10, b"\xff"), 1, (11, b"", (b"i", "ü".encode())), 2,
    ]  # fmt: skip


def test_a_receiver_that_does_not_know_it():
    """Gets each by itself."""
    lines = Lines()
    begun(lines, (b"a", b"1"), (b"b", b"2"))
    assert frames(lines) == [(1, b"a"), 1, (2, b"b"), 1]


@pytest.mark.parametrize(
    ("window", "most"), [(7, 1), (8, 2), (64, 16), (4 * m.MAX_FILES, m.MAX_FILES), (4096, m.MAX_FILES)]
)
def test_a_quarter_of_the_window_at_most(window, most):
    """So that others are on their way while those are stored; and no more than one frame may carry."""
    lines = Lines(TOGETHER)
    begun(lines, *[(b"%d" % number, b"x") for number in range(most + 1)], window=window)
    first = frames(lines)[0]
    assert (len(first[2]) if len(first) == 3 else 1) == most


@pytest.mark.parametrize(("extra", "first"), [(0, 3), (1, 2)])
def test_no_more_content_than_goes_together(extra, first):
    """At the limit and one past it."""
    lines = Lines(TOGETHER)
    begun(lines, (b"a", bytes(MAX_INLINE - 2)), (b"b", b"1"), (b"c", bytes(1 + extra)))
    assert len(frames(lines)[0][2]) == first


def test_a_full_window():
    """Nothing is read past it, and what is collected leaves before anybody waits."""
    lines = Lines(TOGETHER)
    files = [(b"%d" % number, b"x") for number in range(12)]
    role = begun(lines, *files, window=8)
    assert [frame[0] for frame in frames(lines) if isinstance(frame, tuple)] == [1, 3, 5, 7]
    assert len(role.source.left) == 4
    role.event(m.Stored(2, digest(b"x") * 2, b"/", stream=3))
    assert frames(lines) == [(9, b"", (b"8", b"9")), 2]


def test_a_line_that_is_full_keeps_none_back():
    """It is asked before anything is collected, and then only when that has left."""
    lines = Lines(TOGETHER)
    answers = [None, Deferred()]
    lines.writable = lambda: answers.pop(0)
    begun(lines, (b"a", b"1"), (b"b", b"2"))
    assert frames(lines) == [(1, b"", (b"a", b"b")), 2]


@pytest.mark.parametrize("size", [0, 1, 800, AT_ONCE - 1])
def test_no_more_than_so_much_is_collected_and_ready(size):
    """What is asked for next is one file more; of frames so many fit in that each is little."""
    lines = Lines(TOGETHER)
    begun(lines, *[(b"%d" % number, bytes(size)) for number in range(1000)], window=4096)
    *writes, _end = lines.writes
    assert len(writes) > 1
    assert max(map(len, writes)) < AT_ONCE + size + m.MAX_CONTROL // 4


@pytest.mark.parametrize(
    ("time", "said"), [(None, None), (-(2**63), -(2**63)), (-(2**70), -(2**63)), (2**63, 2**63 - 1)]
)
def test_times_that_do_not_travel(time, said):
    """The nearest that does leaves for them, as for one by itself."""
    lines = Lines(TOGETHER)
    files = Source((b"a", b"1"), (b"b", b"2"))
    files.left = [offer._replace(mtime_ns=time) for offer in files.left]
    begun(lines, source=files)
    reader = FrameReader(m.MAX_CONTROL)
    reader.raw = True
    reader.receive_data(lines.writes[0])
    assert m.read_message(reader.next_frame()).mtimes_ns == (said, said)


@pytest.mark.parametrize(
    ("above", "path"), [(b"/", b"/a"), (b"/d", b"/d/a"), (b"", b"/a"), (b"/d/", b"/d/a")]
)
def test_where_they_are_stored(above, path):
    """With one slash between, also at the top."""
    told = []
    role = begun(Lines(TOGETHER), (b"a", b"1"), (b"b", b"2"), on_event=told.append)
    role.event(m.Stored(2, digest(b"1") + digest(b"2"), above, stream=1))
    assert told[0].stored_as == path


def events(told):
    return [(event.kind, event.path, event.stored_as) for event in told]


def test_what_is_told_of_each():
    """As if each had been answered: path, size, digest and where it is."""
    told, closed, over = [], [], []
    lines = Lines(TOGETHER)
    role = begun(
        lines, (b"d/a", b"1"), (b"d/b", b"22"), on_event=told.append, on_closed=closed.append,
        on_finished=lambda: over.append(1),
    )  # fmt: skip
    role.event(m.Stored(2, digest(b"1") + digest(b"22"), b"/home/d", stream=1))
    assert events(told) == [("done", b"d/a", b"/home/d/a"), ("done", b"d/b", b"/home/d/b")]
    assert [(event.size, event.position, event.digest, event.hash) for event in told] == [
        (1, 1, digest(b"1"), "blake3"),
        (2, 2, digest(b"22"), "blake3"),
    ]
    assert [offer.path for offer in closed] == [b"d/a", b"d/b"]
    assert over == [1]


@pytest.mark.parametrize(
    ("digests", "kinds"),
    [
        (digest(b"1") + digest(b"3"), ["done", "failed"]),
        (digest(b"3") + digest(b"2"), ["failed", "done"]),
        (digest(b"2") + digest(b"1"), ["failed", "failed"]),
    ],
)
def test_digests_of_something_else(digests, kinds):
    """Nothing is believed to be stored without its own."""
    told = []
    role = begun(Lines(TOGETHER), (b"a", b"1"), (b"b", b"2"), on_event=told.append)
    role.event(m.Stored(2, digests, b"/", stream=1))
    assert [event.kind for event in told] == kinds
    assert all(isinstance(event.error, DigestMismatch) for event in told if event.kind == "failed")
    assert not role.busy


def test_only_the_first_of_them():
    """The others are answered one by one, in any order."""
    told, over = [], []
    role = begun(
        Lines(TOGETHER), *[(name, name) for name in (b"a", b"b", b"c", b"d")], on_event=told.append,
        on_finished=lambda: over.append(1),
    )  # fmt: skip
    role.event(m.Stored(2, digest(b"a") + digest(b"b"), b"/", stream=1))
    assert role.busy
    role.event(m.Done(digest(b"d"), b"/d", 1, stream=4))
    role.event(m.Skip(stream=3))
    assert [(event.kind, event.path) for event in told] == [
        ("done", b"a"), ("done", b"b"), ("done", b"d"), ("skipped", b"c"),
    ]  # fmt: skip
    assert over == [1]


@pytest.mark.parametrize("stream", [1, 2, 3])
def test_none_of_them_together(stream):
    """Whichever is answered first."""
    told = []
    role = begun(Lines(TOGETHER), *[(name, name) for name in (b"a", b"b", b"c")], on_event=told.append)
    role.event(m.Refuse(stream=stream, code=300, name="exists"))
    for other in {1, 2, 3} - {stream}:
        role.event(m.Done(digest(b"?abc"[other : other + 1]), b"/x", 1, stream=other))
    assert sorted(event.kind for event in told) == ["done", "done", "failed"]
    assert not role.busy


def test_an_answer_for_what_is_not_there():
    """Whoever says so is not believed anything."""
    role = begun(Lines(TOGETHER), (b"a", b"1"), (b"b", b"2"))
    for wrong in (m.Stored(3, bytes(96), b"/", stream=1), m.Stored(1, bytes(32), b"/", stream=2)):
        with pytest.raises(RemoteProtocolError):
            role.event(wrong)
