"""Small files on their way out: several in one write, and none kept back by anything that is waited for."""

import attrs
import pytest
from blake3 import blake3
from twisted.internet.defer import Deferred
from written_frames import Lines

from twisted_xfer.errors import DigestMismatch
from twisted_xfer.protocols.xfer.attempts import Ledger
from twisted_xfer.protocols.xfer.report import Summary
from twisted_xfer.protocols.xfer.sending import AT_ONCE, SenderRole
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, Inline
from twisted_xfer.runtime.blocking import InlineBlocking


def frames(line):
    """What left, write by write: content of small files, names of other frames."""
    return [
        [frame.data if isinstance(frame, Inline) else frame.type.name for frame in write]
        for write in line.read()
    ]


class Files:
    """A source of small files, one for each content; anything else is answered as it is."""

    def __init__(self, *contents):
        self.left = list(contents)
        self.read = []
        self.closed = False

    def next(self):
        if not self.left:
            return None
        content = self.left.pop(0)
        if isinstance(content, Exception):
            raise content
        return content if isinstance(content, Deferred) else self.offer(content)

    def offer(self, content):
        def whole(size):
            self.read.append(content)
            return content

        path = b"%d" % len(self.left)
        return Offer(path, "file", len(content), 0o644, 0, lambda: None, whole=whole)

    def close(self):
        self.closed = True


@pytest.fixture
def line():
    return Lines()


def begun(line, files, window=64, **more):
    role = SenderRole(
        line, files, InlineBlocking(), window=window, hash_name="blake3", max_data=MAX_INLINE, **more
    )
    role.start()
    return role


def done(stream, content):
    return m.Done(blake3(content).digest(), size=len(content), stream=stream)


def test_several_leave_together(line):
    """Each behind its offer, in the order of the source."""
    begun(line, Files(b"a", b"", b"c"))
    assert frames(line) == [["ENTRY", b"a", "ENTRY", b"", "ENTRY", b"c"], ["END_OF_OFFER"]]


@pytest.mark.parametrize("size", [0, 1, 4096, AT_ONCE - 1, MAX_INLINE])
def test_no_more_than_so_much_is_ready_at_once(line, size):
    """What is asked for next is one file more, however small they are."""
    files = Files(*[bytes(size)] * 2000)
    begun(line, files, window=4096)
    *writes, end = line.writes
    most = max(map(len, writes))
    assert (most >= AT_ONCE or len(writes) == 1, len(writes) > 1) == (True, True)
    assert most < AT_ONCE + size + 512
    assert end == m.EndOfOffer(2000, size * 2000, 0).encode()


def test_a_source_that_takes_its_time_keeps_none_back(line):
    """What was ready leaves before it is waited for."""
    late = Deferred()
    files = Files(b"a", b"b", late, b"d")
    begun(line, files)
    assert frames(line) == [["ENTRY", b"a", "ENTRY", b"b"]]
    late.callback(files.offer(b"c"))
    assert frames(line)[1:] == [["ENTRY", b"c", "ENTRY", b"d"], ["END_OF_OFFER"]]


def test_a_full_window_keeps_none_back(line):
    """And nothing is read before there is room."""
    files = Files(b"a", b"b", b"c")
    role = begun(line, files, window=2)
    assert (frames(line), files.read) == ([["ENTRY", b"a", "ENTRY", b"b"]], [b"a", b"b"])
    role.event(done(1, b"a"))
    assert frames(line)[1:] == [["ENTRY", b"c"]]
    role.event(done(3, b"c"))
    assert frames(line)[2:] == [["END_OF_OFFER"]]


def test_nothing_is_read_for_a_line_that_is_full(line):
    """Until it takes more; asked between one write and the next."""
    line.full = Deferred()
    files = Files(b"a", b"b")
    begun(line, files)
    assert (line.writes, files.read) == ([], [])
    full, line.full = line.full, None
    full.callback(None)
    assert frames(line) == [["ENTRY", b"a", "ENTRY", b"b"], ["END_OF_OFFER"]]


def test_a_source_that_fails_keeps_none_back(line):
    """What it gave before is sent, and what is wrong is told."""
    files = Files(b"a", LookupError())
    begun(line, files)
    assert (frames(line), files.closed, line.failed is not None) == ([["ENTRY", b"a"]], True, True)


def test_an_answer_with_another_digest(line):
    """Of one among others: it alone has failed."""
    told, over = [], []
    role = begun(line, Files(b"a", b"b"), on_event=told.append, on_finished=lambda: over.append(1))
    role.event(done(2, b"b"))
    role.event(done(1, b"other"))
    assert [(event.kind, event.path) for event in told] == [("done", b"0"), ("failed", b"1")]
    assert isinstance(told[1].error, DigestMismatch)
    assert over == [1]


@pytest.mark.parametrize("said", [0, 1, 2**63 - 1])
def test_how_much_is_stored_is_what_the_digest_is_of(line, said):
    """Whatever the receiver says of it, or if it leaves that out."""
    summary = Summary()
    role = begun(line, Files(b"abc"), on_event=summary.note)
    role.event(attrs.evolve(done(1, b"abc"), size=said))
    assert (summary.files, summary.moved, summary.verified) == (1, 3, 3)


def test_what_is_settled_out_of_order_is_not_sent_again():
    """A walk that begins anew leaves it out, wherever the answers stopped."""
    files = Files(b"a", b"b", b"c", b"d")
    offers = [files.next()._replace(order=(0, (b"%d" % at,))) for at in range(4)]
    for settled in ([0, 1], [2, 0], [1, 0, 3], [3, 2, 1, 0], [1, 3]):
        ledger = Ledger()
        ledger.begin()
        assert all(map(ledger.wanted, offers))
        for at in settled:
            ledger.settle(offers[at])
        ledger.begin()
        assert [at for at in range(4) if ledger.wanted(offers[at])] == [
            at for at in range(4) if at not in settled
        ]
