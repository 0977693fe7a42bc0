"""Connections in memory behave like connections."""

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from twisted_xfer.testing import protocols
from twisted_xfer.testing.protocols import LOCAL, PEER, Datagrams, connect, pump


class Shout(Protocol):
    lost = None

    def dataReceived(self, data):
        self.transport.write(data.upper())
        if data == b"bye":
            self.transport.loseConnection()
            self.transport.write(b"too late")

    def connectionLost(self, reason):
        self.lost = reason.value


def test_addresses_are_those_of_the_connection():
    """IPv4 and IPv6, as text."""
    transport = connect(Factory.forProtocol(Shout)).transport
    assert (transport.getPeer().host, transport.getHost().host) == (PEER, LOCAL)
    assert connect(Factory.forProtocol(Shout), peer="2001:db8::1").transport.getPeer().type == "TCP"


def test_answers_come_until_the_end():
    """What is written after the close is lost, and the protocol hears of the end once."""
    connection = connect(Factory.forProtocol(Shout))
    assert connection.send(b"hello") == b"HELLO"
    assert connection.received() == b""
    assert connection.send(b"bye") == b"BYE"
    assert connection.ended == "closed"
    assert isinstance(connection.protocol.lost, ConnectionDone)
    assert connection.send(b"more") == b""
    connection.hang_up()


def test_a_reset_is_told_as_one():
    """abortConnection differs from an orderly close for both sides."""
    connection = connect(Factory.forProtocol(Shout))
    connection.transport.abortConnection()
    assert connection.ended == "aborted"
    assert isinstance(connection.protocol.lost, ConnectionAborted)


def test_a_refused_connection_is_none():
    """As when buildProtocol answers None."""
    factory = Factory()
    factory.buildProtocol = lambda _addr: None
    assert connect(factory) is None


class Caller(Protocol):
    heard = b""

    def connectionMade(self):
        self.transport.write(b"bye")

    def dataReceived(self, data):
        self.heard += data


def test_a_pump_carries_bytes_and_the_end():
    """Last words arrive before the close does."""
    client, server = connect(Factory.forProtocol(Caller)), connect(Factory.forProtocol(Shout))
    pump(client, server)
    assert client.protocol.heard == b"BYE"
    assert client.ended == server.ended == "closed"


class Echo(Protocol):
    def connectionMade(self):
        self.transport.write(b"x")

    def dataReceived(self, data):
        self.transport.write(data)


def test_a_pump_gives_up_on_two_that_never_stop(monkeypatch):
    """A test fails rather than hangs."""
    monkeypatch.setattr(protocols, "MAX_ROUNDS", 10)
    with pytest.raises(RuntimeError, match="still talking"):
        pump(connect(Factory.forProtocol(Echo)), connect(Factory.forProtocol(Echo)))


class Answers(DatagramProtocol):
    to = None

    def datagramReceived(self, datagram, addr):
        self.transport.write(datagram, self.to or addr)


def test_datagrams_come_back_to_their_sender():
    """One answer to one question."""
    assert Datagrams(Answers()).send(b"x") == [b"x"]


def test_an_answer_to_a_third_party_is_noticed():
    """A reflector fails its test."""
    service = Answers()
    service.to = ("192.0.2.9", 9)
    with pytest.raises(AssertionError, match="did not ask"):
        Datagrams(service).send(b"x")
