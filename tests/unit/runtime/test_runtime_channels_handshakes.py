"""Handshakes of the TLS channel: their deadlines, and resumption that is seen."""

import pytest
from channels_rig import VERSIONS, channels, contexts, failure_of, receive

from twisted_xfer.errors import Cancelled, DataTLSRefused, TimedOut
from twisted_xfer.runtime.tls_binding import CAN_TELL
from twisted_xfer.runtime.tls_handshake import handshake_channel

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def rig():
    """A rig whose leaks fail the test."""
    yield from channels()


@pytest.fixture(params=[True, False], ids=["asked", "watched"])
def tells(request, monkeypatch):
    """Whether OpenSSL can be asked for a resumption; where it cannot, handshakes are watched."""
    assert CAN_TELL
    monkeypatch.setattr("twisted_xfer.runtime.tls_channel.CAN_TELL", request.param)
    return request.param


@pytest.mark.parametrize("version", VERSIONS)
def test_resumption_is_seen(rig, authority, version, tells):
    """The first handshake is full, the second with its session is not; seen at both ends."""
    server, client = contexts(authority, version)
    ours, theirs = rig.pair(server, client)
    assert (ours.resumed, theirs.resumed) == (False, False)
    # TLS 1.3 sends its tickets behind the handshake.
    ours.send(b"x")
    receive(theirs, 1)
    again, client_again = rig.pair(server, client, session=theirs.session)
    assert (again.resumed, client_again.resumed) == (True, True)
    other, _ = rig.pair(server, client)
    assert not other.resumed


def test_session_of_another_context_does_not_count(rig, authority, tells):
    """A session of another control connection's context is not taken for this one's."""
    server, client = contexts(authority)
    ours, theirs = rig.pair(server, client)
    ours.send(b"x")
    receive(theirs, 1)
    other_server, _ = contexts(authority)
    other, _ = rig.pair(other_server, client, session=theirs.session)
    assert other.established
    assert not other.resumed


def test_nothing_is_proved_unwatched(rig, authority, monkeypatch):
    """A context that nobody prepared proves no resumption, though there was one, unless OpenSSL tells."""
    monkeypatch.setattr("twisted_xfer.runtime.tls_channel.CAN_TELL", False)
    server, client = contexts(authority, watch=False)
    ours, theirs = rig.pair(server, client)
    ours.send(b"x")
    receive(theirs, 1)
    again, _ = rig.pair(server, client, session=theirs.session)
    assert again.established
    assert not again.resumed


def test_not_resumed_before_the_handshake(rig, authority, tells):
    """Nothing is proved before the handshake is done."""
    ours, _ = rig.pair(*contexts(authority), shake=False)
    assert not ours.resumed


def test_handshake_deadline(rig, authority):
    """A client that says nothing is dropped at the deadline and not before."""
    ours, _ = rig.pair(*contexts(authority), shake=False)
    waiting = handshake_channel(rig.reactor, ours, 20.0)
    rig.reactor.advance(19.5)
    assert not waiting.called
    rig.reactor.advance(0.5)
    assert isinstance(failure_of(waiting), TimedOut)
    assert ours.fileno() == -1


@pytest.mark.parametrize("said", [b"USER alice\r\n", b""])
def test_handshake_refused(rig, authority, said):
    """A client that speaks plainly, or hangs up: refused, and closed."""
    ours, theirs = rig.pair(*contexts(authority), shake=False)
    theirs._sock.sendall(said)
    theirs.close()
    waiting = handshake_channel(rig.reactor, ours, 20.0)
    rig.reactor.run_until(lambda: waiting.called)
    assert isinstance(failure_of(waiting), DataTLSRefused)
    assert ours.fileno() == -1


def test_handshake_cancelled(rig, authority):
    """Cancelling closes the channel."""
    ours, _ = rig.pair(*contexts(authority), shake=False)
    waiting = handshake_channel(rig.reactor, ours, 20.0)
    waiting.cancel()
    assert isinstance(failure_of(waiting), Cancelled)
    assert ours.fileno() == -1
