"""Trees with holes, links, times and compressed content, cut anywhere: the same command again makes them whole."""

import os
import random

import attrs
import pytest
from xfer_pipes import ALICE, local_net

from twisted_xfer.protocols.xfer.content import SEGMENT, make_hasher
from twisted_xfer.protocols.xfer.options import XferOptions

MIB = 1024 * 1024
OLD = 10**18 + 123_456_789
INSIDE = XferOptions(links="inside")
PACKING = attrs.evolve(ALICE, compress="on")
#: Odd, so that cuts fall before, into and behind headers as they come.
STRIDE = 9_973


@pytest.fixture
def tree(tmp_path):
    """A little of everything; what is no hole is a few hundred kilobytes on the line."""
    some = random.Random(5)
    top = tmp_path / "tree"
    (top / "d/empty").mkdir(parents=True)
    with (top / "d/sparse").open("wb") as stream:
        stream.write(some.randbytes(50_000))
        stream.seek(SEGMENT + 3 * MIB)
        stream.write(some.randbytes(50_000))
        stream.truncate(SEGMENT + 5 * MIB)
    (top / "d/text").write_bytes(some.randbytes(60_000).hex().encode() * 20)
    (top / "random").write_bytes(some.randbytes(300_000))
    (top / "small").write_bytes(b"small")
    (top / "link").symlink_to("d/text")
    for path in [*top.rglob("*"), top]:
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    return top


def digest_of(path):
    hasher = make_hasher("blake3")
    hasher.update(path.read_bytes())
    return hasher.digest()


def blocks(path):
    return path.stat().st_blocks * 512


def picture(top):
    """What a tree is, content by digest; parts are not there."""
    found = {}
    for path in [top, *top.rglob("*")]:
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = "directory"
        elif not name.endswith(".xpart"):
            found[name] = digest_of(path)
    return found


def test_cut_anywhere(tmp_path, tree):
    """What is published is right after each cut; then all of it is, with its times and its holes."""
    whole = picture(tree)
    has_holes = blocks(tree / "d/sparse") < 2 * MIB
    net = local_net(tmp_path / "whole", INSIDE)
    assert net.send([tree], login=PACKING).failed == 0
    carried = net.lines[0].carried
    net.close_clean()
    assert carried < 700_000
    for at in range(500, carried, STRIDE):
        net = local_net(tmp_path / f"cut{at}", INSIDE)
        stored = tmp_path / f"cut{at}/alice/tree"
        net.plan.append({"cut_after": at})
        assert isinstance(net.send([tree], login=PACKING, retries=0), Exception), at
        if stored.exists():
            there = picture(stored)
            assert there.items() <= whole.items(), at
        summary = net.send([tree], login=PACKING)
        assert summary.failed == 0, at
        assert picture(stored) == whole, at
        assert not list(stored.rglob("*.xpart")), at
        for path in [stored, *stored.rglob("*")]:
            assert path.lstat().st_mtime_ns == OLD, (at, path)
        if has_holes:
            assert blocks(stored / "d/sparse") < 2 * MIB, at
        net.close_clean()
