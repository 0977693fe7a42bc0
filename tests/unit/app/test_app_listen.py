"""Places to listen at, without a port."""

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from zope.interface.verify import verifyObject

from twisted_xfer.app.config import Listen
from twisted_xfer.app.listen import (
    BACKLOG,
    SWEEP_AT,
    DatagramPlace,
    StreamPlace,
    TrackedFactory,
    cannot_listen,
    parse_udp,
    stream_endpoint,
    where,
)
from twisted_xfer.app.rules import split_endpoint
from twisted_xfer.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tcp:1", ["tcp", "1"]),
        (r"tcp6:1:interface=\:\:1", ["tcp6", "1", "interface=::1"]),
        ("", [""]),
        ("a\\", ["a"]),
        ("a\\\\:b", ["a\\", "b"]),
    ],
)
def test_split_endpoint(text, parts):
    """As Twisted splits its endpoint strings."""
    assert split_endpoint(text) == parts


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("udp:0", (0, "127.0.0.1")),
        ("udp:65535", (65535, "127.0.0.1")),
        ("udp:port=7", (7, "127.0.0.1")),
        ("udp:7:interface=0.0.0.0", (7, "0.0.0.0")),
        ("udp:8888:interface=127.0.0.1", (8888, "127.0.0.1")),
        (r"udp:8888:interface=\:\:1", (8888, "::1")),
    ],
)
def test_udp_strings(endpoint, expected):
    """udp:PORT[:interface=ADDRESS]; on loopback unless told otherwise, since senders can be forged."""
    assert parse_udp(Listen("timeecho", endpoint)) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        *("udp:", "udp:x", "udp:65536", "udp:-1", "udp:1:2", "udp:1:color=red", "udp:\u0663"),
        *("udp:1:interface=300.1.1.1", "udp:1:interface=localhost", "udp:1:interface="),
    ],
)
def test_wrong_udp_strings(endpoint):
    """Everything else is refused with the form."""
    with pytest.raises(ConfigError) as caught:
        parse_udp(Listen("timeecho", endpoint))
    assert "PROTOCOL=udp:PORT" in caught.value.remedy


def test_stream_endpoint_has_a_long_queue():
    """The backlog is ours unless the string says another."""
    reactor = MemoryReactor()
    assert stream_endpoint(reactor, Listen("a", "tcp:1"))._backlog == BACKLOG
    assert stream_endpoint(reactor, Listen("a", "tcp:1:backlog=7"))._backlog == 7


@pytest.mark.parametrize("endpoint", ["tcp:x", "nosuch:1", "tcp", "ssl:1:privateKey=/nowhere"])
def test_wrong_endpoint(endpoint):
    """A string that Twisted refuses is a ConfigError with the string in it."""
    with pytest.raises(ConfigError) as caught:
        stream_endpoint(MemoryReactor(), Listen("a", endpoint))
    assert caught.value.value == f"a={endpoint}"


class Port:
    def __init__(self, host):
        self.host = host

    def getHost(self):
        return self.host


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (IPv4Address("TCP", "127.0.0.1", 21), "127.0.0.1:21"),
        (IPv4Address("UDP", "127.0.0.1", 21), "127.0.0.1:21 (udp)"),
        (IPv6Address("TCP", "::1", 21), "[::1]:21"),
        (UNIXAddress("/run/x"), "/run/x"),
    ],
)
def test_where(host, text):
    """An address as people write it."""
    assert where(Port(host)) == text


def make_tracked(drain=None):
    inner = Factory.forProtocol(Protocol)
    inner.noisy = False
    if drain is not None:
        inner.drain = drain
    return TrackedFactory(inner)


