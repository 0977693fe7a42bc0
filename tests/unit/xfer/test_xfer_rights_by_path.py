"""Modes and times of what is sent, where an account may not set them everywhere, or not of everything."""

import os

import pytest
from blake3 import blake3
from xfer_pipes import local_net
from xfer_raw import Raw

from twisted_xfer.interfaces import ALL_RIGHTS, Account, Right
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import FrameType, encode_frame

CONTENT = b"content"
OLD = 10**18
KEPT_BACK = {Right.CHMOD, Right.UTIME}


def small(number, path):
    entry = m.Entry(
        stream=number, path=path, size=len(CONTENT), inline=True, digest=blake3(CONTENT).digest(),
        mode=0o711, mtime_ns=OLD,
    )  # fmt: skip
    return entry.encode() + encode_frame(FrameType.INLINE, number, CONTENT)


@pytest.mark.parametrize(
    ("base", "inside"), [(ALL_RIGHTS, ALL_RIGHTS - KEPT_BACK), (ALL_RIGHTS - KEPT_BACK, ALL_RIGHTS)]
)
def test_mode_and_time_take_their_rights_where_the_file_is(tmp_path, base, inside):
    """Files at once, files the long way, and directories: each as MFMT and SITE CHMOD would have it."""
    account = Account("alice", rights=base, path_rights=(("/drop/**", inside),))
    net = local_net(tmp_path, accounts={"alice": account})
    peer = Raw(net).log_in()
    peer.heard()
    folder = m.Entry(stream=5, path=b"drop", type="dir", mode=0o711, mtime_ns=OLD)
    peer.say(b"".join(small(i, b"drop/file%d" % i) for i in range(1, 5)) + folder.encode())
    peer.say(small(6, b"file6") + small(7, b"file7") + m.EndOfOffer(entries=7).encode())
    assert sorted(type(one).__name__ for one in peer.heard()) == ["Done"] * 7

    def has_its_own(*path):
        status = os.stat(tmp_path.joinpath("alice", *path))
        return (status.st_mode & 0o777 == 0o711, status.st_mtime_ns == OLD)

    there = (inside == ALL_RIGHTS,) * 2
    assert [has_its_own("drop", f"file{i}") for i in range(1, 5)] == [there] * 4
    assert has_its_own("drop") == there
    assert [has_its_own(f"file{i}") for i in (6, 7)] == [(base == ALL_RIGHTS,) * 2] * 2
    net.close_clean()


@pytest.mark.parametrize(("rights", "mode"), [(ALL_RIGHTS, 0o755), (ALL_RIGHTS - {Right.OVERWRITE}, 0o700)])
def test_who_may_replace_nothing_opens_no_directory_that_was_there(tmp_path, rights, mode):
    """A sender who stores new files only does not make a private directory public; its own it may."""
    net = local_net(tmp_path, accounts={"alice": Account("alice", rights=rights)})
    old, fresh = tmp_path / "alice" / "old", tmp_path / "alice" / "new"
    old.mkdir(mode=0o700)
    peer = Raw(net).log_in()
    peer.heard()
    for number, name in ((1, b"old"), (2, b"new")):
        peer.say(m.Entry(stream=number, path=name, type="dir", mode=0o755))
    assert [type(one).__name__ for one in peer.heard()] == ["Done", "Done"]
    assert old.stat().st_mode & 0o777 == mode
    assert fresh.stat().st_mode & 0o777 == 0o755
    peer.say(m.EndOfOffer(entries=2))
    net.close_clean()
