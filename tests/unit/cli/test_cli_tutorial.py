"""How often a file is tried again by a protocol that begins anew, or goes on."""

from __future__ import annotations

import pytest
from twisted.internet import error as reasons
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twisted_xfer.cli.progress import Progress
from twisted_xfer.cli.tutorial import LONGEST, Place
from twisted_xfer.cli.tutorial_file import File, shown
from twisted_xfer.errors import ConnectionLost, TimedOut, XferError

RETRIES = 3
#: More attempts than any of these cases may make.
BOUND = 40


def attempts_made(attempt, capsys) -> tuple[int, object]:
    """How often ``attempt(file, number)`` was run for one file, and how it ended."""
    file = File(Place("push", "host", 5001, "", "", False), "name", Progress(bar=False), "", "", None)
    clock = Clock()
    made = 0

    async def begin() -> bool:
        nonlocal made
        made += 1
        attempt(file, made)
        return True

    ended: list[object] = []
    running = Deferred.fromCoroutine(file.bring(clock, begin, RETRIES))
    running.addBoth(ended.append)
    while not ended and made < BOUND:
        clock.advance(LONGEST)
    capsys.readouterr()
    if not ended:
        running.addErrback(lambda _: None)
        running.cancel()
        return made, "endless"
    return made, getattr(ended[0], "value", ended[0])


def test_why_there_is_no_connection_is_told_in_few_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it leads and what is wrong, without Twisted's sentences and our codes."""
    place = Place("push", "host", 5001, "", "", False)
    file = File(place, "name", shown(place, as_json=False), "", "", None)
    for cause, words in (
        (reasons.ConnectionRefusedError(), "nobody listens there"),
        (reasons.DNSLookupError(), "no such host"),
        (None, "the connection broke"),
    ):
        error = ConnectionLost(None, "the connection broke")
        error.__cause__ = cause
        file.tell("reconnecting", error=error, seconds=2.0)
        assert capsys.readouterr().err == f"xfer: host:5001: {words}; trying again in 2 s\n"


def test_a_receiver_that_never_stores_the_file_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Each attempt moves the whole file, and none comes further than the first."""

    def attempt(file: File, _number: int) -> None:
        file.start(10)
        file.step(10)
        raise ConnectionLost(None, "the connection broke")

    made, ended = attempts_made(attempt, capsys)
    assert isinstance(ended, ConnectionLost)
    assert made == 1 + RETRIES


def test_what_is_fetched_again_and_no_further_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Going on before the end of the part, so that bytes move, is no progress by itself."""

    def attempt(file: File, _number: int) -> None:
        file.start(100, 30)
        file.step(20)
        raise ConnectionLost(None, "the connection broke")

    made, ended = attempts_made(attempt, capsys)
    assert isinstance(ended, ConnectionLost)
    assert made == 1 + RETRIES


def test_who_comes_further_each_time_is_let_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The count is of those in a row that bring nothing."""

    def attempt(file: File, number: int) -> None:
        file.start(100, number)
        file.step(1)
        if number < 20:
            raise ConnectionLost(None, "the connection broke")

    assert attempts_made(attempt, capsys) == (20, True)


def test_silence_in_the_middle_is_tried_again_and_before_it_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server that is there and says nothing has no such file; one that began has."""

    def silent(_file: File, _number: int) -> None:
        raise TimedOut(None, "no answer")

    def stalls(file: File, _number: int) -> None:
        file.start(100)
        file.step(50)
        raise TimedOut(None, "no answer")

    made, ended = attempts_made(silent, capsys)
    assert (made, isinstance(ended, XferError)) == (1, True)
    made, ended = attempts_made(stalls, capsys)
    assert (made, isinstance(ended, TimedOut)) == (1 + RETRIES, True)
