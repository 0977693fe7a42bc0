"""The services on connections and datagrams in memory."""

import time

import pytest
from twisted.internet.testing import StringTransport

from twisted_xfer.errors import Banned, ConfigError
from twisted_xfer.plugins import options_from_table
from twisted_xfer.protocols.timeecho import TimeEchoOptions, timeecho
from twisted_xfer.protocols.timeecho.server import is_loopback
from twisted_xfer.protocols.timeecho.wire import PIECE
from twisted_xfer.testing.host import WALL_TIME, MemoryHost
from twisted_xfer.testing.protocols import Datagrams, connect

STAMP = time.ctime(WALL_TIME).encode()


@pytest.fixture
def host():
    return MemoryHost()


def serve(host, service="ctime-echo", **options):
    return timeecho.stream_factory(TimeEchoOptions(service=service, **options), host)


def datagrams(host, service="ctime-echo", **options):
    return Datagrams(timeecho.datagram(TimeEchoOptions(service=service, **options), host))


def test_time_is_told_on_connect_and_the_connection_closes(host):
    """S2: ctime and a newline, then the end, whatever the client says."""
    connection = connect(serve(host, "time"))
    assert connection.received() == STAMP + b"\n"
    assert connection.ended == "closed"


def test_time_ignores_what_is_sent_meanwhile(host):
    """On a real network the client's bytes may cross the close."""
    connection = connect(serve(host, "time"))
    connection.protocol.dataReceived(b"hello")
    assert connection.received() == STAMP + b"\n"


def test_echo_gives_back_every_byte(host):
    """S4: as many bytes as were sent, the same, split or merged."""
    connection = connect(serve(host, "echo"))
    assert connection.send(b"one two") == b"one two"
    assert connection.send(b"\0\xff" * 3000) == b"\0\xff" * 3000
    assert connection.ended is None


def test_ctime_echo_stamps_each_read(host):
    """S9: ctime, a blank, and the data without a newline added; more than a read earns two stamps."""
    connection = connect(serve(host))
    assert connection.send(b"hello") == STAMP + b" hello"
    long = connection.send(b"x" * (PIECE + 1))
    assert long == STAMP + b" " + b"x" * PIECE + STAMP + b" x"


def test_the_stamp_is_the_hosts_time(host):
    """Later answers have a later stamp."""
    connection = connect(serve(host, idle=0))
    host.clock.advance(3600)
    assert connection.send(b"x") == time.ctime(WALL_TIME + 3600).encode() + b" x"


@pytest.mark.parametrize(("silence", "ended"), [(29.9, None), (30.0, "aborted")])
def test_an_idle_connection_is_cut(host, silence, ended):
    """Data sets the clock back; silence up to the limit is fine."""
    connection = connect(serve(host, "echo", idle=30.0))
    host.clock.advance(20)
    connection.send(b"x")
    host.clock.advance(silence)
    assert connection.ended == ended
    if ended:
        (event,) = host.recorder.of("connection.close")
        assert event.fields == {"reason": "idle", "seconds": 50.0}
        assert host.limits.held == 0


def test_a_time_connection_that_does_not_close_is_cut():
    """A TLS peer may hold an orderly close up; the deadline runs on."""
    host = MemoryHost()
    factory = serve(host, "time", idle=30.0)
    protocol = factory.buildProtocol(StringTransport().getPeer())
    transport = StringTransport()
    protocol.makeConnection(transport)
    assert transport.disconnecting
    assert not transport.disconnected
    host.clock.advance(30)
    assert transport.disconnected


def test_reading_stops_while_the_peer_takes_nothing(host):
    """The transport's own back-pressure bounds what one peer makes us hold."""
    connection = connect(serve(host, "echo"))
    assert connection.transport.streaming
    connection.transport.producer.pauseProducing()
    assert connection.transport.producerState == "paused"
    connection.transport.producer.resumeProducing()
    assert connection.transport.producerState == "producing"


def test_a_connection_is_told_and_counted(host):
    """Events have the peer, the session and the duration; the place in the limits is given back."""
    connection = connect(serve(host, "echo"), peer="192.0.2.9", local="192.0.2.2")
    assert host.limits.admitted == {"192.0.2.9": 1}
    host.clock.advance(2.5)
    connection.hang_up()
    opened, closed = host.recorder.events
    assert (opened.id, opened.peer, opened.session) == ("connection.open", "192.0.2.9", "s1")
    assert (opened.protocol, opened.fields) == ("timeecho", {"local": "192.0.2.2"})
    assert (closed.id, closed.session) == ("connection.close", "s1")
    assert closed.fields == {"reason": "closed", "seconds": 2.5}
    assert host.limits.held == 0
    assert host.later() == []


def test_a_broken_connection_is_told_as_lost(host):
    """An end that was not orderly has its own word."""
    connect(serve(host, "echo")).transport.abortConnection()
    (closed,) = host.recorder.of("connection.close")
    assert closed.fields["reason"] == "lost"


def test_a_banned_peer_is_refused(host):
    """No protocol is made, and the reason is told."""
    host.limits.refuse = Banned(retry_after=9)
    assert connect(serve(host)) is None
    (refused,) = host.recorder.events
    assert (refused.id, refused.fields) == ("connection.refused", {"code": "banned"})


@pytest.mark.parametrize(
    ("service", "reply"), [("time", STAMP + b"\n"), ("echo", b"hi"), ("ctime-echo", STAMP + b" hi")]
)
def test_datagrams_are_answered_one_by_one(host, service, reply):
    """S10 and its siblings: a reply per datagram, to its sender."""
    assert datagrams(host, service).send(b"hi") == [reply]
    assert host.limits.held == 0


@pytest.mark.parametrize(
    ("peer", "public", "answers"),
    [
        ("127.0.0.1", False, 1),
        ("::1", False, 1),
        ("192.0.2.1", False, 0),
        ("192.0.2.1", True, 1),
    ],
)
def test_strangers_are_answered_only_when_told_so(host, peer, public, answers):
    """The reply is longer than the question and its sender may be forged."""
    assert len(datagrams(host, public_udp=public).send(b"x", (peer, 50_000))) == answers


@pytest.mark.parametrize(("port", "answers"), [(1024, 1), (1023, 0), (7, 0)])
def test_services_are_not_answered(host, port, answers):
    """Two echo services would answer each other for ever."""
    assert len(datagrams(host).send(b"x", ("127.0.0.1", port))) == answers


def test_datagrams_of_banned_peers_are_dropped(host):
    """Limits hold without a connection, too."""
    service = datagrams(host)
    host.limits.refuse = Banned(retry_after=9)
    assert service.send(b"x") == []


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("128.0.0.1", False),
        ("fe80::1%lo", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_what_loopback_is(peer, loopback):
    """By address, never by name."""
    assert is_loopback(peer) is loopback


def test_options_come_from_a_table():
    """The three options, and a wrong service."""
    made = options_from_table(
        timeecho.options, {"service": "time", "idle": 5, "public_udp": True}, where="listen.x"
    )
    assert made == TimeEchoOptions("time", 5.0, True)
    with pytest.raises(ConfigError) as caught:
        options_from_table(timeecho.options, {"service": "clock"}, where="listen.x")
    assert caught.value.remedy == "must be one of 'time', 'echo', 'ctime-echo'"
    with pytest.raises(ConfigError):
        options_from_table(timeecho.options, {"idle": -1}, where="listen.x")
