"""Sparse files: holes are not sent, and are there again at the other end."""

import os
import tracemalloc

import pytest
from xfer_pipes import Net, local_net
from xfer_raw import Raw

from twisted_xfer.errors import SourceChanged
from twisted_xfer.interfaces import Account
from twisted_xfer.protocols.xfer.content import SEGMENT, make_hasher
from twisted_xfer.protocols.xfer.holes import (
    LEAST_HOLE,
    find_hole,
    hash_range,
    hash_zeros,
    is_sparse,
    store_hole,
    zeros,
)
from twisted_xfer.protocols.xfer.incoming import MESSAGE_WEIGHT, weight
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import data_header
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.testing.host import MemoryHost

MIB = 1024 * 1024
#: Large enough to show what is proportional to a file, small enough for any machine; hashed at both ends.
BIG = int(os.environ.get("XFER_TEST_SPARSE_BYTES", str(1024 * MIB)))


@pytest.fixture
def home(tmp_path, net):
    return tmp_path / "root/alice"


def make(path, size, *pieces):
    """A file of ``size`` with content at some places and holes else; skips where there are no holes."""
    with path.open("wb") as stream:
        for at, content in pieces:
            stream.seek(at)
            stream.write(content)
        stream.truncate(size)
        stream.flush()
        if not is_sparse(stream.fileno()):
            pytest.skip("files have no holes here")
    return path


def blocks(path):
    return path.stat().st_blocks * 512


def digest_of(path):
    hasher = make_hasher("blake3")
    with path.open("rb") as stream:
        while data := stream.read(MIB):
            hasher.update(data)
    return hasher.digest()


