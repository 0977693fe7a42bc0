"""Data ports: the range, the peer, the deadline, and nothing left open."""

import socket
from ipaddress import ip_network

import pytest
from data_ports_lab import HOME, Exhausted, outcome
from zope.interface.verify import verifyObject

from twisted_xfer.errors import Busy, Cancelled, DataConnectionFailed, DataPeerRefused, TimedOut
from twisted_xfer.interfaces import IChannel, IDataPorts, IPassivePort
from twisted_xfer.runtime.data_ports import BACKLOG, MAX_BINDS, MAX_STRANGERS, DataPorts
from twisted_xfer.runtime.dial import plain_address


def free_range(size=1):
    """A range of ports that were free a moment ago."""
    sockets = []
    for low in range(23000, 32000, 50):
        try:
            for port in range(low, low + size):
                sock = socket.socket()
                sockets.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((HOME, port))
        except OSError:
            continue
        finally:
            while sockets:
                sockets.pop().close()
        return low, low + size - 1
    raise AssertionError("no free range")


def test_interfaces(lab):
    """They are what they say."""
    ports = lab.ports()
    verifyObject(IDataPorts, ports)
    port = lab.keep(ports.listen(HOME, HOME))
    verifyObject(IPassivePort, port)
    assert 49152 <= port.port <= 65534


def test_waiting_connection_is_taken_at_once(lab):
    """A client that connected before is there without a turn of the reactor."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    client = lab.dial(port.port)
    channel = lab.keep(outcome(port.accept(30)))
    verifyObject(IChannel, channel)
    assert channel.peer == HOME
    client.sendall(b"hello")
    buffer = memoryview(bytearray(10))
    assert channel.recv_into(buffer) == 5


def test_small_writes_are_immediate(lab):
    """Connections in both families come without Nagle's algorithm, and never make anybody wait."""
    for host in (HOME, "::1"):
        port = lab.keep(lab.ports().listen(host, host))
        lab.dial(port.port, host, host)
        channel = lab.keep(outcome(port.accept(30)))
        assert channel._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert channel._sock.gettimeout() == 0


def test_connection_that_comes_later(lab):
    """The listener is with the reactor only while somebody waits for it."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    waiting = port.accept(30)
    assert port in lab.reactor.readers
    lab.dial(port.port)
    lab.reactor.turn()
    lab.keep(outcome(waiting))
    assert lab.reactor.leftovers() == []


def test_port_is_reused_for_the_next_transfer(lab):
    """One listener serves many transfers of its session."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    for _ in range(3):
        lab.dial(port.port)
        lab.keep(outcome(port.accept(30)))


def test_range_is_used_to_its_last_port_and_no_further(lab):
    """Three ports serve three sessions; the fourth is told to wait, until one is given back."""
    low, high = free_range(3)
    ports = lab.ports(ports=(low, high))
    taken = [lab.keep(ports.listen(HOME, HOME)) for _ in range(3)]
    assert {port.port for port in taken} == {low, low + 1, high}
    with pytest.raises(Busy):
        ports.listen(HOME, HOME)
    taken[1].close()
    taken[1].close()
    assert lab.keep(ports.listen(HOME, HOME)).port == taken[1].port


def test_foreign_listener_is_passed_by(lab):
    """A port that another process has is left alone."""
    low, high = free_range(2)
    other = lab.keep(socket.create_server((HOME, low)))
    ports = lab.ports(ports=(low, high))
    assert lab.keep(ports.listen(HOME, HOME)).port == high
    assert other.getsockname()[1] == low


def test_search_is_bounded(lab, monkeypatch):
    """When others hold the range, it is given up after MAX_BINDS."""
    tried = []
    monkeypatch.setattr(DataPorts, "_bind", staticmethod(lambda _local, port: tried.append(port)))
    with pytest.raises(Busy):
        lab.ports().listen(HOME, HOME)
    assert len(tried) == MAX_BINDS


def test_port_is_chosen_by_chance(lab):
    """The number comes from the source of chance that was given."""
    low, high = free_range(3)
    assert (
        lab.keep(lab.ports(ports=(low, high), random=lambda span: span - 1).listen(HOME, HOME)).port == high
    )


def test_no_address_of_ours(lab):
    """An address that this machine does not have."""
    with pytest.raises(DataConnectionFailed):
        lab.ports().listen("192.0.2.1", HOME)


