"""Where a caller dials: an address itself, a name by way of Twisted's endpoint."""

import pytest
from twisted.internet import error as reasons
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.protocols.xfer.address_endpoint import AddressEndpoint
from twisted_xfer.protocols.xfer.caller import Login, Target
from twisted_xfer.protocols.xfer.dialing import CONNECT_SECONDS, endpoint_for


class Stopped:
    """A connector that keeps whether it was stopped."""

    def __init__(self):
        self.stopped = 0

    def getDestination(self):
        return "there"

    def stopConnecting(self):
        self.stopped += 1


def dialled(host="127.0.0.1"):
    """A reactor, what it was given to make the connection with, its connector, and what came of it."""
    reactor = MemoryReactorClock()
    results = []
    deferred = endpoint_for(reactor, Target(host), Login(plain=True)).connect(Factory.forProtocol(Protocol))
    deferred.addBoth(results.append)
    [(to, port, attempt, timeout, bind)] = reactor.tcpClients
    assert (to, port, timeout, bind) == (host, 5001, CONNECT_SECONDS, None)
    connector = Stopped()
    attempt.startedConnecting(connector)
    return attempt, connector, deferred, results


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "fe80::1%lo"])
def test_an_address_is_dialled_as_it_is(host):
    """Nobody is asked for it."""
    endpoint = endpoint_for(MemoryReactorClock(), Target(host), Login(plain=True))
    assert verifyObject(IStreamClientEndpoint, endpoint)
    assert isinstance(endpoint, AddressEndpoint)
    dialled(host)


@pytest.mark.parametrize(
    "host", ["localhost", "example.com", "127.1", "1.2.3", "1.2.3.256", "bücher.example"]
)
def test_a_name_is_looked_up(host):
    """And what only looks like an address."""
    endpoint = endpoint_for(MemoryReactorClock(), Target(host), Login(plain=True))
    assert isinstance(endpoint, HostnameEndpoint)


def test_a_connection_brings_the_protocol():
    """That of the factory, with nothing around it."""
    attempt, _, _, results = dialled()
    protocol = attempt.buildProtocol(None)
    protocol.makeConnection(StringTransport())
    assert results == [protocol]
    assert type(protocol) is Protocol


@pytest.mark.parametrize("error", [reasons.ConnectionRefusedError, reasons.ConnectBindError])
def test_no_connection_brings_the_reason(error):
    """As the reactor gives it."""
    attempt, connector, _, results = dialled()
    attempt.clientConnectionFailed(connector, Failure(error()))
    assert results[0].type is error


def test_whoever_waits_no_longer_stops_the_attempt():
    """Once, and what the reactor says about that is no second result."""
    attempt, connector, deferred, results = dialled()
    deferred.cancel()
    assert results[0].type is reasons.ConnectingCancelledError
    attempt.clientConnectionFailed(connector, Failure(reasons.ConnectionRefusedError()))
    assert (connector.stopped, len(results)) == (1, 1)


def test_a_cancellation_afterwards_stops_nothing():
    """The connection is its protocol's by then."""
    attempt, connector, deferred, results = dialled()
    attempt.buildProtocol(None)
    deferred.cancel()
    assert (connector.stopped, len(results)) == (0, 1)
