"""The pumps in Twisted's own epoll reactor, turned by hand: how it reports a lost peer."""

import os
import socket

import pytest

from twisted_xfer.errors import ConnectionLost
from twisted_xfer.interfaces import TransferMode
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.testing.pumps import ScriptedFile, ScriptedUpload
from twisted_xfer.transfer import Transfers

epollreactor = pytest.importorskip("twisted.internet.epollreactor")

RESET = b"\1\0\0\0\0\0\0\0"


@pytest.fixture
def reactor():
    """A reactor of our own; never run, only turned."""
    reactor = epollreactor.EPollReactor()
    internal = set(reactor.getReaders())
    yield reactor
    assert set(reactor.getReaders()) == internal
    assert reactor.getWriters() == []
    assert reactor.getDelayedCalls() == []
    for reader in internal:
        reactor.removeReader(reader)
        reader.connectionLost(None)
    reactor._poller.close()


def turn(reactor, transfer, turns=1000):
    """Turn without waiting until the transfer has ended."""
    for _ in range(turns):
        if transfer.result.called:
            return
        reactor.runUntilCurrent()
        reactor.doIteration(0)
    raise TimeoutError("no end")


@pytest.mark.parametrize("way", ["download", "upload"])
def test_reset_by_the_peer(lab, reactor, way):
    """Error and hang-up end the transfer as a lost connection, and nothing stays registered."""
    lab.transfers.reactor = reactor
    channel, client = lab.connect()
    if way == "download":
        what = ScriptedFile([b"x" * (8 << 20)])
        transfer = lab.transfers.download(what, channel, TransferMode.IMAGE, None, 60.0)
    else:
        what = ScriptedUpload()
        transfer = lab.transfers.upload(what, channel, TransferMode.IMAGE, None, 60.0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    turn(reactor, transfer)
    assert isinstance(lab.outcome(transfer), ConnectionLost)


def test_whole_upload(lab, reactor):
    """Bytes that come over many turns, and the end."""
    transfers = Transfers(reactor, InlineBlocking())
    content = os.urandom(100_000)
    channel, client = lab.connect()
    upload = ScriptedUpload()
    transfer = transfers.upload(upload, channel, TransferMode.IMAGE, None, 60.0)
    for start in range(0, len(content), 10_000):
        client.sendall(content[start : start + 10_000])
        reactor.doIteration(0)
    client.close()
    turn(reactor, transfer)
    assert upload.data == content
    assert upload.ends == [("commit", None)]
