"""zstd: only what shrinks is packed, digests are those of the content, and no bomb goes off."""

import os
import random
import tracemalloc

import attrs
import pytest
from xfer_pipes import ALICE, local_net
from xfer_raw import Raw

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.interfaces import Account
from twisted_xfer.protocols.xfer import client, server
from twisted_xfer.protocols.xfer.content import SEGMENT, make_hasher
from twisted_xfer.protocols.xfer.incoming import weight
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.packing import LEAST, library, pack, pays, unpack
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    HEADER,
    MAX_INLINE,
    MAX_PACKED,
    PREAMBLE,
    FrameReader,
    FrameType,
    Packed,
    encode_packed,
)
from twisted_xfer.protocols.xfer.wire.link import FEATURES, PACKED_SMALL
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.testing.wires import drive_three_ways

MIB = 1024 * 1024
zstd = library()
PACKING = attrs.evolve(ALICE, compress="on")
TEXT = b"".join(b"line %d of a text that shrinks\n" % number for number in range(150_000))


@pytest.fixture
def home(tmp_path, net):
    return tmp_path / "root/alice"


@pytest.mark.parametrize(
    ("name", "content", "least", "most"),
    [
        ("text", TEXT, 1, len(TEXT) // 4),
        ("random", os.urandom(3 * MIB), 3 * MIB, 3 * MIB),
        ("random then text", os.urandom(SEGMENT) + TEXT, SEGMENT, SEGMENT + len(TEXT) // 4),
        ("text then random", TEXT[:MIB] + os.urandom(2 * MIB), 2 * MIB, 2 * MIB + MIB // 2),
    ],
)
def test_what_shrinks_is_packed_both_ways(net, home, tmp_path, name, content, least, most):
    """The line carries what is left; content, size and digest are those of the source."""
    (tmp_path / "f").write_bytes(content)
    summary = net.send([tmp_path / "f"], login=PACKING)
    assert (summary.files, summary.failed, summary.verified) == (1, 0, len(content))
    assert least <= summary.moved <= most
    assert net.lines[-1].carried < most + 65536
    assert (home / "f").read_bytes() == content
    hasher = make_hasher("blake3")
    hasher.update(content)
    assert summary.digest == hasher.digest()
    (tmp_path / "back").mkdir()
    back = net.get(b"f", tmp_path / "back", login=PACKING)
    assert (tmp_path / "back/f").read_bytes() == content
    assert least <= back.moved <= most
    assert net.lines[-1].listener.written < most + 65536


@pytest.mark.parametrize("compress", ["auto", "off"])
def test_not_within_a_machine_unless_asked(net, tmp_path, compress):
    """Packing pays where the line is slow; here there is none."""
    (tmp_path / "f").write_bytes(TEXT)
    assert net.send([tmp_path / "f"], login=attrs.evolve(ALICE, compress=compress)).moved == len(TEXT)


def test_a_listener_may_refuse(tmp_path):
    """Then content goes as it is."""
    (tmp_path / "f").write_bytes(TEXT)
    net = local_net(tmp_path / "root", XferOptions(compress=False))
    assert net.send([tmp_path / "f"], login=PACKING).moved == len(TEXT)
    net.close_clean()


def small_files(tmp_path):
    """A tree of files that go INLINE, by size of content and whether that shrinks."""
    top = tmp_path / "tree"
    top.mkdir()
    rng = random.Random(2)
    for size in (0, 1, LEAST - 1, LEAST, LEAST + 1, MAX_INLINE - 1, MAX_INLINE):
        (top / f"text{size}").write_bytes(TEXT[:size])
        (top / f"noise{size}").write_bytes(rng.randbytes(size))
    return top


def test_small_files_are_packed_both_ways(net, home, tmp_path):
    """Those that shrink, from LEAST bytes on; DONE and digests are of the content."""
    top = small_files(tmp_path)
    total = sum(path.stat().st_size for path in top.iterdir())
    shrink = LEAST + (LEAST + 1) + (MAX_INLINE - 1) + MAX_INLINE
    summary = net.send([top], login=PACKING)
    assert (summary.files, summary.failed, summary.verified) == (14, 0, total)
    assert total - shrink < summary.moved < total - shrink // 2
    assert net.lines[-1].carried < summary.moved + 14 * 512
    (tmp_path / "back").mkdir()
    back = net.get(b"tree", tmp_path / "back", login=PACKING)
    assert (back.files, back.moved) == (14, summary.moved)
    assert net.lines[-1].listener.written < summary.moved + 14 * 512
    for path in top.iterdir():
        assert (home / "tree" / path.name).read_bytes() == path.read_bytes()
        assert (tmp_path / "back/tree" / path.name).read_bytes() == path.read_bytes()


def test_small_files_go_as_they_are_to_who_knows_no_better(net, tmp_path, monkeypatch):
    """Without the feature, whatever SELECT says."""
    monkeypatch.setattr(server, "FEATURES", tuple(set(FEATURES) - {PACKED_SMALL}))
    (tmp_path / "f").write_bytes(TEXT[:MAX_INLINE])
    summary = net.send([tmp_path / "f"], login=PACKING)
    assert (summary.files, summary.moved) == (1, MAX_INLINE)


def test_a_flipped_bit_in_a_small_packed_file(tmp_path):
    """The receiver publishes nothing of it, and it comes again."""
    content = random.Random(1).randbytes(30_000).hex().encode()
    (tmp_path / "f").write_bytes(content)
    net = local_net(tmp_path / "root")
    net.plan.append({"flip_at": 20_000})
    summary = net.send([tmp_path / "f"], login=PACKING)
    assert (summary.files, summary.failed, len(net.lines)) == (1, 0, 2)
    assert (tmp_path / "root/alice/f").read_bytes() == content
    net.close_clean()


@pytest.mark.parametrize(
    ("announced", "said", "error"),
    [
        (5000, 5000, ""),
        (5000, 5001, "protocol"),
        (5000, 4999, "protocol"),
        (MAX_INLINE, MAX_INLINE, ""),
        (MAX_INLINE + 1, MAX_INLINE + 1, "protocol"),
    ],
)
def test_the_size_of_a_small_packed_file(net, home, announced, said, error):
    """It is that of the entry, and no more than INLINE may have."""
    content = TEXT[:said]
    hasher = make_hasher("blake3")
    hasher.update(content)
    peer = packing_peer(net)
    entry = m.Entry(stream=1, path=b"f", size=announced, inline=True, digest=hasher.digest())
    peer.say(entry, encode_packed(1, said, zstd.compress(content)))
    told = peer.heard()
    if error:
        assert [one.name for one in told] == [error]
        assert peer.gone
        assert not (home / "f").exists()
    else:
        assert [type(one) for one in told] == [m.Done]
        assert (home / "f").read_bytes() == content
        # There is one, and nothing behind it.
        peer.say(encode_packed(1, said, zstd.compress(content)))
        assert peer.errors() == ["protocol"]


def test_a_stream_is_packed_too(net, home, tmp_path):
    """Of unknown length: piece by piece, those that do not shrink as they are."""
    content = TEXT[: 2 * MIB] + os.urandom(MIB) + TEXT
    (tmp_path / "f").write_bytes(content)
    with (tmp_path / "f").open("rb") as stream:
        started = client.send_stream(
            net.host.clock, stream.fileno(), b"in", client.Target("m"), PACKING, net.work()
        )
        summary = net.run(started)
    assert (summary.files, summary.verified) == (1, len(content))
    assert MIB < summary.moved < len(content) - MIB
    assert (home / "in").read_bytes() == content


def test_a_cut_and_a_flipped_bit(tmp_path):
    """Packed content is resumed and mended like any other."""
    content = random.Random(1).randbytes(2 * MIB).hex().encode()
    (tmp_path / "f").write_bytes(content)
    for plan in ({"cut_after": 1_500_000}, {"flip_at": 1_000_000}):
        net = local_net(tmp_path / next(iter(plan)))
        net.plan.append(plan)
        summary = net.send([tmp_path / "f"], login=PACKING)
        assert (summary.files, summary.failed, len(net.lines)) == (1, 0, 2)
        assert (tmp_path / next(iter(plan)) / "alice/f").read_bytes() == content
        net.close_clean()


def test_quota_counts_what_is_unpacked(tmp_path):
    """To the byte, however little came."""
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", quota_bytes=2 * MIB)})
    net.host.login._portal.realm._ledger = MemoryLedger()
    (tmp_path / "f").write_bytes(TEXT)
    assert [error.name for _, error in net.send([tmp_path / "f"], login=PACKING).failures] == ["quota"]
    with (tmp_path / "f").open("rb") as stream:
        started = client.send_stream(
            net.host.clock, stream.fileno(), b"in", client.Target("m"), PACKING, net.work()
        )
        assert [error.name for _, error in net.run(started).failures] == ["quota"]
    assert not list((tmp_path / "root/alice").iterdir())
    net.close_clean()


# --- hostile -----------------------------------------------------------------------------------------


def packing_peer(net):
    """A raw sender that has chosen zstd."""
    peer = Raw(net)
    hello = m.Hello(nonce=bytes(16), role="send", compressions=("zstd", "none"))
    peer.say(PREAMBLE, hello)
    listener, select = peer.heard()
    assert select.compression == "zstd"
    digest = hello_digest([hello.payload(), listener.payload()])
    peer.say(m.Auth(mechanism="PLAIN", username="alice", password="secret", hello_digest=digest))
    peer.heard()
    return peer


def frame(stream, size, data):
    return HEADER.pack(FrameType.PACKED, 0, 0, stream, 4 + len(data)) + size.to_bytes(4, "big") + data


GOOD = zstd.compress(TEXT[:MIB], level=3)
_WIDE = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
WIDE = _WIDE.compress(TEXT[:11_000], _WIDE.FLUSH_BLOCK) + _WIDE.flush()
BOMB = zstd.compress(bytes(512 * MIB), level=3)


@pytest.mark.parametrize(
    "packed",
    [BOMB, GOOD[:-5], GOOD + b"more", GOOD + GOOD, b"no zstd at all",
     zstd.compress(TEXT[: MIB - 1]), zstd.compress(TEXT[:MIB] + b"x")],
)  # fmt: skip
def test_what_is_not_what_it_says(net, home, packed):
    """A bomb, cut, followed, damaged, of another size: the entry fails, nothing is published, little is allocated."""
    peer = packing_peer(net)
    peer.say(m.Entry(stream=1, path=b"a", size=8 * MIB))
    peer.heard()
    tracemalloc.start()
    try:
        peer.say(frame(1, MIB, packed))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8 * MIB
    assert peer.errors() == ["digest_mismatch"]
    assert not peer.gone
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    "say",
    [
        [frame(1, MAX_PACKED + 1, GOOD)],
        [frame(1, len(GOOD), GOOD)],
        [frame(1, len(GOOD) + 4, GOOD)],
        [frame(0, MIB, GOOD)],
        [frame(1, 5, b"")],
        [HEADER.pack(FrameType.PACKED, 0, 0, 1, MAX_PACKED + 1)],
        [HEADER.pack(FrameType.PACKED, 0, 0, 1, 3) + b"abc"],
        [frame(2, MIB, GOOD)],
        [frame(1, MIB, GOOD), frame(1, MIB, GOOD), frame(1, MIB, GOOD)],
    ],
)
def test_frames_that_may_not_be(net, say):
    """Out of bounds, of nothing, beyond the announced size: the connection ends."""
    peer = packing_peer(net)
    peer.say(m.Entry(stream=1, path=b"a", size=2 * MIB))
    peer.heard()
    peer.say(*say)
    assert peer.errors() == ["protocol"]
    assert peer.gone


def test_packed_without_being_chosen(net):
    """Who has chosen none may not pack."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"a", size=2 * MIB))
    peer.heard()
    peer.say(frame(1, MIB, GOOD))
    assert peer.errors() == ["protocol"]


# --- the parts ---------------------------------------------------------------------------------------


def test_pack_and_unpack(tmp_path):
    """There and back at the limits; what does not shrink by a tenth is not packed."""
    for size in (LEAST, MIB - 1, MIB):
        data = TEXT[:size]
        assert unpack(pack(data), size) == data
    assert pack(TEXT[: LEAST - 1]) is None
    assert pack(os.urandom(MIB)) is None
    assert unpack(GOOD, MIB) == TEXT[:MIB]
    for wrong in (MIB - 1, MIB + 1, 0, 1):
        assert unpack(GOOD, wrong) is None
    # A window that is larger than any content of ours is refused before it is allocated.
    assert unpack(WIDE, 11_000) is None
    (tmp_path / "f").write_bytes(TEXT[:MIB] + os.urandom(MIB))
    with (tmp_path / "f").open("rb") as stream:
        assert pays(stream.fileno(), 0)
        assert not pays(stream.fileno(), MIB)
        assert not pays(stream.fileno(), 2 * MIB)


def reader():
    made = FrameReader(65536)
    made.raw = True
    return made


def test_the_frame():
    """Size and zstd frame behind a header, whole however it comes; never longer than its content."""
    data = pack(TEXT[:MIB])
    raw = encode_packed(7, MIB, data)
    assert raw == frame(7, MIB, data)
    assert drive_three_ways(reader, "next_frame", raw) == [Packed(7, MIB, data)]
    assert weight(Packed(7, MIB, data)) == MIB
    for size in (len(data) + 4, MAX_PACKED + 1):
        with pytest.raises(LocalProtocolError):
            encode_packed(7, size, data)
