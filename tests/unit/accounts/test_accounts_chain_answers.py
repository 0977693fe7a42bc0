"""The chain takes a checker's answer in whatever form it comes, and no later than it must."""

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twisted_xfer.accounts.chain import ChainChecker

CREDENTIALS = UsernamePassword(b"alice", b"secret")


@implementer(ICredentialsChecker)
class Answers:
    """A checker that answers as it is told."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer):
        self.answer = answer

    def requestAvatarId(self, credentials):
        return self.answer()


async def coroutine():
    return b"alice"


def chained():
    """One that has its value only when another has: Twisted calls that called, but paused."""
    inner = Deferred()
    outer = succeed(None).addCallback(lambda _: inner)
    assert outer.called
    return inner, outer


def ask(*answers):
    return ChainChecker([Answers(answer) for answer in answers]).requestAvatarId(CREDENTIALS)


@pytest.mark.parametrize(
    "answer", [lambda: b"alice", lambda: succeed(b"alice"), coroutine], ids=["value", "fired", "coroutine"]
)
def test_what_is_known_at_once_is_said_at_once(answer):
    """Without a Deferred around it."""
    assert ask(answer) == b"alice"


def test_one_that_waits_for_another_is_waited_for():
    """It counts as called, yet there is no answer."""
    inner, outer = chained()
    told = []
    ask(lambda: outer).addCallback(told.append)
    assert told == []
    inner.callback(b"alice")
    assert told == [b"alice"]


def test_a_refusal_that_is_known_at_once_goes_to_the_next():
    """And nobody is left with an error that was never looked at."""
    assert ask(lambda: fail(UnauthorizedLogin()), lambda: succeed(b"alice")) == b"alice"


def test_a_refusal_that_comes_later_goes_to_the_next():
    """The same, through one that waits for another."""
    inner, outer = chained()
    told = []
    ask(lambda: outer, lambda: b"alice").addCallback(told.append)
    inner.errback(UnauthorizedLogin())
    assert told == [b"alice"]
