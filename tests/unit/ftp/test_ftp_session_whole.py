"""Whether an upload is whole whose data ended together with its control connection, or a moment before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from twisted_xfer.errors import Truncated
from twisted_xfer.protocols.ftp.commands.ending import (
    FEW_WRITES,
    FIRST_WAIT,
    LAST_LOOK,
    LONGER_LOOK,
    PATIENCE,
    TOO_SHORT,
)


class Sending:
    """An upload over a connection that no byte goes through, and the question whether it is whole."""

    def __init__(self, user, *before, sent=0):
        self._user = user
        user.say("TYPE I", *before, "EPSV")
        self.channel = SimpleNamespace(
            peer=user.session.peer, secure=False, abort=lambda: None, close=lambda: None
        )
        user.data_ports.ports[-1].channel = self.channel
        user.say("STOR f")
        self.transfer = user.transfers.made[-1]
        if sent:
            self.transfer.file.write(b"x" * sent)

    def look(self):
        return self.transfer.confirm()

    def second_look(self, wait, *, gone):
        """The answer of a look that waits for ``wait`` seconds, the client being ``gone`` by then."""
        answer = self.look()
        self._user.clock.advance(wait * 0.99)
        assert not answer.called
        if gone:
            leave(self._user)
        self._user.clock.advance(wait * 0.02)
        assert answer.called
        found = []
        answer.addBoth(found.append)
        return found[0]


def leave(user):
    """The control connection ends."""
    user.protocol._peek = lambda size, flags: b""


def test_upload_of_a_client_that_is_gone(user):
    """What ends together with the control connection is not whole."""
    sending = Sending(user)
    assert sending.look() is None
    leave(user)
    with pytest.raises(Truncated):
        sending.look()


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("took", "sent", "wait"),
    [
        (0, FEW_WRITES + 1, FIRST_WAIT),
        (TOO_SHORT, 1, FIRST_WAIT),
        (FIRST_WAIT, 1, FIRST_WAIT * PATIENCE),
        (10.0, 1, LAST_LOOK),
    ],
)
def test_the_control_connection_may_end_a_moment_after_the_data(user, took, sent, wait, gone):
    """It is looked at again after some times what the upload took, within bounds."""
    sending = Sending(user, sent=sent)
    user.clock.advance(took)
    found = sending.second_look(wait, gone=gone)
    assert found.check(Truncated) if gone else found is None


def test_an_upload_of_a_few_writes_is_looked_at_once(user):
    """For small files a wait would be most of their time."""
    sending = Sending(user, sent=FEW_WRITES)
    user.clock.advance(TOO_SHORT * 0.99)
    assert sending.look() is None


def test_an_upload_as_long_as_announced_is_whole(user):
    """ALLO's number says where the end is: neither a wait nor the client itself is needed any more."""
    sending = Sending(user, "ALLO 100", sent=100)
    user.clock.advance(10)
    leave(user)
    assert sending.look() is None


@pytest.mark.parametrize("gone", [False, True])
def test_an_upload_shorter_than_announced_is_looked_at_for_longer(user, gone):
    """RFC 959 lets ALLO be too much, so a client that waits for its reply has sent all it wanted."""
    found = Sending(user, "ALLO 101", sent=100).second_look(LONGER_LOOK, gone=gone)
    assert found.check(Truncated) if gone else found is None


def test_what_tls_ended_needs_no_second_look(user):
    """close_notify is no end that a kernel makes."""
    sending = Sending(user, sent=FEW_WRITES + 1)
    sending.channel.secure = True
    user.clock.advance(10)
    assert sending.look() is None
