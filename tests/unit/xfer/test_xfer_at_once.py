"""Coroutines that are run at once, and those that wait."""

import gc

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from twisted_xfer.protocols.xfer.at_once import begin


class Story:
    """What a coroutine came to, and why it failed."""

    def __init__(self):
        self.said = []
        self.failures = []

    def begin(self, work):
        begin(work, lambda failure: self.failures.append(failure.value))


@pytest.fixture
def story():
    return Story()


def test_what_waits_for_nothing_is_over_at_once(story):
    """Answers that are there already are no reason to wait."""

    async def work():
        story.said.append(await succeed(1))
        story.said.append(2)

    story.begin(work())
    assert (story.said, story.failures) == ([1, 2], [])


def test_what_fails_at_once_is_told_at_once(story):
    """With the error itself."""

    async def work():
        raise LookupError

    story.begin(work())
    assert [type(one) for one in story.failures] == [LookupError]


def test_answers_that_come_later_are_waited_for_in_turn(story):
    """As many as there are; their values are the coroutine's."""
    answers = [Deferred() for _ in range(3)]

    async def work():
        for answer in answers:
            story.said.append(await answer)

    story.begin(work())
    for value, answer in enumerate(answers):
        assert story.said == list(range(value))
        answer.callback(value)
    assert (story.said, story.failures) == ([0, 1, 2], [])


def test_an_answer_that_fails_later_can_be_caught(story):
    """And what comes behind it is waited for, too."""
    first, second = Deferred(), Deferred()

    async def work():
        try:
            await first
        except LookupError:
            story.said.append("caught")
        story.said.append(await second)

    story.begin(work())
    first.errback(LookupError())
    second.callback("end")
    assert (story.said, story.failures) == (["caught", "end"], [])


@pytest.mark.parametrize("late", [True, False])
def test_an_answer_that_fails_and_is_not_caught_is_told(story, late):
    """Whether it had come already or not, and nothing is left in a Deferred that nobody looks into."""
    answer = Deferred() if late else fail(LookupError())

    async def work():
        await answer

    story.begin(work())
    if late:
        answer.errback(LookupError())
    assert [type(one) for one in story.failures] == [LookupError]
    gc.collect()


@pytest.mark.parametrize("circle", [False, True])
def test_what_is_never_answered_is_closed(circle):
    """Also where only the collector finds what waits and what is waited for: their order is not certain then."""
    said, failures = [], []

    async def work(answer):
        held = [answer]
        if circle:
            answer.held = held
        try:
            await answer
        finally:
            said.append(len(held))

    for _ in range(10):
        begin(work(Deferred()), failures.append)
    gc.collect()
    assert (said, failures) == ([1] * 10, [])


def test_what_it_waits_for_may_be_cancelled(story):
    """That is a failure as any other."""
    answer = Deferred()

    async def work():
        await answer

    story.begin(work())
    answer.cancel()
    assert [type(one) for one in story.failures] == [CancelledError]
