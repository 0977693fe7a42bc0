"""Bandwidth limits of an account hold for xfer as for every protocol."""

import random
from itertools import pairwise

import attrs
import pytest
from xfer_pipes import ALICE, local_net

from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.content import CHUNK
from twisted_xfer.protocols.xfer.pacing import LEAST_PIECE, Pieces
from twisted_xfer.storage.local import LocalStorage

PACKING = attrs.evolve(ALICE, compress="on")

RATE = 100_000


class Bucket:
    """So many bytes a second of a clock."""

    def __init__(self, clock, rate=RATE):
        self.clock, self.rate = clock, rate
        self.taken = 0

    def take(self, wanted):
        allowed = min(wanted, int(self.clock.seconds() * self.rate) + self.rate - self.taken)
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


def get_limited(net, into, bucket, on_event):
    storage = LocalStorage(str(into))
    target, work = client.Target("memory", path=b"file"), net.work(limiter=bucket)
    return net.run(client.get(net.host.clock, target, ALICE, storage, work=work, on_event=on_event))


def test_a_slow_receiver_is_no_stalled_one(tmp_path):
    """What has come and is held back for the limit moves: the sender hears of it, however long it takes."""
    net = local_net(tmp_path / "root")
    (tmp_path / "root/alice/file").write_bytes(random.Random(1).randbytes(900_000))
    (tmp_path / "into").mkdir()
    bucket, seen = Bucket(net.host.clock, 5_000), []
    begun = net.host.clock.seconds()
    summary = get_limited(net, tmp_path / "into", bucket, lambda event: seen.append(event.kind))
    assert (summary.files, summary.failed, "reconnecting" in seen) == (1, 0, False)
    assert net.host.clock.seconds() - begun > net.host.timeouts.stall
    net.close_clean()


def test_a_connection_that_is_gone_is_not_waited_for(tmp_path):
    """What it held is let go of at once, and the next one goes on with it."""
    net = local_net(tmp_path / "root")
    (tmp_path / "root/alice/file").write_bytes(random.Random(1).randbytes(900_000))
    (tmp_path / "into").mkdir()
    bucket, seen = Bucket(net.host.clock, 5_000), []
    net.host.clock.callLater(20, lambda: net.lines[0].cut())
    summary = get_limited(net, tmp_path / "into", bucket, seen.append)
    assert (summary.files, summary.failed) == (1, 0)
    assert [event.kind for event in seen].count("reconnecting") == 1
    assert max(event.resumed for event in seen) > 0
    net.close_clean()
