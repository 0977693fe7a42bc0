"""What the tests of uploads share: a plain file to write to, and a client that sends as the socket takes it."""

import os

from zope.interface import implementer

from twisted_xfer.errors import QuotaExceeded
from twisted_xfer.interfaces import FileInfo, IHasFileno, IUpload, TransferMode
from twisted_xfer.paths import VirtualPath

IMAGE, ASCII = TransferMode.IMAGE, TransferMode.ASCII


@implementer(IUpload, IHasFileno)
class PlainUpload:
    """An upload into a plain file on disk."""

    def __init__(self, path, limit=1 << 40):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)
        self.path = VirtualPath((b"plain",))
        self.offset = 0
        self.mode = "image"
        self.limit = limit
        self.advanced = 0
        self.ends = []

    def fileno(self):
        os.lseek(self.fd, self.offset, os.SEEK_SET)
        return self.fd

    def reserve(self, size):
        left = self.limit - self.offset
        if left <= 0:
            raise QuotaExceeded(left=0, unit="bytes")
        return min(size, left)

    def write(self, data):
        os.lseek(self.fd, self.offset, os.SEEK_SET)
        self.offset += os.write(self.fd, data)

    def advance(self, size):
        self.offset += size
        self.advanced += size

    def end(self, *how):
        self.ends.append(how)
        os.close(self.fd)

    def commit(self, expected=None):
        self.end("commit", expected)
        return FileInfo(b"plain", "file", self.offset)

    def suspend(self, reason=None):
        self.end("suspend", reason)

    def abort(self, reason=None):
        self.end("abort", reason)


def feed(lab, transfer, client, content):
    """Send ``content`` as the socket takes it, then the end; a reset ends it early."""
    view = memoryview(content)
    client.setblocking(False)
    while view:
        try:
            view = view[client.send(view) :]
        except BlockingIOError:
            pass
        except OSError:
            return
        lab.reactor.turn()
    client.close()
    lab.reactor.run_until(lambda: transfer.result.called)
