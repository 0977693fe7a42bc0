"""The channel in clear: what a pump may rely on."""

import socket

import pytest
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConnectionLost
from twisted_xfer.interfaces import IChannel, WantRead, WantWrite
from twisted_xfer.runtime.channels import SocketChannel


@pytest.fixture
def pair():
    """A channel and the other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=5)
        sock, _ = server.accept()
    channel = SocketChannel(sock, "127.0.0.1")
    yield channel, client
    channel.close()
    client.close()


def test_interface(pair):
    """It is what it says, in clear, and its small writes are sent at once."""
    channel, _ = pair
    verifyObject(IChannel, channel)
    assert channel.secure is False
    assert channel._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_bytes_both_ways_and_the_end(pair):
    """Send, receive, nothing there, the end."""
    channel, client = pair
    buffer = memoryview(bytearray(16))
    with pytest.raises(WantRead):
        channel.recv_into(buffer)
    client.sendall(b"ping")
    assert channel.recv_into(buffer) == 4
    assert channel.send(b"pong") == 4
    assert channel.shutdown()
    assert client.makefile("rb").read() == b"pong"
    client.close()
    assert channel.recv_into(buffer) == 0


def test_full_socket(pair):
    """A peer that does not read: WantWrite, never a wait."""
    channel, _ = pair
    with pytest.raises(WantWrite):
        for _ in range(1000):
            channel.send(b"x" * (1 << 20))


def test_abort_is_a_reset(pair):
    """The peer cannot take what it has for the whole."""
    channel, client = pair
    channel.send(b"half")
    channel.abort()
    channel.abort()
    channel.close()
    assert channel.fileno() == -1
    with pytest.raises(ConnectionResetError):
        while client.recv(100):
            pass


def test_lost_peer(pair):
    """A reset is ConnectionLost, with the system's name for it, wherever it is met."""
    channel, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    with pytest.raises(ConnectionLost, match="ECONNRESET"):
        channel.recv_into(memoryview(bytearray(1)))
    with pytest.raises(ConnectionLost, match="EPIPE"):
        channel.send(b"x")
    with pytest.raises(ConnectionLost):
        channel.shutdown()


def test_detached_socket_goes_on(pair):
    """Who takes the socket has the connection; closing the channel does not end it any more."""
    channel, client = pair
    with channel.detach() as sock:
        channel.close()
        channel.abort()
        assert channel.fileno() == -1
        sock.sendall(b"still here")
        assert client.recv(100) == b"still here"
