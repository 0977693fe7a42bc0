"""Sockets, files and a reactor for pumps; each test ends with a look for leaks."""

import os
import socket

import pytest

from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.channels import SocketChannel
from twisted_xfer.testing.pumps import ManualReactor
from twisted_xfer.transfer import Transfers


def open_descriptors():
    """Everything that this process has open."""
    return set(os.listdir("/proc/self/fd"))


class Lab:
    """One Transfers, its reactor, and connections to it."""

    def __init__(self):
        self.reactor = ManualReactor()
        self.transfers = Transfers(self.reactor, InlineBlocking())
        self.peers = []

    def connect(self, sndbuf=0):
        """A channel and the client's end of it, over loopback TCP."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        if sndbuf:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, sndbuf)
        client.settimeout(5)
        self.peers.append(client)
        return SocketChannel(ours, "127.0.0.1"), client

    def outcome(self, transfer):
        """What ``result`` fired with, bytes or error, and that it did so once."""
        seen = []
        transfer.result.addBoth(seen.append)
        assert len(seen) == 1, "the transfer has not ended"
        return seen[0] if isinstance(seen[0], int) else seen[0].value

    def drive(self, transfer, client=None):
        """Turn until the end while the client reads; what it read, and whether it was reset."""
        got = bytearray()
        fired = []
        transfer.result.addBoth(lambda value: (fired.append(1), value)[1])
        reset = closed = False
        if client is not None:
            client.setblocking(False)
        for _ in range(200_000):
            self.reactor.turn()
            if client is not None and not closed:
                try:
                    data = client.recv(1 << 20)
                    got += data
                    closed = not data
                except BlockingIOError:
                    pass
                except ConnectionResetError:
                    reset = closed = True
            if fired and (client is None or closed):
                return bytes(got), reset
        raise TimeoutError("no end")


@pytest.fixture
def lab():
    """A lab whose leaks fail the test."""
    before = open_descriptors()
    lab = Lab()
    yield lab
    assert lab.reactor.leftovers() == []
    assert lab.transfers.active == 0
    for peer in lab.peers:
        peer.close()
    lab.transfers.close()
    assert open_descriptors() - before == set()