def test_strangers_are_closed_and_reported(lab):
    """Somebody else's connection is reset, told of, and the wait goes on with its old deadline."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    waiting = port.accept(30)
    stranger = lab.dial(port.port, source="127.0.0.2")
    lab.reactor.advance(10)
    lab.reactor.turn()
    with pytest.raises(ConnectionResetError):
        stranger.recv(1)
    assert lab.events.seen == [("data.peer_refused", {"peer": HOME, "intruder": "127.0.0.2"})]
    lab.dial(port.port)
    lab.reactor.turn()
    lab.keep(outcome(waiting))


def test_too_many_strangers(lab):
    """One below the bound the peer still gets in; at the bound the wait is over."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    for strangers, kind in ((MAX_STRANGERS - 1, IChannel), (MAX_STRANGERS, DataPeerRefused)):
        waiting = port.accept(30)
        for _ in range(strangers):
            lab.dial(port.port, source="127.0.0.2").close()
            lab.reactor.turn()
        if kind is IChannel:
            lab.dial(port.port)
            lab.reactor.turn()
            lab.keep(outcome(waiting))
        else:
            assert isinstance(outcome(waiting), DataPeerRefused)
    assert len(lab.events.seen) == 2 * MAX_STRANGERS - 1


def test_deadline(lab):
    """Nobody comes: TimedOut at the deadline and not before; the port can be used again."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    waiting = port.accept(30)
    lab.reactor.advance(29.5)
    assert not waiting.called
    lab.reactor.advance(0.5)
    assert isinstance(outcome(waiting), TimedOut)
    lab.dial(port.port)
    lab.keep(outcome(port.accept(30)))


def test_one_wait_at_a_time(lab):
    """A second accept() while one waits is refused."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    first = port.accept(30)
    assert isinstance(outcome(port.accept(30)), Busy)
    port.close()
    assert isinstance(outcome(first), Cancelled)
    assert isinstance(outcome(port.accept(30)), Cancelled)
    assert port.fileno() == -1


def test_cancelled_wait(lab):
    """Cancelling the Deferred leaves neither timer nor reader."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    waiting = port.accept(30)
    waiting.cancel()
    outcome(waiting)
    assert lab.reactor.leftovers() == []


def test_clear_drops_stale_connections(lab):
    """A connection made for a transfer that never began is not taken for the next one's."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    stale = [lab.dial(port.port) for _ in range(BACKLOG // 2)]
    port.clear()
    for client in stale:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    fresh = lab.dial(port.port)
    fresh.sendall(b"fresh")
    channel = lab.keep(outcome(port.accept(30)))
    assert channel.recv_into(memoryview(bytearray(9))) == 5


def test_out_of_descriptors(lab):
    """EMFILE ends the wait: the connection would stay in the queue and wake the reactor for ever."""
    port = lab.keep(lab.ports().listen(HOME, HOME))
    waiting = port.accept(30)
    real, port._sock = port._sock, Exhausted(port._sock)
    port.doRead()
    assert isinstance(outcome(waiting), DataConnectionFailed)
    port._sock = real


def test_ipv6_and_mapped_addresses(lab):
    """IPv6 is listened on by itself; a mapped IPv4 address is the IPv4 address that it is."""
    ports = lab.ports()
    port = lab.keep(ports.listen("::1", "::1"))
    lab.dial(port.port, "::1", "::1")
    assert lab.keep(outcome(port.accept(30))).peer == "::1"
    port = lab.keep(ports.listen("::ffff:127.0.0.1", "::ffff:127.0.0.1"))
    lab.dial(port.port)
    lab.keep(outcome(port.accept(30)))
    assert str(plain_address("fe80::1%eth0")) == "fe80::1"


RULES = [(ip_network("198.51.100.0/24"), "198.51.100.1"), (None, "203.0.113.7"), (None, "203.0.113.8")]


@pytest.mark.parametrize(
    ("rules", "local", "peer", "told"),
    [
        ([], "10.0.0.5", "8.8.8.8", "10.0.0.5"),
        ([], "::ffff:10.0.0.5", "8.8.8.8", "10.0.0.5"),
        (RULES, "10.0.0.5", "8.8.8.8", "203.0.113.7"),
        (RULES, "10.0.0.5", "198.51.100.77", "198.51.100.1"),
        (RULES, "10.0.0.5", "10.9.9.9", "10.0.0.5"),
        (RULES, "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        (RULES, "8.8.4.4", "10.9.9.9", "203.0.113.7"),
        ([(ip_network("0.0.0.0/0"), "203.0.113.9")], "10.0.0.5", "8.8.8.8", "203.0.113.9"),
        ([(ip_network("0.0.0.0/0"), "203.0.113.9")], "10.0.0.5", "10.9.9.9", "10.0.0.5"),
        ([(ip_network("10.0.0.0/8"), "10.1.1.1")], "10.0.0.5", "10.9.9.9", "10.1.1.1"),
    ],
)
def test_advertised(lab, rules, local, peer, told):
    """A rule for the peer's network, then our side of the translation, then the public address."""
    assert lab.ports(public_addresses=rules).advertised(local, peer) == told
