"""Before a thread has the line: what was written has left, and nothing is written any more."""

import pytest
from twisted.internet.task import Clock

from twisted_xfer.protocols.xfer.connection import Connection


class Transport:
    """What is written stays until ``leave``; whoever asked for that is told then, as by Twisted's."""

    def __init__(self):
        self.buffer, self.producer = [], None

    def registerProducer(self, producer, streaming):
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self):
        self.producer = None

    def startWriting(self):
        pass

    def writeSequence(self, pieces):
        self.buffer += pieces

    def leave(self):
        self.buffer.clear()
        self.producer.resumeProducing()


@pytest.mark.parametrize("before", [True, False])
def test_nothing_is_written_between_the_last_byte_and_whoever_waits_for_it(before):
    """Others who wait for room are told later, also those who wait for longer: what they write is written behind."""
    connection = Connection("caller", Clock())
    connection.transport = transport = Transport()

    def others():
        connection.writable().addCallback(lambda _: connection.send_raw(b"late"))

    connection.send_raw(b"early")
    connection.pauseProducing()
    if before:
        others()
    left = []
    connection.drained().addCallback(lambda _: left.append(list(transport.buffer)))
    if not before:
        others()
    assert not left
    transport.leave()
    assert left == [[]]
    assert transport.buffer == [b"late"]
