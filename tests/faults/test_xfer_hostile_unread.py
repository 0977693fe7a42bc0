"""Peers that ask for more than they take: what waits for them is bounded, and nothing is lost for the slow."""

import pytest
from twisted.internet.defer import Deferred
from xfer_pipes import local_net
from xfer_raw import Raw

from twisted_xfer.protocols.xfer.connection import DEAD_AFTER, MAX_UNREAD
from twisted_xfer.protocols.xfer.wire import messages as m

#: What the transport holds before it says that it is full, and what one read may bring.
SLACK = 256 * 1024


@pytest.fixture
def net(tmp_path):
    made = local_net(tmp_path)
    yield made
    made.close_clean()


def link(number):
    return m.Entry(stream=number, path=b"link", type="symlink", target=b"x").encode()


#: What is said, and how often: more answers than MAX_UNREAD and SLACK.
FLOODS = {
    "PING": (lambda _number: m.Ping().encode(), 120_000),
    "ENTRY": (link, 20_000),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_by_who_does_not_read(net, kind):
    """It is read no further once MAX_UNREAD of answers wait; all are there when it reads after all."""
    peer = Raw(net).log_in()
    peer.heard()
    said, times = FLOODS[kind]
    line = peer.line
    line.caller.paused = True
    for start in range(1, times, 1000):
        peer.say(b"".join(said(number) for number in range(start, start + 1000)))
    assert line.listener.paused
    assert line.caller.out
    assert MAX_UNREAD < len(line.listener.out) < MAX_UNREAD + SLACK
    line.caller.paused = False
    net.pump()
    assert len(peer.heard()) == times
    assert not peer.gone
    assert not line.listener.paused


def test_who_never_reads_is_dropped(net):
    """After a minute, though it goes on asking."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.line.caller.paused = True
    for _ in range(120):
        peer.say(m.Ping().encode() * 1000)
    for _ in range(int(DEAD_AFTER) // 15 + 1):
        peer.say(m.Ping().encode() * 10)
        net.host.clock.advance(15)
    net.pump()
    assert peer.gone


def test_a_close_while_answers_are_unread(net):
    """What was said last still comes, and the connection ends."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.line.caller.paused = True
    peer.say(m.Ping().encode() * 120_000)
    (session,) = net.factory.sessions
    session.drain()
    peer.line.caller.paused = False
    net.pump()
    assert peer.errors() == ["shutting_down"]
    assert peer.gone


def test_two_gets_at_once(net, tmp_path):
    """The second is refused even while a slow storage still looks for what the first one asked for."""
    (tmp_path / "alice/f").write_bytes(b"content")
    peer = Raw(net).log_in(role="receive")
    peer.heard()
    (session,) = net.factory.sessions
    looks, stat = [], session.role.avatar.stat

    class Slow:
        def __getattr__(self, name):
            return getattr(session.avatar, name)

        def stat(self, path):
            looks.append(Deferred().addCallback(lambda _none: stat(path)))
            return looks[-1]

    session.role.avatar = Slow()
    peer.say(m.Get(stream=1, path=b"f"), m.Get(stream=2, path=b"f"))
    while looks:
        looks.pop(0).callback(None)
        net.pump()
    assert peer.line.caller.protocol.data.count(b"content") == 1
    assert b"busy" in peer.line.caller.protocol.data