class Transport(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True
        self.connected = False


def connect(factory):
    protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
    transport = Transport()
    transport.connected = True
    protocol.makeConnection(transport)
    return protocol, transport


def test_tracked_factory_is_a_factory():
    """Twisted's ports may use it as any other."""
    factory = make_tracked()
    assert verifyObject(IProtocolFactory, factory)
    factory.doStart()
    assert factory.inner.numPorts == 1
    factory.doStop()
    assert factory.inner.numPorts == 0
    assert factory.logPrefix() == "Factory"


def test_tracked_factory_may_refuse():
    """A factory that answers None refuses the connection."""
    factory = make_tracked()
    factory.inner.buildProtocol = lambda _addr: None
    assert factory.buildProtocol(None) is None


def test_connections_are_forgotten_when_they_end():
    """Only who is still there is reset at the end, and nobody is kept alive by it."""
    factory = make_tracked()
    _kept, up = connect(factory)
    _also, down = connect(factory)
    down.connected = False
    connect(factory)  # nobody holds this one
    assert factory.connected() == [up]
    assert factory.abort() == 1
    assert (up.aborted, down.aborted) == (True, False)


@pytest.mark.parametrize("ended", [SWEEP_AT - 1, SWEEP_AT])
def test_ended_connections_are_swept_away(ended):
    """Many short ones leave no more behind than SWEEP_AT, and those that are up are kept."""
    factory = make_tracked()
    kept, up = connect(factory)
    for _ in range(ended - 1):
        connect(factory)
    assert len(factory._served) == ended
    also, next_up = connect(factory)
    assert len(factory._served) == (2 if ended == SWEEP_AT else SWEEP_AT)
    assert factory.connected() == [up, next_up]
    assert (kept, also) != (None, None)


def test_many_connections_are_not_looked_through_for_each():
    """Where all are up, the next sweep comes when there are twice as many."""
    factory = make_tracked()
    held = [connect(factory) for _ in range(SWEEP_AT + 1)]
    assert factory._sweep_at == 2 * SWEEP_AT
    assert len(factory.connected()) == len(held)


def test_drain_asks_the_protocol():
    """A factory with drain() decides itself when its sessions are over."""
    asked = Deferred()
    factory = make_tracked(lambda: asked)
    kept, transport = connect(factory)
    done = []
    factory.drain().addCallback(done.append)
    assert (done, transport.disconnecting) == ([], False)
    asked.callback(None)
    assert done == [None]
    assert kept is not None


def test_drain_without_a_drain_closes():
    """A factory that knows no drain() has its connections closed."""
    factory = make_tracked()
    kept, transport = connect(factory)
    factory.drain()
    assert transport.disconnecting
    assert kept is not None


def test_stream_place_binds():
    """The endpoint gets the tracked factory; the port is kept."""
    reactor = MemoryReactor()
    place = StreamPlace(Listen("a", "tcp:7"), TCP4ServerEndpoint(reactor, 7), Factory.forProtocol(Protocol))
    place.bind()
    assert reactor.tcpServers[0][:2] == (7, place.factory)
    assert place.port is not None


class OpenPort:
    """Writes down how it is let go of."""

    def __init__(self):
        self.calls = []
        self.socket = self

    def close(self):
        self.calls.append("close")

    def stopReading(self):
        self.calls.append("stopReading")

    def stopListening(self):
        self.calls.append("stopListening")

    def fileno(self):
        return 7


@pytest.mark.parametrize(("shared", "calls"), [(False, ["stopListening"]), (True, ["stopReading", "close"])])
def test_unbind(shared, calls):
    """A socket that workers accept from is closed here, and not shut down for them."""
    place = StreamPlace(Listen("a", "tcp:7"), None, Factory())
    assert place.unbind().called
    place.port = port = OpenPort()
    if shared:
        assert place.share() == 7
    assert place.unbind().called
    assert place.unbind().called
    assert port.calls == calls
    assert place.port is None


def test_refusal_is_explained():
    """Who cannot listen says where, why, and what to do."""
    error = CannotListenError("", 7, OSError(98, "Address already in use"))
    place = StreamPlace(Listen("a", "tcp:7"), None, Factory())

    class Endpoint:
        def listen(self, factory):
            raise error

    place.endpoint = Endpoint()
    failures = []
    place.bind().addErrback(lambda failure: failures.append(failure.value))
    assert isinstance(failures[0], ConfigError)
    assert failures[0].remedy.startswith("Address already in use: stop what listens there")
    assert cannot_listen(Listen("a", "tcp:7"), OSError(13, "Permission denied")).remedy.startswith(
        "Permission denied"
    )


def test_datagram_place_binds():
    """With the protocol, port and interface that were asked for."""
    calls = []

    class Reactor:
        def listenUDP(self, *args):
            calls.append(args)
            return Port(IPv4Address("UDP", "127.0.0.1", 9))

    protocol = DatagramProtocol()
    place = DatagramPlace(Listen("a", "udp:9:interface=127.0.0.1"), Reactor(), protocol)
    place.bind()
    assert calls == [(9, protocol, "127.0.0.1", 8192)]
    assert where(place.port) == "127.0.0.1:9 (udp)"
    assert place.abort() == 0
    assert place.drain().called


def test_datagram_place_that_is_taken():
    """A taken UDP port is explained like any other."""

    class Reactor:
        def listenUDP(self, *args):
            raise CannotListenError("", 9, OSError(98, "Address already in use"))

    failures = []
    DatagramPlace(Listen("a", "udp:9"), Reactor(), DatagramProtocol()).bind().addErrback(
        lambda failure: failures.append(failure.value)
    )
    assert isinstance(failures[0], ConfigError)
