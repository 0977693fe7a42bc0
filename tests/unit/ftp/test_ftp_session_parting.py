"""How a session ends: QUIT, a daemon that stops, and clients that do not take our last words."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from twisted_xfer.errors import Cancelled
from twisted_xfer.interfaces import Timeouts
from twisted_xfer.protocols.ftp.session import CLOSE_SECONDS, MAX_WAITING, PARTING_SECONDS


@pytest.mark.parametrize("before", [0, MAX_WAITING - 1])
def test_nothing_is_taken_behind_a_quit(user, before):
    """Neither what waits nor what would pass the transfer; what is read all the same is not kept."""
    user.start_download()
    assert user.say(*["PWD"] * before, "QUIT") == b""
    assert user.say("NOOP", "STAT", "ABOR", "QUIT", *["MKD after"] * MAX_WAITING) == b""
    assert user.raw(b"x" * 100_000) == b""
    assert user.transport.producerState == "producing"
    assert user.session.wire.pending == 0
    assert user.transfers.made[0].cancelled is None
    user.transfers.made[0].result.callback(4)
    user.clock.pump([0] * 5)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", *[b"257 "] * before, b"221 "]
    assert user.transport.disconnecting


def test_who_leaves_behind_a_quit_takes_the_transfer_along(user):
    """The end of the connection is noticed, as without a QUIT."""
    user.start_download()
    user.say("QUIT")
    user.lose()
    assert isinstance(user.transfers.made[0].cancelled, Cancelled)


def test_drain_idle_and_busy(user):
    """The daemon stops: a busy session finishes its transfer first."""
    user.start_download()
    drained = user.factory.drain()
    assert user.take() == b""
    user.transfers.made[0].result.callback(4)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", b"421 "]
    assert not drained.called
    user.lose()
    assert drained.called


def test_a_drain_that_is_cut_short(user):
    """The transfer ends with 426, and 421 says why the connection does."""
    user.start_download()
    drained = user.factory.drain()
    drained.addErrback(lambda failure: failure.trap(CancelledError))
    drained.cancel()
    assert user.transfers.made[-1].cancelled is not None
    told = user.take()
    assert told.startswith(b"426 ")
    assert b"\r\n421 " in told
    assert user.transport.disconnecting
    user.lose()
    user.factory.stopFactory()


def test_a_drain_that_is_cut_short_in_a_command(user):
    """Whatever runs: 421 and the end."""
    user.session.handlers = {**user.session.handlers, b"PWD": lambda session, argument: Deferred()}
    user.say("PWD")
    drained = user.factory.drain()
    drained.addErrback(lambda failure: failure.trap(CancelledError))
    assert not drained.called
    drained.cancel()
    assert drained.called
    assert user.take().startswith(b"421 ")
    assert user.transport.disconnecting


def test_drain_of_an_idle_session(user):
    """An idle session is told at once."""
    user.factory.drain()
    assert user.take().startswith(b"421 ")
    assert user.transport.disconnecting


def test_drain_of_a_client_that_does_not_close(user):
    """It does not hold up the stop for as long as transfers may: it is cut off."""
    aborted = []
    user.transport.abortConnection = lambda: aborted.append(True)
    user.factory.drain()
    user.clock.pump([PARTING_SECONDS - 0.5])
    assert aborted == []
    user.clock.pump([1.5])
    assert aborted


def test_client_that_never_takes_the_goodbye(make_rig):
    """A session that was told to go and does not is cut off."""
    aborted = []
    rig = make_rig(timeouts=Timeouts(idle=10)).login()
    rig.transport.abortConnection = lambda: aborted.append(True)
    rig.clock.pump([1] * 12)
    assert rig.take().startswith(b"421 ")
    rig.clock.pump([1] * (int(CLOSE_SECONDS) - 5))
    assert aborted == []
    rig.clock.pump([1] * 6)
    assert aborted


@pytest.mark.parametrize("idle", [0, 300])
def test_client_that_says_goodbye_and_does_not_take_ours(make_rig, idle):
    """It is cut off as soon as others that were told to go, whatever idle sessions may do."""
    aborted = []
    rig = make_rig(timeouts=Timeouts(idle=idle)).login()
    rig.transport.abortConnection = lambda: aborted.append(True)
    assert rig.say("QUIT").startswith(b"221 ")
    rig.clock.pump([1] * (int(CLOSE_SECONDS) - 1))
    assert aborted == []
    rig.clock.pump([1] * 2)
    assert aborted


@pytest.mark.parametrize("words", ["QUIT", "GET / HTTP/1.1"])
def test_nothing_is_kept_behind_the_last_words(rig, words):
    """A client that does not read them may send as much as it likes meanwhile."""
    rig.say(words)
    assert rig.transport.disconnecting
    for _ in range(10):
        rig.raw(b"x" * 1000)
    assert rig.session.wire.pending == 0
