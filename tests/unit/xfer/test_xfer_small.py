"""Small files that come together: stored after the frames of all of them were read, and answered in their order."""

import pytest
from blake3 import blake3
from xfer_pipes import local_net
from xfer_raw import Raw

from twisted_xfer.protocols.xfer.receiving import BATCH, ReceiverRole
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import FrameType, encode_frame

CONTENT = b"content"


def small(number, digest=None, path=None):
    """ENTRY and INLINE of one file, in one piece."""
    entry = m.Entry(
        stream=number, path=path or b"file%d" % number, size=len(CONTENT), inline=True,
        digest=digest or blake3(CONTENT).digest(),
    )  # fmt: skip
    return entry.encode() + encode_frame(FrameType.INLINE, number, CONTENT)


def several(count, first=1):
    """As many, one after the other."""
    return b"".join(small(number) for number in range(first, first + count))


@pytest.fixture
def net(tmp_path):
    made = local_net(tmp_path)
    yield made
    made.close_clean()


@pytest.fixture
def peer(net):
    made = Raw(net).log_in()
    made.heard()
    return made


@pytest.fixture
def held(monkeypatch):
    """How many entries were open each time that one was stored."""
    found = []
    store = ReceiverRole._small

    async def noted(role, entry, data, saved=0):
        found.append(len(role.books.open))
        await store(role, entry, data, saved)

    monkeypatch.setattr(ReceiverRole, "_small", noted)
    return found


def said(peer):
    """What came, as names and streams."""
    return [(type(one).__name__, one.stream) for one in peer.heard()]


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 2])
def test_all_of_them_are_there_and_answered_in_their_order(peer, tmp_path, count):
    """However many come in one piece; the end of the offer behind them finishes it once."""
    peer.say(several(count) + m.EndOfOffer(entries=count).encode())
    assert said(peer) == [("Done", number) for number in range(1, count + 1)]
    assert {path.read_bytes() for path in (tmp_path / "alice").iterdir()} == {CONTENT}
    assert len(list((tmp_path / "alice").iterdir())) == count
    assert peer.line.listener.protocol.complete


@pytest.mark.parametrize(
    ("count", "open_then"), [(BATCH, [*range(BATCH, 0, -1)]), (BATCH + 1, [*range(BATCH, 0, -1), 1])]
)
def test_no_more_than_a_batch_is_held(peer, held, count, open_then):
    """The content of so many waits, and of no more."""
    peer.say(several(count))
    assert held == open_then


def test_half_a_file_keeps_none_waiting(peer):
    """What is whole is stored although more has begun to come."""
    raw = several(3)
    peer.say(raw[:-1])
    assert said(peer) == [("Done", 1), ("Done", 2)]
    peer.say(raw[-1:])
    assert said(peer) == [("Done", 3)]


def test_what_comes_behind_them_comes_behind_them(peer):
    """A directory, a large file and a question are not answered before."""
    others = [
        m.Entry(stream=3, path=b"folder", type="dir"),
        m.Entry(stream=4, path=b"large", size=10**6),
        m.Entry(stream=5, path=b"file1", size=len(CONTENT), dry_run=True),
    ]
    peer.say(several(2) + b"".join(one.encode() for one in others) + small(6))
    assert said(peer) == [("Done", 1), ("Done", 2), ("Done", 3), ("Take", 4), ("Skip", 5), ("Done", 6)]


def test_one_that_is_damaged_costs_no_other(peer, tmp_path):
    """Its error stands among the answers, where it belongs."""
    peer.say(small(1) + small(2, digest=bytes(32)) + small(3))
    assert said(peer) == [("Done", 1), ("Error", 2), ("Done", 3)]
    assert sorted(path.name for path in (tmp_path / "alice").iterdir()) == ["file1", "file3"]


def test_the_same_name_twice(peer):
    """The second finds the first: nothing is stored at once with another."""
    peer.say(small(1, path=b"same") + small(2, path=b"same"))
    assert said(peer) == [("Done", 1), ("Done", 2)]


@pytest.mark.parametrize("wrong", [m.Take(stream=1), m.Hello(nonce=bytes(16)), m.Restart(stream=9)])
def test_a_rule_that_is_broken_behind_them(peer, tmp_path, wrong):
    """They came before that: they are stored and answered, then comes the error."""
    peer.say(several(2) + wrong.encode())
    assert said(peer) == [("Done", 1), ("Done", 2), ("Error", 0)]
    assert len(list((tmp_path / "alice").iterdir())) == 2
