"""Data connections in TLS: which of them are this client's, and how long we wait to find out."""

import math
from types import SimpleNamespace

import pytest
from ftp_secured import begin_transfer, private, secured, transfer
from twisted.internet.defer import Deferred

from twisted_xfer.interfaces import Timeouts
from twisted_xfer.protocols.ftp.siblings import MAX_EACH, MEMORY, SWEEP_AT, Siblings


@pytest.mark.parametrize(
    ("mode", "first", "again"),
    [
        ("off", b"226", b"226"),
        ("prefer", b"226", b"226"),
        ("auto", b"226", b"522"),
        ("require", b"522", b"522"),
    ],
)
def test_modes_of_resumption(secure_rig, mode, first, again):
    """Before a client has resumed for the first time, and afterwards."""
    rig = private(secure_rig(), mode)
    assert transfer(rig, "LIST", resumed=False) == first
    assert transfer(rig, "LIST", resumed=True) == b"226"
    assert transfer(rig, "LIST", resumed=False) == again
    assert transfer(rig, "LIST", resumed=True) == b"226"


def test_refusals_are_told(secure_rig):
    """As an event, and in words that say what to change."""
    rig = private(secure_rig(), "require")
    transfer(rig, "LIST", resumed=False)
    (told,) = [fields for name, fields in rig.events.seen if name == "data.not_resumed"]
    assert (told["refused"], told["username"], told["session"]) == (True, "alice", rig.session.session_id)


def test_auto_bears_with_a_spent_ticket(secure_rig):
    """After an upload in TLS 1.3, once; a client that resumes all the same is held to it."""
    rig = private(secure_rig(), "auto")
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "LIST", resumed=False) == b"226"
    assert transfer(rig, "LIST", resumed=False) == b"522"
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "STOR", resumed=False) == b"522"


def test_auto_in_tls_12(secure_rig):
    """There sessions are not used up, and an upload is no excuse."""
    rig = private(secure_rig(), "auto")
    assert transfer(rig, "STOR", resumed=True, one_ticket=False) == b"226"
    assert transfer(rig, "STOR", resumed=False, one_ticket=False) == b"522"


def test_auto_bears_with_siblings(secure_rig):
    """Another session of the same user from the same address may have given the ticket; a stranger's not."""
    rig = private(secure_rig(), "auto")
    now = rig.clock.seconds()
    assert transfer(rig, "LIST", resumed=True) == b"226"
    rig.factory.siblings.begin("192.0.2.1", "alice", "other", now)
    rig.factory.siblings.begin("127.0.0.1", "bob", "other", now)
    assert transfer(rig, "LIST", resumed=False) == b"522"
    rig.factory.siblings.begin("127.0.0.1", "alice", "other", now)
    assert transfer(rig, "LIST", resumed=False) == b"226"


def with_stranger(secure_rig, handshake=7.0):
    """A client that has resumed, a stranger at its address, and a data connection that did not resume."""
    rig = private(secure_rig(timeouts=Timeouts(handshake=handshake)), "auto")
    assert transfer(rig, "LIST", resumed=True, one_ticket=False) == b"226"
    rig.factory.siblings.arrive("127.0.0.1", "other")
    channel, answer = begin_transfer(rig, "LIST", resumed=False, one_ticket=False)
    assert answer.startswith(b"150 ")
    assert answer.count(b"\r\n") == 1
    rig.transport.clear()
    return rig, channel


def test_auto_waits_for_the_login_of_a_sibling(secure_rig):
    """Its ticket is the client's from the TLS handshake on, before anybody knows whose session it is."""
    rig, channel = with_stranger(secure_rig)
    rig.clock.advance(6.9)
    assert rig.transport.value() == b""
    rig.factory.siblings.begin("127.0.0.1", "alice", "other", rig.clock.seconds())
    assert rig.transport.value().startswith(b"226 ")
    assert not channel.aborted


@pytest.mark.parametrize("fate", ["leaves", "is somebody else", "is elsewhere", "stays"])
def test_auto_refuses_what_no_sibling_explains(secure_rig, fate):
    """A stranger that does not log in as the same user, from the same address and in time, changes nothing."""
    rig, channel = with_stranger(secure_rig)
    siblings = rig.factory.siblings
    if fate == "leaves":
        siblings.leave("127.0.0.1", "other")
    elif fate == "is somebody else":
        siblings.begin("127.0.0.1", "bob", "other", rig.clock.seconds())
    elif fate == "is elsewhere":
        siblings.begin("192.0.2.1", "alice", "third", rig.clock.seconds())
        assert rig.transport.value() == b""
        rig.clock.advance(7.0)
    else:
        rig.clock.advance(7.0)
    assert rig.transport.value().startswith(b"522 ")
    assert channel.aborted
    assert not siblings._waiting.get("127.0.0.1")


