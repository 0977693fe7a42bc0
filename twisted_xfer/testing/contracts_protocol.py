"""The contract of a protocol plugin, as a class of tests to inherit from.

::

    class TestAcme(ProtocolContract):
        plugin = acme.plugin

Give ``options`` for another service than the default one, and ``login`` with bytes that bring a
session past its login, if the protocol has one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol
from zope.interface.verify import verifyObject

from twisted_xfer.errors import LimitReached
from twisted_xfer.interfaces import API_VERSION, IProtocolPlugin
from twisted_xfer.plugins import is_frozen_with_defaults
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import Connection, Datagrams, connect

#: Connections of random bytes: the same in every run.
RANDOM_PEERS: Final = 50
RANDOM_BYTES: Final = 2000
#: Longer than any deadline of the daemon's own defaults, in seconds.
FOREVER: Final = 24 * 3600.0
#: Beginnings that tell protocols apart, and some that no protocol has.
PREFIXES: Final = (
    b"",
    b"\0",
    b"\x16\x03\x01\x02\0\x01",
    b"USER a\r\n",
    b"GET / HTTP/1.1\r\n",
    b'{"action"',
    b"\xff" * 64,
    bytes(range(256)),
)


class ProtocolContract:
    """What every protocol plugin keeps. Inherit, and set ``plugin``."""

    plugin: Any
    #: Names a service other than the default, or None for the plugin's own defaults.
    options: Any = None
    users: Any = {"alice": "secret"}  # noqa: RUF012 - read, never written
    login: bytes = b""

    def make_host(self) -> MemoryHost:
        """The host of one test."""
        return MemoryHost(self.users)

    def _options(self) -> Any:
        return self.plugin.options() if self.options is None else self.options

    def _factory(self, host: MemoryHost) -> IProtocolFactory | None:
        factory: IProtocolFactory | None = self.plugin.stream_factory(self._options(), host)
        return factory

    def _connections(self, host: MemoryHost) -> Iterator[Connection]:
        factory = self._factory(host)
        if factory is None:
            return
        for _ in range(RANDOM_PEERS):
            connection = connect(factory)
            assert connection is not None
            if self.login:
                connection.send(self.login)
                host.reactor.settle()
            yield connection

    def test_it_provides_its_interface(self) -> None:
        """The daemon can ask it everything that it asks protocols."""
        verifyObject(IProtocolPlugin, self.plugin)
        assert self.plugin.api_version == API_VERSION
        assert isinstance(self.plugin.name, str)
        assert self.plugin.name.isidentifier()
        assert len(self.plugin.describe().splitlines()) == 1

    def test_options_are_frozen_and_have_defaults(self) -> None:
        """A configuration that only names the plugin is enough, and nothing changes it later."""
        assert is_frozen_with_defaults(self.plugin.options)

    def test_it_serves_streams_or_datagrams(self) -> None:
        """At least one of the two, each of the type that it should be."""
        host = self.make_host()
        factory = self._factory(host)
        datagram = self.plugin.datagram(self._options(), host)
        assert factory is not None or datagram is not None
        if factory is not None:
            verifyObject(IProtocolFactory, factory)
        if datagram is not None:
            assert isinstance(datagram, DatagramProtocol)

    def test_sniffing_answers_for_any_bytes(self) -> None:
        """A shared port asks with whatever came; the answer is one of three."""
        for prefix in PREFIXES:
            for size in range(len(prefix) + 1):
                assert self.plugin.sniff(prefix[:size]) in {"yes", "no", "more"}

    def test_more_bytes_do_not_change_a_decision(self) -> None:
        """Once a prefix is or is not this protocol, what follows cannot matter."""
        for prefix in PREFIXES:
            decided = "more"
            for size in range(len(prefix) + 1):
                answer = self.plugin.sniff(prefix[:size])
                assert decided in {"more", answer}
                decided = answer

    def test_any_bytes_are_survived(self) -> None:
        """Random bytes raise nothing; they are answered, ignored, or close the connection."""
        source = random.Random(20260101)  # the same bytes each time
        host = self.make_host()
        for connection in self._connections(host):
            left = source.randbytes(RANDOM_BYTES)
            while left:
                size = source.randint(1, 300)
                connection.send(left[:size])
                left = left[size:]
                host.reactor.settle()
            connection.hang_up()
            host.reactor.settle()
        assert host.limits.held == 0

    def test_random_lines_are_survived(self) -> None:
        """The same with line ends in between, which reach further into a parser."""
        source = random.Random(20260102)
        host = self.make_host()
        for connection in self._connections(host):
            for _ in range(20):
                words = [source.randbytes(source.randint(0, 12)) for _ in range(source.randint(1, 4))]
                connection.send(b" ".join(words) + source.choice([b"\r\n", b"\n", b"\r", b"\0"]))
                host.reactor.settle()
            connection.hang_up()
            host.reactor.settle()
        assert host.limits.held == 0

    def test_nothing_is_left_of_a_lost_connection(self) -> None:
        """No timer, no descriptor and no place in the limits outlives a peer that hung up."""
        host = self.make_host()
        factory = self._factory(host)
        if factory is None:
            return
        for data in (b"", b"x", self.login, b"\r\n"):
            connection = connect(factory)
            assert connection is not None
            connection.send(data)
            connection.hang_up()
            host.reactor.settle()
        assert host.later() == []
        assert host.reactor.getReaders() == []
        assert host.reactor.getWriters() == []
        assert host.limits.held == 0

    def test_a_silent_peer_is_not_kept_for_ever(self) -> None:
        """With the default options a connection on which nothing happens ends."""
        host = self.make_host()
        factory = self._factory(host)
        if factory is None:
            return
        connection = connect(factory)
        assert connection is not None
        # In steps, as one deadline may set the next.
        for _ in range(100):
            host.reactor.advance(FOREVER / 100)
            host.reactor.settle()
        assert connection.ended is not None
        assert host.limits.held == 0

    def test_connections_are_told_as_events(self) -> None:
        """What came is told with the peer, and what ended with the same session."""
        host = self.make_host()
        factory = self._factory(host)
        if factory is None:
            return
        connection = connect(factory, peer="192.0.2.77")
        assert connection is not None
        connection.hang_up()
        host.reactor.settle()
        (opened,) = host.recorder.of("connection.open")
        (closed,) = host.recorder.of("connection.close")
        assert opened.peer == closed.peer == "192.0.2.77"
        assert opened.session == closed.session != ""
        assert opened.protocol == closed.protocol != ""

    def test_the_limits_are_asked(self) -> None:
        """A peer that may not come in is closed, and that is told."""
        host = self.make_host()
        factory = self._factory(host)
        if factory is None:
            return
        host.limits.refuse = LimitReached(limit="clients")
        connection = connect(factory)
        host.reactor.settle()
        assert connection is None or connection.ended is not None
        (refused,) = host.recorder.of("connection.refused")
        assert refused.fields["code"] == "limit_reached"
        assert host.later() == []

    def test_any_datagram_is_survived(self) -> None:
        """Random datagrams raise nothing and are answered to nobody but their sender."""
        source = random.Random(20260103)
        host = self.make_host()
        protocol = self.plugin.datagram(self._options(), host)
        if protocol is None:
            return
        datagrams = Datagrams(protocol)
        for _ in range(RANDOM_PEERS):
            datagrams.send(source.randbytes(source.randint(0, RANDOM_BYTES)))
        assert host.later() == []

    def test_strangers_datagrams_earn_nothing_by_default(self) -> None:
        """A forged sender must not be flooded by us: loopback only, unless told so in so many words."""
        host = self.make_host()
        protocol = self.plugin.datagram(self.plugin.options(), host)
        if protocol is not None:
            assert Datagrams(protocol).send(b"hello", ("192.0.2.1", 50_000)) == []