LAYOUTS = {
    "all hole": (5 * MIB, []),
    "hole first": (3 * MIB, [(2 * MIB, b"end" * 1000)]),
    "hole last": (40 * MIB, [(0, b"start" * 100_000)]),
    "across segments": (
        3 * SEGMENT + 5,
        [(0, b"a" * 5000), (SEGMENT - 4096, b"b" * 8192), (3 * SEGMENT, b"tail!")],
    ),
    "ends at a segment": (2 * SEGMENT, [(0, os.urandom(300_000)), (SEGMENT, os.urandom(2 * MIB))]),
    "many": (16 * MIB, [(at * MIB, os.urandom(4096)) for at in range(0, 16, 2)]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_holes_there_and_back(net, home, tmp_path, layout):
    """The same content and digest, hardly a block more, and hardly a byte on the line, both ways."""
    size, pieces = LAYOUTS[layout]
    source = make(tmp_path / "f", size, *pieces)
    summary = net.send([source])
    assert (summary.files, summary.failed, summary.verified) == (1, 0, size)
    (tmp_path / "back").mkdir()
    back = net.get(b"f", tmp_path / "back")
    for stored, result in ((home / "f", summary), (tmp_path / "back/f", back)):
        assert stored.stat().st_size == size
        assert digest_of(stored) == digest_of(source) == result.digest
        assert blocks(stored) <= blocks(source) + 2 * LEAST_HOLE
        assert result.moved <= blocks(source) + 8 * LEAST_HOLE
    assert net.lines[0].carried < blocks(source) + 8 * LEAST_HOLE + 65536


def test_a_large_hole_costs_no_memory(net, home, tmp_path):
    """Nothing is proportional to the file but its hashing (XFER_TEST_SPARSE_BYTES makes it larger)."""
    source = make(tmp_path / "f", BIG, (BIG // 2, b"middle"), (BIG - 3, b"end"))
    tracemalloc.start()
    try:
        summary = net.send([source])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (summary.files, summary.verified) == (1, BIG)
    assert summary.moved < 8 * LEAST_HOLE
    assert blocks(home / "f") < 8 * LEAST_HOLE
    assert net.lines[0].carried < 8 * LEAST_HOLE
    assert most < 16 * MIB


def test_a_cut_within_holes_goes_on(net, home, tmp_path):
    """What is kept is proved and gone on with; the hole before it is not sent again."""
    content = os.urandom(3 * MIB)
    source = make(tmp_path / "f", 60 * MIB, (0, b"start"), (40 * MIB, content))
    net.plan.append({"cut_after": 2 * MIB})
    seen = []
    summary = net.send([source], on_event=seen.append)
    assert (summary.files, summary.failed) == (1, 0)
    assert max(event.resumed for event in seen) > 40 * MIB
    assert digest_of(home / "f") == digest_of(source)
    assert blocks(home / "f") < 8 * MIB


def test_peers_without_holes_get_zeros(tmp_path, monkeypatch):
    """A receiver that does not know them, or has no files with descriptors, stores the same content."""
    source = make(tmp_path / "f", 3 * MIB, (MIB, b"x"))
    net = Net(MemoryHost({"alice": "secret"}))
    assert net.send([source]).digest == digest_of(source)
    assert net.lines[0].carried < 2 * MIB
    assert net.send([source]).skipped == 1
    net.close_clean()
    monkeypatch.setattr("twisted_xfer.protocols.xfer.server.FEATURES", ())
    net = local_net(tmp_path / "root")
    assert net.send([source]).digest == digest_of(source)
    assert net.lines[0].carried > 3 * MIB
    net.close_clean()


def test_quota_counts_holes(tmp_path):
    """A hole is as large as it says: what is not granted is not made."""
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", quota_bytes=4 * MIB)})
    net.host.login._portal.realm._ledger = MemoryLedger()
    source = make(tmp_path / "f", 5 * MIB)
    assert [error.name for _, error in net.send([source]).failures] == ["quota"]
    assert net.send([make(tmp_path / "g", 4 * MIB)]).files == 1
    assert [path.name for path in (tmp_path / "root/alice").iterdir()] == ["g"]
    net.close_clean()


# --- hostile -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "say",
    [
        [m.Entry(stream=1, path=b"a", size=MIB), m.Hole(stream=1, size=MIB + 1)],
        [m.Entry(stream=1, path=b"a", size=2), data_header(1, 1) + b"x", m.Hole(stream=1, size=2)],
        [m.Entry(stream=1, path=b"a"), m.Hole(stream=1, size=1)],
        [m.Hole(stream=1, size=1)],
        [m.Entry(stream=1, path=b"a", size=9), m.Entry(stream=2, path=b"b", size=9),
         data_header(1, 1) + b"x", m.Hole(stream=2, size=1)],
        [m.Entry(stream=1, path=b"a", type="dir"), m.Hole(stream=1, size=1)],
    ],
)  # fmt: skip
def test_holes_that_may_not_be(net, home, say):
    """Beyond what was announced, without a size, of nothing, of two at once: a protocol error, nothing published."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(*say)
    assert peer.errors() == ["protocol"]
    assert peer.gone
    assert not [path for path in home.iterdir() if path.is_file() and not path.name.endswith(".xpart")]


def test_a_hole_that_is_none(net, home):
    """Zeros are hashed as zeros: whoever says hole and means something else fails at the digest."""
    peer = Raw(net).log_in()
    peer.heard()
    hasher = make_hasher("blake3")
    hasher.update(b"x" * 4096)
    peer.say(m.Entry(stream=1, path=b"a", size=4096), m.Hole(stream=1, size=4096))
    peer.say(m.End(stream=1, size=4096, digest=hasher.digest()))
    assert peer.errors() == ["digest_mismatch"]
    assert not [path for path in home.iterdir() if not path.name.endswith(".xpart")]


def test_what_waits_is_bounded():
    """Messages in the queue count as well, so that no flood of them waits for a slow disk."""
    assert weight(b"abc") == 3
    assert weight(m.Hole(stream=1, size=1)) == MIB
    assert weight(m.Segment(stream=1, offset=1, digest=bytes(32))) == MESSAGE_WEIGHT


# --- the parts ---------------------------------------------------------------------------------------


def test_finding_holes(tmp_path):
    """The first that is long enough; reading goes on where it was."""
    path = make(tmp_path / "f", 8 * MIB, (0, b"x" * 4096), (4 * MIB, b"y" * 4096))
    with path.open("rb") as stream:
        stream.seek(7)
        fd = stream.fileno()
        start, end = find_hole(fd, 0, 8 * MIB)
        assert 4096 <= start < 2 * MIB
        assert end == 4 * MIB
        assert find_hole(fd, MIB, 8 * MIB) == (MIB, 4 * MIB)
        start, end = find_hole(fd, 4 * MIB, 8 * MIB)
        assert 4 * MIB < start < 5 * MIB
        assert end == 8 * MIB
        assert find_hole(fd, 8 * MIB, 8 * MIB) == (8 * MIB, 8 * MIB)
        assert find_hole(fd, 8 * MIB - 1, 8 * MIB) == (8 * MIB, 8 * MIB)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    reading, writing = os.pipe()
    assert find_hole(reading, 0, 5) == (5, 5)
    os.close(reading)
    os.close(writing)


def test_a_hole_where_something_stands(tmp_path):
    """Old bytes are replaced by zeros, what is behind them is not touched, nothing gets shorter."""
    path = tmp_path / "f"
    path.write_bytes(b"a" * (2 * MIB))
    with path.open("r+b") as stream:
        hasher = make_hasher("blake3")
        store_hole(stream.fileno(), 10, MIB, hasher)
        expected = make_hasher("blake3")
        expected.update(bytes(MIB))
        assert hasher.digest() == expected.digest()
    assert path.read_bytes() == b"a" * 10 + bytes(MIB) + b"a" * (MIB - 10)
    with path.open("r+b") as stream:
        store_hole(stream.fileno(), 2 * MIB - 5, 10, make_hasher("md5"))
    assert path.read_bytes()[-15:] == b"a" * 5 + bytes(10)


@pytest.mark.parametrize("end", [MIB // 2, MIB, 5 * MIB, 5 * MIB + 3, 6 * MIB])
def test_prefixes_of_sparse_files(tmp_path, end):
    """The digest of just these bytes, holes in them or not; fewer than that is an error."""
    path = make(tmp_path / "f", 6 * MIB, (MIB, b"x" * 4096), (5 * MIB, b"yes"))
    with path.open("rb") as stream:
        expected = make_hasher("blake3")
        expected.update(stream.read(end))
        hasher = make_hasher("blake3")
        hash_range(stream.fileno(), 0, end // 3, hasher)
        hash_range(stream.fileno(), end // 3, end, hasher)
        assert hasher.digest() == expected.digest()
        with pytest.raises(SourceChanged):
            hash_range(stream.fileno(), 0, 6 * MIB + 1, hasher)


@pytest.mark.parametrize("name", ["blake3", "sha256", "md5"])
@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, MIB - 1])
def test_hashing_zeros(name, size):
    """As if they had been there."""
    one, other = make_hasher(name), make_hasher(name)
    hash_zeros(one, size)
    other.update(bytes(size))
    assert one.digest() == other.digest()
    assert bytes(zeros(min(size, 5))) == bytes(min(size, 5))
