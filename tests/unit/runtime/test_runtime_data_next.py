"""Data connections that are told of when they come, whether or not somebody waits."""

import pytest
from data_ports_lab import HOME, Exhausted, outcome

from twisted_xfer.errors import DataConnectionFailed


def test_next_connection_is_told_of_once(lab):
    """on_next() gets one connection, whenever it comes; the next stays in the queue for accept()."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    came = []
    port.on_next(came.append)
    lab.reactor.turn()
    assert came == []
    first = lab.dial(port.port)
    second = lab.dial(port.port)
    for _ in range(3):
        lab.reactor.turn()
    (channel,) = came
    lab.keep(channel)
    # Whoever waits in the queue does not keep the reactor busy.
    assert port not in lab.reactor.readers
    first.sendall(b"1")
    second.sendall(b"22")
    assert channel.recv_into(memoryview(bytearray(9))) == 1
    assert lab.keep(outcome(port.accept(30))).recv_into(memoryview(bytearray(9))) == 2
    assert len(came) == 1


def test_next_connection_goes_to_who_waits(lab):
    """accept() ends on_next(); that the reactor then still tells of the connection is no harm."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    came = []
    for _ in range(3):
        port.on_next(came.append)
        lab.dial(port.port)
        lab.keep(outcome(port.accept(30)))
        port.doRead()
    port.on_next(came.append)
    waiting = port.accept(30)
    lab.dial(port.port)
    lab.reactor.turn()
    lab.keep(outcome(waiting))
    assert came == []


@pytest.mark.parametrize(
    "end",
    [lambda port: port.clear(), lambda port: port.close(), lambda port: port.on_next(None)],
    ids=["clear", "close", "None"],
)
def test_next_connection_is_not_wanted_any_more(lab, end):
    """clear(), close() and None end on_next(), and nothing stays with the reactor."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    came = []
    port.on_next(came.append)
    end(port)
    if port.fileno() >= 0:
        lab.dial(port.port)
    for _ in range(3):
        lab.reactor.turn()
    assert came == []
    assert lab.reactor.leftovers() == []
    port.close()
    port.on_next(came.append)
    assert lab.reactor.leftovers() == []


def test_next_connection_has_no_descriptor(lab):
    """EMFILE ends on_next() as well; accept() says it then."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    port.on_next(lambda _channel: None)
    real, port._sock = port._sock, Exhausted(port._sock)
    port.doRead()
    assert lab.reactor.leftovers() == []
    assert isinstance(outcome(port.accept(30)), DataConnectionFailed)
    port._sock = real
