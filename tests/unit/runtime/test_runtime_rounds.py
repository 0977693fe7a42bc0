"""Rounds: one timer for all, which ends when nobody is there."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import IRounds
from twisted_xfer.runtime.rounds import ROUND_SECONDS, Rounds


@pytest.fixture
def logged():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rounds(clock, logged):
    return Rounds(clock, Logger(observer=logged.append))


def test_interface(rounds):
    """What protocols are promised is there."""
    verifyObject(IRounds, rounds)


def test_who_has_joined_is_called_once_a_round_with_the_time(clock, rounds):
    """Not before the first round is over, and not twice for having joined twice."""
    heard = []
    rounds.join(heard.append)
    rounds.join(heard.append)
    clock.advance(ROUND_SECONDS / 2)
    assert heard == []
    clock.pump([ROUND_SECONDS / 2, ROUND_SECONDS])
    assert heard == [ROUND_SECONDS, 2 * ROUND_SECONDS]


def test_all_share_one_timer(clock, rounds):
    """However many there are, and however often they come and go."""
    for _ in range(3):
        for call in (print, repr, len):
            rounds.join(call)
        for call in (print, repr, len):
            rounds.leave(call)
    assert len(clock.getDelayedCalls()) == 1


def test_the_timer_ends_when_nobody_is_there(clock, rounds):
    """It outlives the last one by a round at most, and begins again with the next."""
    heard = []
    rounds.join(heard.append)
    rounds.leave(heard.append)
    clock.advance(ROUND_SECONDS)
    assert heard == []
    assert clock.getDelayedCalls() == []
    rounds.join(heard.append)
    clock.advance(ROUND_SECONDS)
    assert heard == [2 * ROUND_SECONDS]


def test_leaving_without_having_joined_is_no_error(rounds):
    """Whoever ends twice leaves twice."""
    rounds.leave(print)


def test_one_who_is_made_to_leave_within_a_round_is_not_called(clock, rounds):
    """The first of two ends the second."""
    heard = []
    rounds.join(lambda _now: rounds.leave(heard.append))
    rounds.join(heard.append)
    clock.advance(ROUND_SECONDS)
    assert heard == []


def test_one_who_breaks_keeps_nobody_from_being_called(clock, rounds, logged):
    """Not in this round and not in the next; the log says who."""
    heard = []

    def breaks(now):
        raise ZeroDivisionError

    rounds.join(breaks)
    rounds.join(heard.append)
    clock.pump([ROUND_SECONDS, ROUND_SECONDS])
    assert heard == [ROUND_SECONDS, 2 * ROUND_SECONDS]
    assert ["breaks" in repr(event["call"]) for event in logged] == [True, True]
    assert logged[0]["log_failure"].check(ZeroDivisionError)


def test_stopped_in_the_middle(clock, rounds):
    """Nobody is called any more, and no timer is left; stopping again is no error."""
    heard = []
    rounds.join(heard.append)
    rounds.stop()
    rounds.stop()
    assert clock.getDelayedCalls() == []
    clock.advance(ROUND_SECONDS)
    assert heard == []
