"""Bandwidth limits of an account hold for xfer as for every protocol."""

import random
from itertools import pairwise

import attrs
import pytest
from xfer_pipes import ALICE, local_net

from twisted_xfer.protocols.xfer.content import CHUNK
from twisted_xfer.protocols.xfer.pacing import LEAST_PIECE, Pieces

PACKING = attrs.evolve(ALICE, compress="on")

RATE = 100_000


class Bucket:
    """So many bytes a second of a clock."""

    def __init__(self, clock):
        self.clock = clock
        self.taken = 0

    def take(self, wanted):
        allowed = min(wanted, int(self.clock.seconds() * RATE) + RATE - self.taken)
        self.taken += max(0, allowed)
        return max(0, allowed)

    def give_back(self, unused):
        self.taken -= unused

    def delay(self):
        return 0.5


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(("files", "size"), [(1, 1_000_000), (20, 50_000)])
def test_a_limit_holds(tmp_path, monkeypatch, way, files, size):
    """A million bytes at a tenth of that a second take nine seconds, in one file or in many."""
    from twisted_xfer.accounts.avatar import Avatar

    net = local_net(tmp_path / "root")
    bucket = Bucket(net.host.clock)
    real = Avatar.__init__

    def limited(avatar, *args, **kwargs):
        kwargs["upload_limiter" if way == "up" else "download_limiter"] = bucket
        real(avatar, *args, **kwargs)

    monkeypatch.setattr(Avatar, "__init__", limited)
    tree = tmp_path / "t" if way == "up" else tmp_path / "root/alice/t"
    tree.mkdir(parents=True)
    for number in range(files):
        (tree / f"{number}").write_bytes(bytes(size))
    (tmp_path / "into").mkdir()
    started = net.host.clock.seconds()
    summary = net.send([tree]) if way == "up" else net.get(b"t", tmp_path / "into")
    assert (summary.files, summary.failed) == (files, 0)
    assert bucket.taken == 1_000_000
    assert 8.5 <= net.host.clock.seconds() - started <= 12
    net.close_clean()


@pytest.mark.parametrize("login", [None, PACKING], ids=["as-is", "packed"])
def test_a_limit_leaves_no_long_silence(tmp_path, login):
    """Pieces are of a second or so: a listener would take more for a sender that does not move."""
    net = local_net(tmp_path / "root")
    (tmp_path / "file").write_bytes(random.Random(1).randbytes(3_000_000))
    bucket, met = Bucket(net.host.clock), []

    def note(event):
        if event.kind in {"started", "progress"}:
            met.append((net.host.clock.seconds(), event.position))

    summary = net.send([tmp_path / "file"], limiter=bucket, on_event=note, login=login)
    assert (summary.files, bucket.taken) == (1, 3_000_000)
    # The last one comes when the burst that begins it is over.
    assert max(later - before for (before, _), (later, _) in pairwise(met)) <= 2
    assert 28 <= met[-1][0] - met[0][0] <= 31
    # Nor does it come in crumbs.
    assert len(met) < 150
    net.close_clean()


def test_without_a_wait_pieces_grow():
    """A limit that is never met costs nothing; one that is met at once goes down to the least."""
    pieces = Pieces()
    for _ in range(20):
        pieces.waited(0.0)
    assert pieces.most == CHUNK
    for _ in range(20):
        pieces.waited(0.5)
    assert pieces.most == CHUNK
    for _ in range(20):
        pieces.waited(1.5)
    assert pieces.most == LEAST_PIECE