def test_the_wait_for_a_sibling_can_be_aborted(secure_rig):
    """ABOR ends it, and so does the end of the session."""
    rig, channel = with_stranger(secure_rig)
    assert b"226 " in rig.say("ABOR")
    assert channel.aborted
    assert not rig.factory.siblings._waiting["127.0.0.1"]


def test_sessions_in_tls_are_strangers_until_they_log_in(secure_rig):
    """And no longer when they are gone."""
    rig = secured(secure_rig())
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is not None
    assert rig.factory.siblings.stranger_left("127.0.0.1", rig.session.session_id) is None
    rig.login()
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is None
    rig = secured(secure_rig())
    rig.session.lost()
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is None


def test_handshake_deadlines(secure_rig):
    """A control connection that never shakes hands is cut off; a data connection gets its own deadline."""
    rig = secure_rig(timeouts=Timeouts(handshake=7.0))
    rig.say("AUTH TLS")
    rig.clock.advance(6.0)
    assert "aborted" not in rig.started
    rig.clock.pump([1.0, 1.0])
    assert rig.started[-1] == "aborted"


def test_data_handshake_deadline(secure_rig):
    """It is that of the host."""
    rig = private(secure_rig(timeouts=Timeouts(handshake=7.0)), "auto")
    transfer(rig, "LIST", resumed=True)
    assert rig.host.tls.session.timeouts == [7.0]


def test_early_connection_is_let_go(secure_rig):
    """A second PASV, or the end, closes what the first one accepted."""
    rig = private(secure_rig(), "auto")
    cancelled = []
    rig.host.tls.session.wait = Deferred(cancelled.append)
    rig.say("EPSV")
    rig.data_ports.ports[-1].arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    rig.say("EPSV")
    assert len(cancelled) == 1


def test_clear_from_between_the_port_and_its_command(secure_rig):
    """PROT C after EPSV: the connection is taken without TLS, by the command."""
    rig = private(secure_rig(), "auto")
    rig.say("EPSV")
    port = rig.data_ports.ports[-1]
    assert port.call is not None
    assert rig.say("PROT C").startswith(b"200 ")
    assert port.call is None
    rig.say("LIST")
    port.arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    assert len(rig.host.transfers.made) == 1
    assert rig.host.tls.session.timeouts == []


def test_private_from_between_the_port_and_its_command(secure_rig):
    """PROT P after EPSV: TLS begins before the command, as for EPSV after PROT P, and once."""
    rig = private(secure_rig(), "auto")
    rig.say("PROT C", "EPSV")
    port = rig.data_ports.ports[-1]
    assert port.call is None
    rig.say("PROT P")
    assert port.call is not None
    rig.say("PROT P")
    port.arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    assert len(rig.host.tls.session.timeouts) == 1
    rig.say("LIST")
    assert len(rig.host.transfers.made) == len(rig.host.tls.session.timeouts) == 1


def test_siblings_are_bounded():
    """In number for one user, in users once their sessions are long over, and in time."""
    siblings = Siblings()
    for number in range(MAX_EACH + 1):
        siblings.begin("p", "u", str(number), 0.0)
    assert len(siblings._ends["p", "u"]) == MAX_EACH
    siblings = Siblings()
    siblings.begin("p", "u", "a", 0.0)
    assert not siblings.has("p", "u", "a", 0.0)
    assert siblings.has("p", "u", "b", math.nextafter(math.inf, 0))
    siblings.end("p", "u", "a", 10.0)
    assert siblings.has("p", "u", "b", 10.0 + MEMORY - 0.1)
    assert not siblings.has("p", "u", "b", 10.0 + MEMORY)
    # A session keeps in mind every one that it met.
    assert siblings.has("p", "u", "b", 10.0 + MEMORY, 10.0)
    assert not siblings.has("p", "u", "b", 10.0 + MEMORY, 10.1)
    for number in range(SWEEP_AT):
        siblings.begin("p", f"u{number}", "s", 0.0)
        siblings.end("p", f"u{number}", "s", 0.0)
    siblings.begin("p", "last", "s", MEMORY + 11.0)
    assert set(siblings._ends) == {("p", "last")}
