"""A connection that writes down what leaves of it."""

from twisted.internet.task import Clock

from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import FrameReader
from twisted_xfer.protocols.xfer.wire.link import NONE


class Lines:
    """It is its own link, to a peer that knows ``features``."""

    secure = False
    compression = NONE

    def __init__(self, *features):
        self.features = frozenset(features)
        self.link = self
        self.clock = Clock()
        self.writes = []
        self.failed = None
        self.full = None

    def encode(self, message):
        return message.encode()

    def send(self, *messages):
        self.writes.append(b"".join(message.encode() for message in messages))

    def send_raw(self, data):
        self.writes.append(data)

    def writable(self):
        return self.full

    def fail(self, error):
        self.failed = error

    def read(self):
        """The frames that left, write by write: each write is of whole ones."""
        found = []
        for write in self.writes:
            reader = FrameReader(m.MAX_CONTROL)
            reader.raw = True
            reader.receive_data(write)
            frames = []
            while (frame := reader.next_frame()) is not None:
                frames.append(frame)
            assert reader.at_boundary
            found.append(frames)
        return found
