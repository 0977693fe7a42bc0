"""Prompt transports: answers leave in the same turn and in order, and so does the end."""

from __future__ import annotations

import socket

import pytest
from prompt_rig import LARGE, connection, read
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import IPromptTransport

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def rig():
    """A connection."""
    yield from connection()


def test_what_it_is(rig):
    """A transport of Twisted's with two methods more."""
    assert verifyObject(IPromptTransport, rig.transport)
    host, port = rig.client.getsockname()
    assert (rig.transport.getPeer().host, rig.transport.getPeer().port) == (host, port)
    assert rig.transport.logPrefix() == "Notes,7,127.0.0.1"
    assert repr(rig.transport) == "<Notes #7 of 127.0.0.1>"


def test_an_answer_leaves_in_the_same_turn(rig):
    """Without a turn, and without asking the reactor when it may."""
    rig.protocol.answer = lambda data: rig.transport.send(data.upper()) and None
    rig.client.sendall(b"abc")
    rig.until_told(b"abc")
    assert read(rig, 3) == b"ABC"
    assert rig.reactor.asked == 0


def test_an_end_is_told_once(rig):
    """The client's end, after which nothing can be sent and nothing breaks."""
    rig.client.shutdown(socket.SHUT_WR)
    rig.until_told(ConnectionDone)
    assert rig.transport.send(b"x")
    rig.transport.connectionLost(Failure(ConnectionDone()))
    assert rig.protocol.told == [ConnectionDone]
    assert not rig.reactor.readers
    assert "NoneType" in repr(rig.transport)


def test_half_of_the_end(rig):
    """A protocol that knows of halves may go on sending."""
    alsoProvides(rig.protocol, IHalfCloseableProtocol)
    rig.protocol.readConnectionLost = lambda: rig.transport.finish(b"still here")
    rig.client.shutdown(socket.SHUT_WR)
    assert read(rig) == b"still here"
    assert rig.protocol.told == [ConnectionDone]


@pytest.mark.parametrize("secure", [False, True])
def test_what_the_socket_does_not_take_waits_in_order(rig, secure):
    """``send`` says so, a producer is told, and later answers stay behind."""
    if secure:
        rig.secure()
    told: list[str] = []

    class Producer:
        def pauseProducing(self) -> None:
            told.append("pause")

        def resumeProducing(self) -> None:
            told.append("resume")

        def stopProducing(self) -> None:
            told.append("stop")

    rig.transport.registerProducer(Producer(), True)
    body = bytes(range(256)) * (LARGE // 256)
    assert not rig.transport.send(body)
    assert told[0] == "pause"
    assert not rig.transport.send(b"second")
    rig.transport.unregisterProducer()
    rig.transport.finish(b"third")
    assert read(rig) == body + b"second" + b"third"


def test_last_words_and_the_end(rig):
    """In one turn; the protocol is told, and the reactor has nothing left of it."""
    rig.protocol.answer = lambda data: rig.transport.finish(b"bye")
    rig.client.sendall(b"QUIT")
    rig.until_told(b"QUIT", ConnectionDone)
    assert read(rig) == b"bye"
    assert not rig.reactor.readers
    assert rig.reactor.asked == 0


def test_finish_behind_what_waits(rig):
    """What was written comes first."""
    rig.transport.write(b"one ")
    rig.transport.finish(b"two")
    assert rig.protocol.told == []
    assert read(rig) == b"one two"
    assert rig.protocol.told == [ConnectionDone]


def test_last_words_to_a_client_that_goes_on_talking(rig):
    """What nobody read turns the end into a reset, which must not take the last words with it."""

    def answer(data: bytes) -> None:
        rig.client.sendall(b"and another thing")
        rig.transport.finish(b"bye")

    rig.protocol.answer = answer
    rig.client.sendall(b"QUIT")
    rig.until_told(b"QUIT", ConnectionDone)
    assert rig.client.recv(100) == b"bye"
