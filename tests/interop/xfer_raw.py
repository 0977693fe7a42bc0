"""A caller that says what a test wants, whether the protocol allows it or not."""

from xfer_pipes import Net

from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import PREAMBLE, Control, FrameReader


class Raw:
    """A caller that says what a test wants, and reads every answer."""

    def __init__(self, net: Net):
        self.net = net
        self.line = net.raw()
        self.reader = FrameReader(65536)
        self._greeted = False

    def say(self, *pieces):
        for piece in pieces:
            self.line.caller.write(piece.encode() if isinstance(piece, m.Message) else piece)
            self.net.pump()
        return self

    def heard(self):
        """Messages that came since the last call."""
        data = bytes(self.line.caller.protocol.data)
        self.line.caller.protocol.data.clear()
        if data and not self._greeted:
            assert data.startswith(PREAMBLE)
            data, self._greeted = data[len(PREAMBLE) :], True
        self.reader.receive_data(data)
        found = []
        while (frame := self.reader.next_frame()) is not None:
            assert isinstance(frame, Control)
            found.append(m.read_message(frame))
        return found

    def errors(self):
        return [one.name for one in self.heard() if isinstance(one, m.Error | m.Refuse)]

    @property
    def gone(self):
        return self.line.caller.protocol.lost

    def log_in(self, role="send", password="secret", window=64):
        hello = m.Hello(nonce=bytes(16), role=role, window=window)
        self.say(PREAMBLE, hello)
        listener, _select = self.heard()
        digest = hello_digest([hello.payload(), listener.payload()])
        self.say(m.Auth(mechanism="PLAIN", username="alice", password=password, hello_digest=digest))
        return self
