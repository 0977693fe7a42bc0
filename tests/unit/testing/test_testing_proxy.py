"""The proxy does exactly the harm that was asked for."""

import contextlib
import socket
import threading

import pytest

from twisted_xfer.testing.proxy import Harm, Proxy


@pytest.fixture
def echo():
    """An address where everything comes back."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock:
                try:
                    while data := sock.recv(100):
                        sock.sendall(data)
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(20)


def talk(proxy, data):
    """What comes back, until the end or the reset."""
    got = b""
    # Even connect may see the reset: with a timeout it asks only a moment later what came of it.
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection((proxy.host, proxy.port), timeout=20) as sock,
    ):
        sock.sendall(data)
        # Behind a reset the system says ENOTCONN, which is no ConnectionError.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(1000):
            got += piece
    return got


def test_nothing_is_done_to_what_is_not_planned(echo):
    """All bytes go through, both ways."""
    with Proxy(echo) as proxy:
        assert talk(proxy, bytes(range(256)) * 1000) == bytes(range(256)) * 1000
        assert {way: len(data) for way, data in proxy.carried[0].items()} == {"forth": 256000, "back": 256000}


@pytest.mark.parametrize("way", ["forth", "back"])
def test_a_bit_is_flipped_once(echo, way):
    """One bit of one byte, in either direction and at either edge."""
    with Proxy(echo) as proxy:
        for at in (0, 5, 9):
            proxy.plan.append(Harm(way, at=at, flip=True))
            got = talk(proxy, bytes(10))
            assert got == bytes(at) + b"\1" + bytes(9 - at)
        assert talk(proxy, b"good") == b"good"


@pytest.mark.parametrize("way", ["forth", "back"])
def test_so_many_bytes_and_no_more(echo, way):
    """Then what was asked for is called, and the connection is over; the next one is whole."""
    called = threading.Event()
    with Proxy(echo) as proxy:
        proxy.plan.append(Harm(way, at=7, then=called.set))
        assert len(talk(proxy, bytes(1000))) <= 7
        assert called.wait(20)
        assert len(proxy.carried[0][way]) == 7
        assert talk(proxy, b"good") == b"good"


def test_small_pieces(echo):
    """Nothing is lost by being slow."""
    with Proxy(echo) as proxy:
        proxy.plan.append(Harm(piece=3, delay=0.0001))
        assert talk(proxy, bytes(range(100))) == bytes(range(100))


def test_nobody_behind_it():
    """A server that is gone is a reset, and the proxy goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    with Proxy(address) as proxy:
        assert talk(proxy, b"a") == b""
        assert talk(proxy, b"a") == b""
