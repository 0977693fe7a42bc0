"""Transfers of a session: their replies, how they are aborted, and the port that nobody used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed

from twisted_xfer.errors import Cancelled, ConnectionLost, TimedOut
from twisted_xfer.interfaces import Timeouts


def test_transfer_replies_in_order(user):
    """150 when it begins, 226 when the data connection is down."""
    assert user.start_download().startswith(b"150 ")
    user.transfers.made[0].result.callback(4)
    assert user.take().startswith(b"226 ")


def test_abort_of_a_transfer(user):
    """ABOR: 426 for the transfer, 226 for itself, and the session works on."""
    user.start_download()
    reply = user.say("ABOR")
    assert [line[:4] for line in reply.splitlines()] == [b"426 ", b"226 "]
    assert user.say("PWD").startswith(b"257 ")


def test_abort_with_telnet_synch(user):
    """ABOR behind IAC IP IAC DM, as RFC 959 has it."""
    user.start_download()
    assert user.raw(b"\xff\xf4\xff\xf2ABOR\r\n").startswith(b"426 ")


def test_abort_while_nobody_has_connected(user):
    """ABOR ends the wait for a data connection too."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    assert user.say("RETR f").startswith(b"150 ")
    reply = user.say("ABOR")
    assert reply.splitlines()[-1].startswith(b"226 ")
    assert user.say("PWD").startswith(b"257 ")


def test_abort_without_transfer(user):
    """ABOR of nothing is a good reply."""
    assert user.say("ABOR").startswith(b"22")


def test_quit_during_a_transfer_waits_for_it(user):
    """RFC 959: the transfer's reply and those of what waited come first, then 221 and the end."""
    user.start_download()
    assert user.say("MKD before", "QUIT", "MKD after") == b""
    assert not user.transport.disconnecting
    user.transfers.made[0].result.callback(4)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", b"257 ", b"221 "]
    assert user.transport.disconnecting


def test_lost_control_connection_ends_the_transfer(user):
    """Nothing goes on for a client that is gone."""
    user.start_download()
    user.lose()
    assert isinstance(user.transfers.made[0].cancelled, Cancelled)
    assert user.data_ports.ports[0].closed


def test_failed_transfer(user):
    """A lost data connection is 426, and the session works on."""
    user.start_download()
    user.transfers.made[0].result.errback(ConnectionLost())
    assert user.take().startswith(b"426 ")
    assert user.say("NOOP").startswith(b"200 ")


@pytest.mark.parametrize(("command", "said"), [("STOR g", True), ("APPE f", True), ("RETR f", False)])
def test_when_150_leaves(user, command, said):
    """Before an upload at once, for the client to begin; a download takes it along with its bytes."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    port = user.data_ports.ports[0]
    before = []

    def accept(_timeout):
        before.append(user.take())
        return succeed(SimpleNamespace(secure=False))

    port.accept = accept
    after = user.say(command)
    assert before[0].startswith(b"150 ") is said
    assert after.startswith(b"150 ") is not said
    assert len(user.transfers.made) == 1


def test_nobody_connects(user):
    """A data connection that is not made in time is 425."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    user.say("RETR f")
    user.data_ports.ports[0].waiting.errback(TimedOut())
    assert user.take().startswith(b"425 ")


def test_transfer_needs_a_data_connection(user):
    """RETR, STOR, LIST and the rest without PASV or PORT are 425."""
    for verb in ("RETR f", "STOR f", "APPE f", "STOU", "LIST", "NLST", "MLSD"):
        assert user.say(verb).startswith(b"425 "), verb


def test_a_data_connection_serves_one_transfer(user):
    """The second RETR needs a PASV of its own."""
    user.start_download()
    user.transfers.made[0].result.callback(4)
    user.take()
    assert user.say("RETR f").startswith(b"425 ")


def test_pasv_again_drops_who_was_in_the_queue(user):
    """A connection made for an abandoned PASV is not taken for the next transfer's."""
    user.say("EPSV")
    user.say("EPSV")
    assert len(user.data_ports.ports) == 1
    assert user.data_ports.ports[0].cleared == 1


def test_unused_port_goes_back(make_rig):
    """A port that nothing has used for a while is closed."""
    rig = make_rig(timeouts=Timeouts(accept=5)).login()
    rig.say("EPSV")
    rig.clock.pump([1] * 4)
    assert not rig.data_ports.ports[0].closed
    rig.clock.pump([1] * 3)
    assert rig.data_ports.ports[0].closed
    assert rig.say("RETR f").startswith(b"425 ")


def test_abort_while_the_file_is_being_opened(user):
    """A storage that answers later: ABOR counts all the same, and nothing is sent."""
    opening = Deferred()
    avatar = user.session.avatar
    user.storage_file("f", b"data")
    file = avatar.open_read(user.session.path(b"f"))
    user.say("EPSV")
    user.data_ports.ports[-1].channel = object()
    slow = SlowAvatar(avatar, opening)
    user.session.avatar = slow
    assert user.say("RETR f", "ABOR") == b""
    opening.callback(file)
    assert [line[:4] for line in user.take().splitlines()] == [b"426 ", b"226 "]
    assert user.transfers.made == []


class SlowAvatar:
    """An avatar whose open_read answers when the test says so."""

    def __init__(self, avatar, opening):
        self._avatar = avatar
        self._opening = opening

    def open_read(self, path, offset=0):
        return self._opening

    def __getattr__(self, name):
        return getattr(self._avatar, name)


def test_lingering_port_goes_to_who_needs_one(make_rig):
    """A port that an idle session only keeps is given up when the range is used up."""
    rig = make_rig().login()
    rig.storage_file("f", b"x")
    rig.transfers.instant = True
    rig.say("EPSV")
    kept = rig.data_ports.ports[-1]
    kept.channel = SimpleNamespace(peer="127.0.0.1", secure=False, abort=lambda: None, close=lambda: None)
    assert b"226 " in rig.say("RETR f")
    assert not kept.closed
    rig.protocol.reclaim_ports()
    assert kept.closed


def test_accept_timeout_of_zero_is_none(make_rig):
    """Switched off, the deadline takes no port away."""
    rig = make_rig(timeouts=Timeouts(accept=0, idle=0)).login()
    rig.say("EPSV")
    rig.clock.pump([1] * 100)
    assert not rig.data_ports.ports[0].closed
