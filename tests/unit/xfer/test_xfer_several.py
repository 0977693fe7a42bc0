"""Several connections for one session: JOIN, and files spread over them."""

import os

import attrs
import pytest
from xfer_pipes import local_net

from twisted_xfer.errors import ConfigError, ConnectionLost, LoginFailed
from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.joining import Session, Ticket
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.plugin import MAX_CONNECTIONS, plugin
from twisted_xfer.protocols.xfer.several import MISSES
from twisted_xfer.testing.host import MemoryHost


def tree(tmp_path, files=40, size=100_000):
    """A tree with a directory in a directory; the files are too large for INLINE."""
    top = tmp_path / "tree"
    (top / "inner").mkdir(parents=True)
    for number in range(files):
        folder = top / "inner" if number % 2 else top
        (folder / f"f{number:03d}").write_bytes(os.urandom(size + number))
    for folder in (top / "inner", top):
        os.utime(folder, ns=(1, 1_000_000_000_000_000_000))
    return top


def same(one, other):
    for path in one.rglob("*"):
        found = other / path.relative_to(one)
        if path.is_dir():
            assert found.stat().st_mtime_ns == path.stat().st_mtime_ns
        else:
            assert found.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("connections", [1, 2, 3, 8])
def test_a_tree_over_several_connections(net, tmp_path, connections):
    """All of it arrives, directories have their times, and each connection carried some of it."""
    source = tree(tmp_path)
    summary = net.send([source], connections=connections)
    assert (summary.files, summary.directories, summary.failed) == (40, 2, 0)
    same(source, tmp_path / "root/alice/tree")
    assert len(net.lines) == connections
    if connections > 1:
        assert sum(line.carried > 100_000 for line in net.lines) > 1


def test_a_listener_may_take_fewer(tmp_path):
    """At the limit of connections the sender goes on with those that it has."""
    net = local_net(tmp_path / "root", XferOptions(connections=2))
    source = tree(tmp_path)
    summary = net.send([source], connections=5)
    assert (summary.files, summary.failed) == (40, 0)
    same(source, tmp_path / "root/alice/tree")
    assert len(net.lines) == 3
    net.close_clean()


@pytest.mark.parametrize(("elsewhere", "lines"), [(1, 4), (5, 8), (MISSES, 1 + MISSES)])
def test_connections_to_other_processes_of_the_listener(net, tmp_path, monkeypatch, elsewhere, lines):
    """They are tried again, within bounds, and no failed login is told of them; all arrives anyhow."""
    source = tree(tmp_path)
    real, asked = net.factory.session_of, []

    def session_of(session_id):
        asked.append(session_id)
        return None if len(asked) <= elsewhere else real(session_id)

    monkeypatch.setattr(net.factory, "session_of", session_of)
    summary = net.send([source], connections=3)
    assert (summary.files, summary.failed) == (40, 0)
    same(source, tmp_path / "root/alice/tree")
    assert len(net.lines) == lines
    assert "login.failed" not in net.host.recorder.ids


@pytest.mark.parametrize("killed", [0, 1, 2])
@pytest.mark.parametrize("after", [3_000, 50_000, 400_000])
def test_a_killed_connection_costs_only_what_it_carried(net, tmp_path, killed, after):
    """Whichever it is: the sender dials again, and all is there in the end, with its times."""
    source = tree(tmp_path, size=300_000)
    net.plan = [{"cut_after": after} if number == killed else {} for number in range(3)]
    summary = net.send([source], connections=3)
    assert summary.failed == 0
    same(source, tmp_path / "root/alice/tree")
    assert not list((tmp_path / "root").rglob("*.xpart"))


def test_a_bit_flipped_on_a_joined_connection_is_found(net, tmp_path):
    """The file it hit is sent again; nothing wrong is published."""
    source = tree(tmp_path, size=300_000)
    net.plan = [{}, {"flip_at": 250_000}]
    summary = net.send([source], connections=2)
    assert summary.failed == 0
    same(source, tmp_path / "root/alice/tree")


