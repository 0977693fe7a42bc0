"""Symbolic links: by policy, and whatever a sender tries with them, nothing leaves the root."""

import os

import pytest
from xfer_pipes import Net, local_net
from xfer_raw import Raw

from twisted_xfer.interfaces import Account, Right
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.testing.host import MemoryHost

OLD = 1_000_000_000_123_456_789
INSIDE = XferOptions(links="inside")


@pytest.fixture
def net(tmp_path):
    (tmp_path / "outside").write_bytes(b"outside")
    made = local_net(tmp_path / "root", INSIDE)
    yield made
    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert sorted(path.name for path in tmp_path.iterdir()) in (
        ["outside", "root"],
        ["back", "outside", "root", "t"],
        ["outside", "root", "t"],
    )
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["alice"]
    made.close_clean()


@pytest.fixture
def home(tmp_path, net):
    return tmp_path / "root/alice"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "t/d").mkdir(parents=True)
    (tmp_path / "t/d/f").write_bytes(b"f")
    (tmp_path / "t/link").symlink_to("d/f")
    (tmp_path / "t/d/up").symlink_to("../d")
    (tmp_path / "t/gone").symlink_to("nowhere")
    return tmp_path / "t"


def test_links_as_links(net, home, tree):
    """Text and time of each are those of the source, and directories keep their times under them."""
    for path in (tree / "link", tree / "d", tree):
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    summary = net.send([tree])
    assert (summary.files, summary.directories, summary.links, summary.failed) == (1, 2, 3, 0)
    for name, target in (("link", "d/f"), ("d/up", "../d"), ("gone", "nowhere")):
        assert os.readlink(home / "t" / name) == target
    for name in ("link", "d", ""):
        assert os.lstat(home / "t" / name).st_mtime_ns == OLD
    again = net.send([tree])
    assert (again.links, again.skipped, again.failed) == (0, 4, 0)


def test_what_a_sender_does_with_links(net, home, tree):
    """Followed, they arrive as what they lead to, without end; skipped, not at all."""
    summary = net.send([tree], links="follow")
    assert {path for path, _ in summary.failures} == {b"t/d/up", b"t/gone"}
    assert (home / "t/link").read_bytes() == b"f"
    assert not (home / "t/link").is_symlink()
    assert not (home / "t/d/up").exists()
    net.send([tree], links="skip", path=b"other")
    assert sorted(path.name for path in (home / "other/t").rglob("*")) == ["d", "f"]


def test_fetching_never_goes_round(net, home, tree, tmp_path):
    """What links lead to is fetched; one that leads back up is left out."""
    net.send([tree])
    (home / "t/d/round").symlink_to("..")
    (home / "t/d/self").symlink_to(".")
    (tmp_path / "back").mkdir()
    assert net.get(b"t", tmp_path / "back").failed == 0
    assert sorted(str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*")) == [
        "t", "t/d", "t/d/f", "t/link",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "target",
    [
        b"/etc/passwd",
        b"/",
        b"..",
        b"../../outside",
        b"x/../../../outside",
        b"./../../outside",
        b"",
        b"../root/../outside",
    ],
)
def test_links_that_lead_out(net, home, target):
    """Each is refused as such, and the next entry is heard."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"link", type="symlink", target=target))
    peer.say(m.Entry(stream=2, path=b"d/link", type="symlink", target=b"../../" + target))
    assert peer.errors() == ["forbidden_path"] * 2
    assert not (home / "link").is_symlink()
    peer.say(m.Entry(stream=3, path=b"fine", type="symlink", target=b"d"))
    assert [one.stored_as for one in peer.heard()] == [b"/fine"]


def test_writing_through_a_link(net, home):
    """A link and then what is behind it: all of it stays below the root."""
    (home / "d").mkdir()
    peer = Raw(net).log_in()
    peer.heard()
    say = [
        m.Entry(stream=1, path=b"a", type="symlink", target=b"d"),
        m.Entry(stream=2, path=b"a/made", type="dir"),
        m.Entry(stream=3, path=b"a/up", type="symlink", target=b"../../outside"),
        m.Entry(stream=4, path=b"a/also", type="symlink", target=b"made"),
        m.Entry(stream=5, path=b"dangling", type="symlink", target=b"later"),
        m.Entry(stream=6, path=b"dangling/x", type="dir"),
    ]
    answers = [peer.say(one).heard() for one in say]
    kinds = [[type(one).__name__ for one in some] for some in answers]
    assert kinds[:5] == [["Done"], ["Done"], ["Refuse"], ["Refuse"], ["Done"]]
    assert kinds[5][0] in {"Done", "Refuse"}
    assert (home / "d/made").is_dir()
    assert not os.path.lexists(home / "d/up")
    assert not os.path.lexists(home / "d/also")


def test_loops(net, home):
    """Links in a circle are links; ways through them are errors of their entries."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"a", type="symlink", target=b"b"))
    peer.say(m.Entry(stream=2, path=b"b", type="symlink", target=b"a"))
    peer.heard()
    peer.say(m.Entry(stream=3, path=b"a/x", size=0))
    assert len(peer.errors()) == 1
    assert not peer.gone


def test_nothing_is_replaced_by_a_link(net, home):
    """Whatever policy the sender asks for."""
    (home / "f").write_bytes(b"mine")
    peer = Raw(net).log_in()
    peer.heard()
    for number, policy in enumerate(m.POLICIES, 1):
        peer.say(m.Entry(stream=number, path=b"f", type="symlink", target=b"x", if_exists=policy))
    assert peer.errors() == ["exists"] * len(m.POLICIES)
    assert (home / "f").read_bytes() == b"mine"


def test_a_dry_run_knows_the_policy(net, home, tree):
    """Refused where links are refused, asked for where they are made."""
    assert net.send([tree], dry_run=True).failed == 0
    assert list(home.iterdir()) == []
    refusing = Net(MemoryHost({"alice": "secret"}))
    assert refusing.send([tree], dry_run=True).failed == 3
    refusing.close_clean()


def test_a_storage_without_links(tree):
    """Allowed, but not there: told so, and the rest arrives."""
    net = Net(MemoryHost({"alice": "secret"}), INSIDE)
    summary = net.send([tree])
    assert [error.name for _, error in summary.failures] == ["unsupported"] * 3
    assert (summary.files, summary.directories) == (1, 2)
    net.close_clean()


def test_rights_and_quota_hold_for_links(tmp_path, tree):
    """A link takes the right to write and counts as a file."""
    account = Account("alice", quota_files=2)
    net = local_net(tmp_path / "root", INSIDE, accounts={"alice": account})
    net.host.login._portal.realm._ledger = ledger = MemoryLedger()
    summary = net.send([tree])
    assert {error.name for _, error in summary.failures} == {"quota"}
    assert (summary.files + summary.links, summary.failed) == (2, 2)
    assert ledger.usage("alice").files == 2
    net.close_clean()
    account = Account("alice", rights=frozenset(Right) - {Right.WRITE})
    net = local_net(tmp_path / "other", INSIDE, accounts={"alice": account})
    failures = dict(net.send([tree]).failures)
    assert failures[b"t/gone"].name == "right_missing"
    net.close_clean()
