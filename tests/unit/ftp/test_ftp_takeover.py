"""Resuming an upload whose first connection is dead, as far as anybody can tell."""

from __future__ import annotations

import pytest
from twisted.internet.testing import StringTransport

from twisted_xfer.protocols.ftp.commands.takeover import STANDSTILL

from .conftest import channel


class Second:
    """Another session of the same listener."""

    def __init__(self, rig, user="alice", password="secret"):
        self.rig = rig
        self.transport = StringTransport(
            hostAddress=rig.transport.getHost(), peerAddress=rig.transport.getPeer()
        )
        self.protocol = rig.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        assert b"230 " in self.say(f"USER {user}", f"PASS {password}", "TYPE I")

    def say(self, *lines):
        self.protocol.dataReceived(b"".join(line.encode() + b"\r\n" for line in lines))
        answer = self.transport.value()
        self.transport.clear()
        return answer

    def take(self):
        return self.say()

    def connect(self):
        self.say("EPSV")
        self.rig.data_ports.ports[-1].channel = channel()


@pytest.fixture
def second(user):
    """Another session of alice, gone at the end."""
    made = Second(user)
    yield made
    if made.protocol.session is not None:
        made.protocol.connectionLost()


@pytest.fixture
def halted(user):
    """An upload under way that got four bytes, and no end."""
    user.say("TYPE I", "EPSV")
    user.data_ports.ports[-1].channel = channel()
    assert user.say("STOR f").startswith(b"150 ")
    transfer = user.transfers.made[-1]
    transfer.file.write(b"half")
    transfer.transferred = 4

    def cancel(reason=None):
        transfer.cancelled = reason
        transfer.file.suspend(reason)
        transfer.result.errback(reason)

    transfer.cancel = cancel
    return transfer


@pytest.mark.parametrize("lines", [["REST 4", "STOR f"], ["APPE f"]])
def test_a_resume_ends_an_upload_that_stands_still(user, second, halted, lines):
    """The first one hears 426, and the second goes on behind its bytes."""
    second.connect()
    assert b"150 " not in second.say(*lines)
    user.clock.advance(STANDSTILL - 0.1)
    assert halted.cancelled is None
    user.clock.advance(0.1)
    assert halted.cancelled is not None
    assert second.take().startswith(b"150 ")
    assert user.take().startswith(b"426 ")
    assert user.transfers.made[-1].file.offset == 4


def test_an_upload_that_moves_is_left_alone(user, second, halted):
    """One byte within the time is enough."""
    second.connect()
    second.say("APPE f")
    halted.transferred += 1
    user.clock.advance(STANDSTILL)
    assert halted.cancelled is None
    assert second.take().startswith(b"450 ")


def test_a_new_upload_does_not_end_another(user, second, halted):
    """Whoever does not resume may not even know of the first."""
    second.connect()
    assert second.say("STOR f").startswith(b"450 ")
    assert halted.cancelled is None


def test_an_upload_that_ends_meanwhile(user, second, halted):
    """Then the name is free all the same."""
    second.connect()
    second.say("APPE f")
    user.lose()
    user.clock.advance(STANDSTILL)
    assert second.take().startswith(b"150 ")


def test_a_client_that_is_gone_meanwhile(user, second, halted):
    """Nothing is opened for it."""
    second.connect()
    second.say("APPE f")
    second.protocol.connectionLost()
    user.clock.advance(STANDSTILL)
    assert len(user.transfers.made) == 1


def test_other_names_are_left_alone(user, second, halted):
    """A resume of one file says nothing about another."""
    user.session.uploading = user.session.cwd.child(b"g")
    second.connect()
    assert second.say("APPE f").startswith(b"450 ")
    assert halted.cancelled is None
