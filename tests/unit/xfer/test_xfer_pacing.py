"""Bandwidth limits of an account hold for xfer as for every protocol."""

import pytest
from xfer_pipes import local_net

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
