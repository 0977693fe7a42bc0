"""What the small stream protocols share: a connection read by a pure wire, served or dialled.

Not a seam: a protocol may do without. It stands below the protocols and knows none of them.
"""

from twisted_xfer.streams.client import ClientStream, dial
from twisted_xfer.streams.downloads import open_whole
from twisted_xfer.streams.drain import Queued, drained, kernel_queue
from twisted_xfer.streams.served import ServedFactory, ServedStream
from twisted_xfer.streams.stream import CHUNK, Outlet, Reader, WireStream
from twisted_xfer.streams.uploads import commit, let_go

__all__ = [
    "CHUNK",
    "ClientStream",
    "Outlet",
    "Queued",
    "Reader",
    "ServedFactory",
    "ServedStream",
    "WireStream",
    "commit",
    "dial",
    "drained",
    "kernel_queue",
    "let_go",
    "open_whole",
]
