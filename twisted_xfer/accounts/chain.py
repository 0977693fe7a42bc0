"""Checkers asked in turn: a Portal keeps only the last one of each kind of credentials."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import LoginDenied, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from twisted_xfer.accounts.certificates import is_asked_for
from twisted_xfer.accounts.scram import scram_for_all, with_strangers
from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import IScramProof
from twisted_xfer.interfaces.answers import as_deferred, waiting


class SwiftPortal(Portal):
    """Twisted's Portal, which can also be asked without a Deferred.

    A login whose checker and storage answer at once is most of what a short session costs; each
    Deferred in its way costs as much as a command.
    """

    def enter(self, credentials: Any, mind: object, *interfaces: Any) -> Any:
        """As ``login``, but answers or raises at once where the checker and the realm do."""
        for kind, checker in self.checkers.items():
            if kind.providedBy(credentials):
                answer: Any = checker.requestAvatarId(credentials)
                if waiting(answer):
                    return as_deferred(answer).addCallback(self.realm.requestAvatar, mind, *interfaces)
                return self.realm.requestAvatar(answer, mind, *interfaces)
        raise UnhandledCredentials(f"no checker for {type(credentials).__name__}")


class CheckerFailed(UnauthorizedLogin):
    """A checker broke: the login is refused, but nobody guessed wrong."""


@implementer(ICredentialsChecker)
class ChainChecker:
    """Asks each checker that takes the credentials; the first that knows them decides.

    UnauthorizedLogin means "not mine, or wrong": the next one is asked. A checker's considered
    refusal (LoginDenied, or one of our own errors) ends the chain. Any other failure is logged
    without its text, which may hold what was typed, and ends the chain too: a broken checker may
    have been the one that bars this user.
    """

    def __init__(self, checkers: Iterable[ICredentialsChecker], log: Logger | None = None) -> None:
        self.checkers: tuple[ICredentialsChecker, ...] = with_strangers(checkers)
        self._log = log or Logger()
        kinds: dict[type[Interface], list[ICredentialsChecker]] = {}
        for checker in self.checkers:
            for kind in checker.credentialInterfaces:
                kinds.setdefault(kind, []).append(checker)
        self._by_kind = kinds
        self.credentialInterfaces: Sequence[type[Interface]] = tuple(kinds)

    def requestAvatarId(self, credentials: Any) -> Any:
        """The avatar id from the first checker that knows the credentials, without a Deferred where it can be.

        Fails with UnauthorizedLogin when none does.
        """
        return self._ask(self._takers(credentials), 0, credentials)

    def takes(self, kind: type[Interface]) -> bool:
        """Whether any checker takes credentials of this interface; of SCRAM, whether it does for all."""
        return kind in self._by_kind and (kind is not IScramProof or scram_for_all(self.checkers))

    def _takers(self, credentials: Any) -> list[ICredentialsChecker]:
        takers: list[ICredentialsChecker] = []
        for kind, checkers in self._by_kind.items():
            if kind.providedBy(credentials):
                takers.extend(checker for checker in checkers if checker not in takers)
        return takers

    def _ask(self, takers: list[ICredentialsChecker], at: int, credentials: Any) -> Any:
        if at >= len(takers):
            raise UnauthorizedLogin
        answer: Any
        try:
            answer = takers[at].requestAvatarId(credentials)
        except Exception:  # noqa: BLE001 - checkers are strangers
            answer = Failure()  # type: ignore[no-untyped-call]
        if not waiting(answer):
            return self._told(answer, takers, at, credentials)
        answer = as_deferred(answer)
        if answer.called and not (answer.paused or isinstance(answer.result, Failure)):
            # Twisted's own checkers know at once as well, and need no callback to say so.
            return self._told(answer.result, takers, at, credentials)
        box: list[Any] = []
        answer.addBoth(box.append)
        if not box:
            # It will be told later: only now is a Deferred of our own needed.
            return answer.addCallback(lambda _none: self._told(box[0], takers, at, credentials))
        return self._told(box[0], takers, at, credentials)

    def _told(self, told: Any, takers: list[ICredentialsChecker], at: int, credentials: Any) -> Any:
        """Go on from what a checker's Deferred came to."""
        if isinstance(told, Failure):
            return self._after(told.value, takers, at, credentials)
        if not is_asked_for(credentials, told):
            return self._after(UnauthorizedLogin(), takers, at, credentials)
        return told

    def _after(
        self, reason: BaseException | None, takers: list[ICredentialsChecker], at: int, credentials: Any
    ) -> Any:
        """Ask the next one after a refusal, or refuse for good."""
        if isinstance(reason, UnauthorizedLogin | UnhandledCredentials):
            if at + 1 < len(takers):
                return self._ask(takers, at + 1, credentials)
            # A fresh one: the checker's own may carry what it was asked.
            raise UnauthorizedLogin from None
        if isinstance(reason, LoginDenied | XferError):
            raise reason
        self._log.error(
            "checker {checker} failed with {error} at {where}: login refused",
            checker=type(takers[at]).__name__,
            error=type(reason).__name__,
            where=_where(reason.__traceback__ if reason is not None else None),
        )
        raise CheckerFailed from None


def _where(trace: TracebackType | None) -> str:
    """File and line where it happened, without the values that were there."""
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
