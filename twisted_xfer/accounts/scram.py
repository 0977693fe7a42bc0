"""SCRAM over checkers: proofs by verifier, strangers who look like anybody, and when to offer it."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from twisted_xfer.errors import LoginFailed
from twisted_xfer.interfaces import IKnowsVerifiers, IScramProof
from twisted_xfer.sansio.scram import ITERATIONS, Verifier, stranger

#: Different counts of rounds that strangers are given: more are in no file that people keep.
MAX_COUNTS: Final = 16


class Strangers:
    """Verifiers of users who do not exist, which nobody can tell from those of users who do.

    Args:
        key: a secret that outlives restarts and edits, as real salts do.
        verifiers: the real ones, whose counts of rounds strangers share.
    """

    def __init__(self, key: bytes, verifiers: Iterable[Verifier] = ()) -> None:
        self._key = hmac.digest(key, b"xfer strangers 1", "sha256")
        self._counts = sorted({verifier.iterations for verifier in verifiers})[:MAX_COUNTS] or [ITERATIONS]

    def verifier(self, username: bytes) -> Verifier:
        """The same for the same name."""
        which = int.from_bytes(hmac.digest(self._key, b"count" + username, "sha256")[:4], "big")
        return stranger(self._key, username, self._counts[which % len(self._counts)])


@implementer(ICredentialsChecker)
class StrangersChecker:
    """The last of a chain: asks whoever nobody knows for a proof, and refuses it.

    Args:
        checkers: those before it; the first with ``strangers`` decides what they look like.
    """

    credentialInterfaces: Sequence[type[Interface]] = (IScramProof,)

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._checkers = checkers

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Fails, as a wrong password does, once the peer has answered."""
        found = next((checker.strangers for checker in self._checkers if hasattr(checker, "strangers")), None)
        if found is None:
            raise UnauthorizedLogin

        def refuse(_none: object) -> Any:
            raise LoginFailed

        proved: Deferred[None] = credentials.prove(found.verifier(credentials.username))
        return proved.addCallback(refuse)


def with_strangers(checkers: Iterable[ICredentialsChecker]) -> tuple[ICredentialsChecker, ...]:
    """``checkers``, with one behind them for users that none of them knows, if any of them takes SCRAM."""
    all_of_them = tuple(checkers)
    if any(IScramProof in checker.credentialInterfaces for checker in all_of_them):
        return (*all_of_them, StrangersChecker(all_of_them))
    return all_of_them


def scram_for_all(checkers: Iterable[ICredentialsChecker]) -> bool:
    """Whether SCRAM does for everybody who has a password with ``checkers``.

    It is offered to all or to none, for the offer is made before the user is known: a user without
    a verifier could not log in where PLAIN would do.
    """
    asked = [checker for checker in checkers if IUsernamePassword in checker.credentialInterfaces]
    return bool(asked) and all(
        IKnowsVerifiers.providedBy(checker) and IKnowsVerifiers(checker).scram_for_all() for checker in asked
    )
