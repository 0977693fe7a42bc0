"""What the tests of transfers under faults share: one connection, a limiter, and transfers under way on it."""

import socket

from twisted_xfer.interfaces import TransferMode
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.channels import SocketChannel
from twisted_xfer.testing.pumps import ManualReactor, ScriptedFile, ScriptedUpload
from twisted_xfer.transfer import Transfers

IMAGE = TransferMode.IMAGE
RESET = b"\1\0\0\0\0\0\0\0"


class Rig:
    """Transfers over one loopback connection."""

    def __init__(self):
        self.reactor = ManualReactor()
        self.transfers = Transfers(self.reactor, InlineBlocking())
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client = socket.create_connection(server.getsockname())
            sock, _ = server.accept()
        self.channel = SocketChannel(sock, "127.0.0.1")

    def reset(self):
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.close()

    def until_done(self, transfer):
        self.reactor.run_until(lambda: transfer.result.called)


def error_of(transfer):
    """What the result failed with."""
    seen = []
    transfer.result.addErrback(lambda failure: seen.append(failure.value))
    assert len(seen) == 1
    return seen[0]


class Bucket:
    """A limiter that gives what it is told to."""

    def __init__(self, *grants, delay=2.0):
        self.grants = list(grants)
        self.wait = delay
        self.returned = 0

    def take(self, wanted):
        return min(wanted, self.grants.pop(0)) if self.grants else wanted

    def give_back(self, unused):
        self.returned += unused

    def delay(self):
        return self.wait


def downloading(rig):
    file = ScriptedFile([b"x" * (8 << 20)])
    return rig.transfers.download(file, rig.channel, IMAGE, None, 60.0), file, None


def receiving(rig):
    upload = ScriptedUpload()
    return rig.transfers.upload(upload, rig.channel, IMAGE, None, 60.0), upload, None
