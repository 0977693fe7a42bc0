"""Data connections that we make: to addresses only, in time, and where those lead."""

import socket

import pytest
from data_ports_lab import HOME, outcome

from twisted_xfer.errors import DataConnectionFailed, TimedOut
from twisted_xfer.runtime.dial import socket_address


def test_connect(lab):
    """Active mode: from our own address to the client's listener."""
    server = lab.keep(socket.create_server((HOME, 0)))
    waiting = lab.ports().connect(HOME, server.getsockname()[1], "127.0.0.3", 30)
    lab.reactor.turn()
    lab.keep(outcome(waiting))
    client, address = server.accept()
    client.close()
    assert address[0] == "127.0.0.3"


def test_connect_refused(lab):
    """Nobody listens."""
    with socket.create_server((HOME, 0)) as server:
        port = server.getsockname()[1]
    waiting = lab.ports().connect(HOME, port, HOME, 30)
    lab.reactor.turn()
    error = outcome(waiting)
    assert isinstance(error, DataConnectionFailed)
    assert error.detail == "ECONNREFUSED"


@pytest.mark.parametrize("host", ["localhost", "example.org", ""])
def test_connect_takes_addresses_only(lab, host):
    """Names are never looked up: that would block, and the caller checked an address."""
    assert isinstance(outcome(lab.ports().connect(host, 21, "", 30)), DataConnectionFailed)


def full_server(lab):
    """A listener whose queue is full: further connections get no answer."""
    server = lab.keep(socket.socket())
    server.bind((HOME, 0))
    server.listen(0)
    for _ in range(3):
        client = lab.keep(socket.socket())
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    return server.getsockname()[1]


def test_connect_deadline(lab):
    """No answer: TimedOut at the deadline."""
    waiting = lab.ports().connect(HOME, full_server(lab), HOME, 30)
    lab.reactor.advance(29.5)
    assert not waiting.called
    lab.reactor.advance(0.5)
    assert isinstance(outcome(waiting), TimedOut)


def test_connect_cancelled(lab):
    """Cancelling closes the socket and stops the timer."""
    waiting = lab.ports().connect(HOME, full_server(lab), HOME, 30)
    waiting.cancel()
    outcome(waiting)


@pytest.mark.parametrize(
    ("text", "family", "address"),
    [
        ("192.0.2.1", socket.AF_INET, ("192.0.2.1", 5)),
        ("::ffff:192.0.2.1", socket.AF_INET, ("192.0.2.1", 5)),
        ("2001:db8::1", socket.AF_INET6, ("2001:db8::1", 5, 0, 0)),
        ("fe80::1%7", socket.AF_INET6, ("fe80::1", 5, 0, 7)),
        ("fe80::1%lo", socket.AF_INET6, ("fe80::1", 5, 0, socket.if_nametoindex("lo"))),
    ],
)
def test_socket_addresses(text, family, address):
    """The zone of a link-local address is a number of its own: sockets ignore it in the text."""
    assert socket_address(text, 5) == (family, address)


def test_a_zone_that_is_not_there():
    """As any other trouble with the network."""
    with pytest.raises(OSError, match=r"interface|[Nn]o such"):
        socket_address("fe80::1%nosuch", 5)