def test_joined_connections_end_with_the_first(net, tmp_path):
    """The account is that of the login, and goes with it."""
    source = tree(tmp_path, size=300_000)
    net.plan = [{"cut_after": 600_000}]
    assert isinstance(net.send([source], connections=3, retries=0), ConnectionLost)
    assert not net.factory.sessions


class Two:
    """As much of a server's protocol as a Session looks at."""

    def __init__(self, **changes):
        self.session_id, self.closed, self.secure, self.peer_address = "s1", False, True, "192.0.2.1"
        self.link = attrs.make_class("Link", {"hellos": attrs.field(factory=lambda: [b"a", b"b"])})()
        self.cuts = []
        vars(self).update(changes)

    def cut(self, error):
        self.cuts.append(error)


PROOF = Ticket("s1", b"k" * 32).proof([b"a", b"b"], b"exporter")


@pytest.mark.parametrize(
    ("other", "proof"),
    [
        ({}, b"\0" * 32),
        ({}, b""),
        ({}, Ticket("s1", b"k" * 32).proof([b"a", b"b"], b"another TLS session")),
        ({}, Ticket("s1", b"k" * 32).proof([b"a", b"c"], b"exporter")),
        ({}, Ticket("s1", b"k" * 32).answer([b"a", b"b"], b"exporter")),
        ({}, Ticket("s1", b"x" * 32).proof([b"a", b"b"], b"exporter")),
        ({"secure": False}, PROOF),
        ({"peer_address": "192.0.2.2"}, PROOF),
    ],
    ids=["zeros", "nothing", "TLS", "HELLO", "reflected", "secret", "plain", "address"],
)
def test_who_may_not_join(other, proof):
    """The proof is bound to the secret, the HELLOs and TLS; the address and the safety are the session's."""
    session = Session(Two(), b"k" * 32, 2)
    assert session.admits(Two(), PROOF, b"exporter")
    assert not session.admits(Two(**other), proof, b"exporter")


def test_how_many_may_join():
    """The limit counts the first connection; whoever leaves makes room."""
    session = Session(Two(), b"k" * 32, 2)
    one = Two()
    session.joined.add(one)
    assert not session.admits(Two(), PROOF, b"exporter")
    session.left_by(one)
    assert session.admits(Two(), PROOF, b"exporter")


def test_nobody_joins_what_is_closed():
    """Nor stays when the first connection goes."""
    main, one = Two(), Two()
    session = Session(main, b"k" * 32, 3)
    session.joined.add(one)
    main.closed = True
    session.left_by(main)
    assert len(one.cuts) == 1
    assert not session.admits(Two(), PROOF, b"exporter")


def test_the_listener_proves_itself_too():
    """A sender with a pairing code has verified no certificate: who knows no secret gets no files."""
    ticket = Ticket("s1", b"k" * 32)
    ticket.check(ticket.answer([b"a"], b"x"), [b"a"], b"x")
    for wrong in (ticket.proof([b"a"], b"x"), ticket.answer([b"a"], b"y"), b""):
        with pytest.raises(LoginFailed):
            ticket.check(wrong, [b"a"], b"x")


@pytest.mark.parametrize(
    ("connections", "good"), [(0, False), (1, True), (MAX_CONNECTIONS, True), (65, False)]
)
def test_bounds_of_the_option(connections, good):
    """From one to MAX_CONNECTIONS."""
    options = XferOptions(connections=connections)
    if good:
        plugin.stream_factory(options, MemoryHost())
        return
    with pytest.raises(ConfigError):
        plugin.stream_factory(options, MemoryHost())


def test_secrets_are_not_shown():
    """Neither a ticket's nor that of AUTHENTICATED."""
    assert "kkkk" not in repr(Ticket("s1", b"k" * 32))
    assert client.Work().connections == 1
