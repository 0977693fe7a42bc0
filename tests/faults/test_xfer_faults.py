"""The line is cut anywhere, a bit is flipped, the source changes: never a wrong file, always a way on."""

import os
from pathlib import Path

import pytest
from xfer_pipes import ALICE, Line, local_net

from twisted_xfer.errors import DigestMismatch
from twisted_xfer.protocols.xfer.content import SEGMENT
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.wire.frames import HEADER, PREAMBLE

BIG = 300_000


def make_tree(root: Path) -> dict[str, bytes]:
    """A file in one frame, one that rides in its offer, one that is empty, and one below."""
    content = {
        "tree/big": bytes(range(256)) * (BIG // 256),
        "tree/small": b"small",
        "tree/empty": b"",
        "tree/below/deep": b"x" * 70_000,
    }
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return content


def published(home: Path) -> dict[str, bytes]:
    """Every file under its final name."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith(".xpart")
    }


def boundaries(raw: bytes) -> list[int]:
    """Where frames begin and end in what a caller sent."""
    at, found = len(PREAMBLE), [len(PREAMBLE)]
    while at + HEADER.size <= len(raw):
        at += HEADER.size + HEADER.unpack_from(raw, at)[4]
        found.append(at)
    return found


def record(monkeypatch, tmp_path: Path) -> bytes:
    """All bytes of one whole upload, caller to listener."""
    net = local_net(tmp_path / "record")
    pieces: list[bytes] = []
    whole = Line._carry

    def carry(line, source, sink, *, forth):
        before = bytes(source.out[: line.chunk]) if forth and not sink.paused and sink.connected else b""
        moved = whole(line, source, sink, forth=forth)
        if moved and before:
            pieces.append(before)
        return moved

    monkeypatch.setattr(Line, "_carry", carry)
    assert net.send([tmp_path / "tree"]).files == 4
    monkeypatch.undo()
    net.close_clean()
    return b"".join(pieces)


def test_cut_at_every_frame_boundary(tmp_path, monkeypatch):
    """Wherever the line is cut, what is published is right, and the same command again brings the rest."""
    content = make_tree(tmp_path)
    raw = record(monkeypatch, tmp_path)
    points = sorted({at + step for at in boundaries(raw) for step in (-1, 0, 1)} & set(range(1, len(raw))))
    assert len(points) > 20
    for number, at in enumerate(points):
        net = local_net(tmp_path / f"cut{number}")
        home = tmp_path / f"cut{number}" / "alice"
        net.plan.append({"cut_after": at})
        error = net.send([tmp_path / "tree"], retries=0)
        assert isinstance(error, Exception), at
        there = published(home)
        assert all(content[name] == data for name, data in there.items()), at
        summary = net.send([tmp_path / "tree"])
        assert summary.failed == 0, at
        assert published(home) == content, at
        assert not list(home.rglob("*.xpart")), at
        net.close_clean()


@pytest.mark.parametrize("at", [50_000, 123_457, 299_000])
def test_reconnection_goes_on_where_it_was(tmp_path, at):
    """A cut line is dialled again by itself, and what was stored is not sent twice."""
    (tmp_path / "big").write_bytes(os.urandom(BIG))
    net = local_net(tmp_path / "root")
    net.plan.append({"cut_after": at})
    seen = []
    summary = net.send([tmp_path / "big"], on_event=seen.append)
    assert (summary.files, summary.failed, len(net.lines)) == (1, 0, 2)
    (done,) = [event for event in seen if event.kind == "done"]
    assert 0 < done.resumed < at
    assert [event.kind for event in seen].count("reconnecting") == 1
    assert (tmp_path / "root/alice/big").read_bytes() == (tmp_path / "big").read_bytes()
    net.close_clean()


def test_a_changed_source_is_never_spliced(tmp_path):
    """A part of an older version is dropped, however much of it there is."""
    source = tmp_path / "big"
    source.write_bytes(b"a" * BIG)
    net = local_net(tmp_path / "root")
    net.plan.append({"cut_after": 200_000})
    net.send([source], retries=0)
    source.write_bytes(b"b" * BIG)
    summary = net.send([source])
    assert summary.moved == BIG
    assert (tmp_path / "root/alice/big").read_bytes() == b"b" * BIG


def test_a_part_that_rotted_is_not_gone_on_with(tmp_path):
    """The prefix is proved by reading the disk: another byte in the part, and all is sent again."""
    source = tmp_path / "big"
    source.write_bytes(os.urandom(BIG))
    net = local_net(tmp_path / "root")
    net.plan.append({"cut_after": 200_000})
    net.send([source], retries=0)
    (part,) = (tmp_path / "root/alice").glob(".*.xpart")
    with part.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(bytes([first[0] ^ 1]))
    summary = net.send([source])
    assert (summary.files, summary.moved) == (1, BIG)
    assert (tmp_path / "root/alice/big").read_bytes() == source.read_bytes()
    net.close_clean()


def test_a_same_sized_source_with_a_set_back_time_is_not_spliced(tmp_path):
    """Even with size and time of the older version the prefix tells them apart."""
    source = tmp_path / "big"
    source.write_bytes(b"a" * BIG)
    status = source.stat()
    net = local_net(tmp_path / "root")
    net.plan.append({"cut_after": 200_000})
    net.send([source], retries=0)
    source.write_bytes(b"b" * BIG)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert net.send([source]).moved == BIG
    assert (tmp_path / "root/alice/big").read_bytes() == b"b" * BIG


@pytest.mark.parametrize("at", [20_000, 250_000])
def test_a_flipped_bit_is_found(tmp_path, at):
    """One wrong bit in the content: the entry fails, nothing is published, the next try is whole."""
    source = tmp_path / "big"
    source.write_bytes(bytes(BIG))
    net = local_net(tmp_path / "root")
    net.plan.append({"flip_at": at})
    summary = net.send([source], retries=0)
    assert [error.name for _, error in summary.failures] == ["digest_mismatch"]
    assert published(tmp_path / "root/alice") == {}
    assert net.send([source]).files == 1
    net.close_clean()


def test_a_flipped_bit_mends_itself(tmp_path):
    """By default the damaged rest is sent again over a new connection."""
    source = tmp_path / "big"
    source.write_bytes(os.urandom(BIG))
    net = local_net(tmp_path / "root")
    net.plan.append({"flip_at": 250_000})
    summary = net.send([source])
    assert (summary.files, summary.failed, len(net.lines)) == (1, 0, 2)
    assert (tmp_path / "root/alice/big").read_bytes() == source.read_bytes()
    net.close_clean()


def test_a_line_that_always_flips_is_given_up(tmp_path):
    """Three new connections, then it is a failure of integrity."""
    source = tmp_path / "big"
    source.write_bytes(bytes(BIG))
    net = local_net(tmp_path / "root")
    net.plan.extend([{"flip_at": 250_000}] * 9)
    summary = net.send([source])
    assert [error.name for _, error in summary.failures] == ["digest_mismatch"]
    assert len(net.lines) == 4
    assert published(tmp_path / "root/alice") == {}
    net.close_clean()


def test_a_flipped_bit_costs_one_segment(tmp_path):
    """What came before the damaged segment is kept, and proved again when the sender comes back."""
    source = tmp_path / "huge"
    with source.open("wb") as stream:
        stream.write(bytes(2 * SEGMENT + 1000))
    net = local_net(tmp_path / "root")
    net.plan.append({"flip_at": SEGMENT + 500_000})
    summary = net.send([source], retries=0)
    assert [error.name for _, error in summary.failures] == ["digest_mismatch"]
    (part,) = (tmp_path / "root/alice").glob(".*.xpart")
    assert part.stat().st_size == SEGMENT
    summary = net.send([source])
    assert (summary.files, summary.moved) == (1, SEGMENT + 1000)
    net.close_clean()


def test_a_source_that_changes_while_it_is_sent(tmp_path):
    """The receiver publishes nothing of a file that was written to meanwhile."""
    source = tmp_path / "big"
    source.write_bytes(bytes(BIG))
    net = local_net(tmp_path / "root")

    def touch(event):
        if event.kind == "progress":
            with source.open("ab") as stream:
                stream.write(b"more")

    summary = net.send([source], on_event=touch, retries=0)
    assert [error.name for _, error in summary.failures] == ["source_changed"]
    assert published(tmp_path / "root/alice") == {}
    net.close_clean()


def test_a_receiver_that_lies_is_not_believed(tmp_path, monkeypatch):
    """DONE with another digest is a failure of integrity, not a success."""
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole
    from twisted_xfer.protocols.xfer.wire.messages import Done

    source = tmp_path / "small"
    source.write_bytes(b"abc")
    honest = ReceiverRole._answer

    def lie(role, message):
        honest(role, Done(stream=message.stream, digest=bytes(32)) if isinstance(message, Done) else message)

    monkeypatch.setattr(ReceiverRole, "_answer", lie)
    summary = local_net(tmp_path / "root").send([source])
    assert summary.files == 0
    assert isinstance(summary.failures[0][1], DigestMismatch)


def test_a_cut_download_goes_on(tmp_path):
    """The same for get: the part lies on the caller's side, and its prefix is proved."""
    net = local_net(tmp_path / "root")
    data = os.urandom(BIG)
    (tmp_path / "root/alice/big").write_bytes(data)
    into = tmp_path / "into"
    into.mkdir()

    def carry_back(line, limit=150_000):
        carried = 0

        def turn():
            nonlocal carried
            before = len(line.listener.out)
            moved = Line.turn(line)
            carried += max(0, before - len(line.listener.out))
            if carried >= limit:
                line.cut()
            return moved

        return turn

    original = net.connect

    def connect(factory):
        made = original(factory)
        if len(net.lines) == 1:
            net.lines[0] = Turned(net.lines[0], carry_back(net.lines[0]))
        return made

    net.connect = connect
    summary = net.get(b"big", into)
    assert (summary.files, len(net.lines)) == (1, 2)
    assert summary.moved < BIG
    assert (into / "big").read_bytes() == data
    net.close_clean()


class Turned:
    """A line with another way to turn."""

    def __init__(self, line, turn):
        self.line, self.turn = line, turn

    def cut(self):
        self.line.cut()


def test_a_peer_that_falls_silent_is_given_up(tmp_path):
    """Pings go unanswered: both ends give up, and the part stays."""
    source = tmp_path / "big"
    source.write_bytes(bytes(BIG))
    net = local_net(tmp_path / "root")
    from twisted_xfer.protocols.xfer import client

    got = []
    client.send(
        net.host.clock, [os.fsencode(source)], client.Target("memory"), ALICE, net.work(retries=0)
    ).addBoth(got.append)
    net.pump(lambda: net.lines[0].carried > 100_000)
    for _ in range(70):
        net.host.clock.advance(1)
    net.lines[0].cut()
    assert got[0].value.code in {"timeout", "connection_lost"}
    assert list((tmp_path / "root/alice").glob(".*.xpart"))
    net.close_clean()


def test_no_space_is_told_and_the_next_entry_goes_on(tmp_path, monkeypatch):
    """A full disk fails the one entry; the connection and the other entries live."""
    import errno

    from twisted_xfer.protocols.xfer import content

    (tmp_path / "t").mkdir()
    (tmp_path / "t/a").write_bytes(bytes(BIG))
    (tmp_path / "t/b").write_bytes(b"b")

    def full(fd, data, offset):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(content.os, "pwritev", full)
    net = local_net(tmp_path / "root")
    summary = net.send([tmp_path / "t"], retries=0)
    assert [(path, error.name) for path, error in summary.failures] == [(b"t/a", "no_space")]
    assert isinstance(summary.failures[0][1], PeerError)
    assert published(tmp_path / "root/alice") == {"t/b": b"b"}
    net.close_clean()
