"""Control connections over other transports than a TCP port's own."""

import socket
from types import SimpleNamespace

import pytest
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import ITCPTransport, ITLSTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import alsoProvides, implementer

from twisted_xfer.interfaces import IPromptTransport
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import implicit, plugin
from twisted_xfer.runtime.limits import Limits


@implementer(IPromptTransport, ITLSTransport)
class Prompt(StringTransport):
    """One that has TLS and prompt answers, and notes who used them."""

    def __init__(self):
        super().__init__()
        self.handle = socket.socket()
        self.handle.bind(("127.0.0.1", 0))
        self.used = []

    def getHandle(self):
        return self.handle

    def send(self, data):
        self.used.append("send")
        self.write(data)
        return True

    def finish(self, last):
        self.used.append("finish")
        self.write(last)
        self.loseConnection()

    def startTLS(self, creator):
        self.used.append("startTLS")


class Wrapping(ProtocolWrapper):
    """As ``haproxy:`` has one: something between transport and protocol, which gets all that is written."""

    def __init__(self, protocol):
        super().__init__(WrappingFactory(protocol.factory), protocol)
        self.seen = []

    def write(self, data):
        self.seen.append(data)


def wrapped(factory, transport):
    """A connection of ``factory`` with something in between."""
    wrapping = Wrapping(factory.buildProtocol(None))
    # Twisted's transports know whom they serve.
    transport.protocol = wrapping
    wrapping.makeConnection(transport)
    return wrapping


@pytest.fixture
def prompt():
    """A prompt transport."""
    transport = Prompt()
    yield transport
    transport.handle.close()


def test_a_wrapping_is_not_bypassed(rig, prompt):
    """It shows the methods of what it wraps; answers go through it all the same."""
    wrapping = wrapped(rig.factory, prompt)
    assert IPromptTransport.providedBy(wrapping)
    wrapping.dataReceived(b"NOOP\r\nQUIT\r\n")
    assert b"".join(wrapping.seen).count(b"\r\n") == 3
    assert prompt.used == []
    assert prompt.disconnecting
    wrapping.connectionLost(connectionDone)


class _TLS:
    """Offers TLS; nobody gets that far."""


def test_no_tls_over_a_wrapping(rig, prompt):
    """Nobody would tell when it is up: 431, and implicit FTPS ends at once."""
    rig.host.tls = _TLS()
    wrapping = wrapped(rig.factory, prompt)
    wrapping.dataReceived(b"AUTH TLS\r\n")
    assert wrapping.seen[-1].startswith(b"431 ")
    wrapping.connectionLost(connectionDone)


def test_no_implicit_tls_over_a_wrapping(rig, prompt):
    """Nothing can be said in clear: the connection ends."""
    rig.host.tls = _TLS()
    wrapping = wrapped(implicit.stream_factory(FTPOptions(), rig.host), prompt)
    assert b"".join(wrapping.seen) == b""
    assert prompt.disconnecting
    wrapping.connectionLost(connectionDone)


@pytest.mark.parametrize(("kind", "said"), [(plugin, b"421 "), (implicit, b"")], ids=["ftp", "ftps"])
def test_no_room(make_rig, kind, said):
    """Whoever expects TLS from the first byte is told nothing in clear, which it could not make sense of."""
    rig = make_rig(limits=Limits(Clock(), max_clients=1))
    rig.host.tls = _TLS()
    transport = StringTransport()
    protocol = kind.stream_factory(FTPOptions(), rig.host).buildProtocol(None)
    protocol.makeConnection(transport)
    assert transport.value()[:4] == said
    assert transport.disconnecting
    protocol.connectionLost(connectionDone)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (("127.0.0.1", 21), "127.0.0.1"),
        (("::1", 21, 0, 0), "::1"),
        (("::ffff:192.0.2.1", 21, 0, 0), "192.0.2.1"),
        (("fe80::1", 21, 0, 3), "fe80::1%3"),
    ],
)
def test_which_address_data_connections_are_bound_to(rig, prompt, name, host):
    """That of the control connection, in its zone where it is a link-local one."""
    prompt.getHandle = lambda: SimpleNamespace(
        family=socket.AF_INET6 if ":" in name[0] else socket.AF_INET,
        getsockname=lambda: name,
        setsockopt=lambda *_: None,
        recv=None,
    )
    protocol = rig.factory.buildProtocol(None)
    prompt.protocol = protocol
    protocol.makeConnection(prompt)
    assert protocol.session.local == host
    protocol.connectionLost()


@pytest.fixture
def local(rig):
    """A session of alice over a UNIX socket."""
    ours, theirs = socket.socketpair()
    transport = StringTransport(hostAddress=UNIXAddress("/run/x"), peerAddress=UNIXAddress(None))
    transport.getHandle = lambda: ours
    alsoProvides(transport, ITCPTransport)
    factory = plugin.stream_factory(FTPOptions(), rig.host)
    protocol = factory.buildProtocol(None)

    def say(line):
        transport.clear()
        protocol.dataReceived(line + b"\r\n")
        return transport.value()

    with ours, theirs:
        protocol.makeConnection(transport)
        assert transport.value().startswith(b"220 ")
        say(b"USER alice")
        assert say(b"PASS secret").startswith(b"230 ")
        yield say
        protocol.connectionLost()
        factory.stopFactory()


def test_a_unix_socket(local):
    """It has no TCP options, and commands work."""
    assert local(b"PWD").startswith(b"257 ")
    assert local(b"STAT /").startswith(b"213")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"PASV", b"425 "),
        (b"EPSV", b"425 "),
        (b"EPSV 1", b"425 "),
        (b"PORT 127,0,0,1,200,1", b"501 "),
        (b"EPRT |1|127.0.0.1|51201|", b"501 "),
    ],
)
def test_no_data_connections_from_a_unix_socket(local, command, code):
    """Nobody could tell whose they are."""
    assert local(command).startswith(code)
