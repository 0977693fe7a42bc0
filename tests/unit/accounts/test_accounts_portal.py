"""SwiftPortal: Twisted's answers, without a Deferred where none is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.cred.credentials import Anonymous, IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from twisted_xfer.accounts.chain import SwiftPortal

ALICE = UsernamePassword(b"alice", b"secret")


@implementer(IRealm)
class Names:
    """A realm whose avatars are what it was asked with."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """What came."""
        return avatarId, mind, interfaces


class Checker:
    """Takes passwords, and answers as it is told to."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def requestAvatarId(self, credentials: object) -> Any:
        """The answer."""
        return self.answer()


def portal(answer: Callable[[], Any]) -> SwiftPortal:
    """One with a checker that gives ``answer``."""
    return SwiftPortal(Names(), [Checker(answer)])  # type: ignore[list-item]


async def later(value: str) -> str:
    """``value``, from a coroutine."""
    return value


def test_a_plain_answer_comes_back_plainly() -> None:
    """Neither checker nor realm waits, so the caller need not."""
    assert portal(lambda: "alice").enter(ALICE, "mind", Interface) == ("alice", "mind", (Interface,))


@pytest.mark.parametrize("wrap", [later, lambda value: _fired(value)], ids=["coroutine", "Deferred"])
def test_a_late_answer_comes_as_a_deferred(wrap: Callable[[str], Any]) -> None:
    """Checkers may answer as they like."""
    told: list[Any] = []
    portal(lambda: wrap("alice")).enter(ALICE, "mind", Interface).addBoth(told.append)
    assert told == [("alice", "mind", (Interface,))]


def _fired(value: str) -> Deferred[str]:
    waiting: Deferred[str] = Deferred()
    waiting.callback(value)
    return waiting


def test_what_a_checker_raises_is_raised() -> None:
    """The caller turns it into a refusal."""

    def refuse() -> None:
        raise UnauthorizedLogin

    with pytest.raises(UnauthorizedLogin):
        portal(refuse).enter(ALICE, None, Interface)


def test_credentials_that_nobody_takes_are_refused() -> None:
    """As Portal does, by name of the kind and without what is in them."""
    with pytest.raises(UnhandledCredentials, match="Anonymous"):
        portal(lambda: "alice").enter(Anonymous(), None, Interface)
