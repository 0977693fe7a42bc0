"""The one way in: back-off, portal, checker chain, realm, events, in equal time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.accounts.admission import ALONE, BOTH
from twisted_xfer.accounts.chain import CheckerFailed
from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.realm import ANONYMOUS_NAME, AccountLookup
from twisted_xfer.errors import LoginFailed, LoginRefused, TLSRequired, XferError
from twisted_xfer.interfaces import (
    CertificateFacts,
    ClientCertificate,
    Eventually,
    IAvatar,
    IClientCertificate,
    IEvents,
    ILimits,
    ILogin,
    LoginContext,
)

#: A failed login is answered no sooner than this, in seconds: longer than one hash takes on a slow
#: machine, so that an unknown user and a wrong password look the same from outside.
MINIMUM_SECONDS: Final = 0.4
#: Bytes of a user name that get into events: enough to know it by.
MAX_LOGGED: Final = 255


class PortalLike(Protocol):
    """What is needed of twisted.cred.portal.Portal."""

    realm: Any
    checkers: Any

    def login(self, credentials: Any, mind: object, *interfaces: Any) -> Deferred[Any]:
        """A Deferred of (interface, avatar, logout)."""
        ...


@implementer(ILogin)
class Login:
    """Logs in, without a Deferred where the checker and the storage answer at once.

    Args:
        portal: with a checker for each kind of credentials and our Realm.
        limits: back-off.
        events: hears login.ok and login.failed.
        clock: delays failures and attempts.
        minimum_seconds: floor of the time in which a failure is answered; 0 for tests.
        require_tls: nobody may log in in the clear.
        accounts: where accounts are looked up that want TLS by themselves.
        anonymous: whether the portal takes IAnonymous, for protocols that greet by it.
    """

    def __init__(
        self,
        portal: PortalLike,
        limits: ILimits,
        events: IEvents,
        clock: IReactorTime,
        *,
        minimum_seconds: float = MINIMUM_SECONDS,
        require_tls: bool = False,
        accounts: AccountLookup | None = None,
        anonymous: bool = False,
        log: Logger | None = None,
    ) -> None:
        self.anonymous = anonymous
        self._portal = portal
        # Ours answers at once where it can; any other is a Portal all the same.
        self._enter: Callable[..., Any] = getattr(portal, "enter", portal.login)
        self._limits = limits
        self._events = events
        self._clock = clock
        self._minimum = minimum_seconds
        self._require_tls = require_tls
        self._accounts = accounts
        self._log = log or Logger()

    def requires_tls(self, username: str) -> bool:
        """See ILogin."""
        if self._require_tls:
            return True
        account = self._accounts.account(username) if self._accounts is not None else None
        return account is not None and account.tls_login

    def takes(self, kind: Any) -> bool:
        """See ILogin."""
        checker = self._portal.checkers.get(kind)
        asked = getattr(checker, "takes", None)
        return bool(asked(kind)) if callable(asked) else checker is not None

    def login(self, credentials: Any, context: LoginContext) -> Eventually[IAvatar]:
        """An avatar for ``credentials``; cancel the Deferred, if there is one, when the peer is gone.

        Fails with LoginFailed, LoginRefused, LimitReached, Banned, TLSRequired or Busy.
        """
        plain = type(credentials) is UsernamePassword
        if plain:
            # Protocols make Twisted's plain ones; ours compare in constant time and know the peer.
            credentials = PeerPassword(credentials.username, credentials.password, context)
        username = _username(credentials)
        if self._require_tls and not context.secure:
            self._tell_failed(context, username, TLSRequired.code)
            raise TLSRequired
        wait = self._limits.delay(context.peer, username)
        if wait > 0:
            return _Attempt(self, credentials, context, username).after(wait)
        started = self._clock.seconds()
        try:
            if context.certificate is None and (plain or not IClientCertificate.providedBy(credentials)):
                answer = self._enter(credentials, context, IAvatar)
            else:
                answer = self.ask(credentials, context)
        except Exception:  # noqa: BLE001 - whatever a checker or a storage raises, it is a refusal
            answer = fail()
        if type(answer) is tuple:
            return self.welcome(answer[1], context, username)
        asked: Deferred[Any] = answer
        box: list[Any] = []
        asked.addBoth(box.append)
        if box and isinstance(box[0], tuple):
            return self.welcome(box[0][1], context, username)
        return _Attempt(self, credentials, context, username).answered(asked, box, started)

    def by_certificate(self, username: str, context: LoginContext) -> Eventually[IAvatar | None]:
        """See ILogin. Without back-off, for there is nothing to guess."""
        if context.certificate is None or IClientCertificate not in self._portal.checkers:
            return None
        credentials = ClientCertificate(username.encode("utf-8", "surrogateescape"), context.certificate)
        started = self._clock.seconds()
        asked = self.ask(credentials, context)
        box: list[Any] = []
        asked.addBoth(box.append)
        attempt = _Attempt(self, credentials, context, username, self._unless_not_enough)
        return attempt.answered(asked, box, started)

    def _unless_not_enough(self, failure: Failure, context: LoginContext, username: str) -> XferError | None:
        """The error to answer with; None when the password decides."""
        if isinstance(failure.value, UnauthorizedLogin | UnhandledCredentials | LoginFailed):
            return None
        return self.refusal(failure, context, username)

    def trusted(self, username: str, context: LoginContext) -> Eventually[IAvatar]:
        """See ILogin. Straight to the realm: there is no password, so nothing to guess or to slow down."""
        if self._require_tls and not context.secure:
            self._tell_failed(context, username, TLSRequired.code)
            raise TLSRequired
        answer = maybeDeferred(self._portal.realm.requestAvatar, username, context, IAvatar)
        return answer.addCallbacks(
            lambda entered: self.welcome(entered[1], context, username),
            lambda failure: self._raise(self.refusal(failure, context, username)),
        )

    def _raise(self, error: XferError) -> IAvatar:
        raise error

    def ask(self, credentials: Any, context: LoginContext) -> Deferred[Any]:
        """The portal's answer, once it is known what part the client's certificate has in it."""
        if IClientCertificate.providedBy(credentials):
            return self._portal.login(credentials, attrs.evolve(context, factors=ALONE), IAvatar)
        if context.certificate is None:
            return self._portal.login(credentials, context, IAvatar)

        def go_on(own: bool) -> Deferred[Any]:
            if not own:
                return self._portal.login(credentials, context, IAvatar)
            of = credentials.username.decode("utf-8", "surrogateescape")
            proved = attrs.evolve(context, factors=BOTH, certificate_of=of)
            return self._portal.login(credentials, proved, IAvatar)

        return self._is_own(credentials, context.certificate).addCallback(go_on)

    def _is_own(self, credentials: Any, certificate: CertificateFacts) -> Deferred[bool]:
        """Whether the certificate is of the account whose password is about to be checked."""
        checker = self._portal.checkers.get(IClientCertificate)
        username = getattr(credentials, "username", None)
        if checker is None or not isinstance(username, bytes) or not username:
            return succeed(False)
        asked = maybeDeferred(checker.requestAvatarId, ClientCertificate(username, certificate))
        # Whatever keeps a checker from saying yes: then there is no second factor.
        return asked.addCallbacks(lambda _answer: True, lambda _failure: False)

    @property
    def clock(self) -> IReactorTime:
        """For the deadlines of attempts."""
        return self._clock

    @property
    def minimum(self) -> float:
        """The floor for failures, in seconds."""
        return self._minimum

    def welcome(self, avatar: IAvatar, context: LoginContext, username: str) -> IAvatar:
        """It was good: say so and forget the failures before."""
        self._limits.succeeded(context.peer, username)
        events = self._events
        if events.active:
            events.emit(
                "login.ok",
                session=context.session_id,
                protocol=context.protocol,
                username=avatar.username,
                peer=context.peer,
                secure=context.secure,
                certificate="" if context.certificate is None else context.certificate.fingerprint,
            )
        return avatar

    def refusal(self, failure: Failure, context: LoginContext, username: str) -> XferError:
        """The error to answer with; guesses are counted, what was typed is in none of it."""
        reason = failure.value
        answer: XferError
        if isinstance(reason, XferError):
            answer = reason
            if isinstance(reason, LoginFailed):
                self._limits.failed(context.peer, username)
            code = reason.code
        elif isinstance(reason, CheckerFailed):
            answer, code = LoginFailed(), "checker_failed"
        elif isinstance(reason, (UnauthorizedLogin, UnhandledCredentials)):
            # Credentials that no checker takes (anonymous where there is none) are a failure like others.
            self._limits.failed(context.peer, username)
            answer, code = LoginFailed(), LoginFailed.code
        elif isinstance(reason, LoginDenied):
            answer, code = LoginRefused(), LoginRefused.code
        else:
            self._log.error("a login failed with {error}", error=type(reason).__name__)
            answer, code = LoginFailed(), "checker_failed"
        self._tell_failed(context, username, code)
        return answer

    def _tell_failed(self, context: LoginContext, username: str, code: str) -> None:
        events = self._events
        if events.active:
            events.emit(
                "login.failed",
                session=context.session_id,
                protocol=context.protocol,
                username=username,
                peer=context.peer,
                code=code,
            )


class _Attempt:
    """A login that takes time: before it (back-off), during it, or after it failed (equal time)."""

    __slots__ = (
        "_asked",
        "_call",
        "_context",
        "_credentials",
        "_gone",
        "_login",
        "_refusal",
        "_result",
        "_username",
    )

    def __init__(
        self,
        login: Login,
        credentials: Any,
        context: LoginContext,
        username: str,
        refusal: Callable[[Failure, LoginContext, str], XferError | None] | None = None,
    ) -> None:
        self._login = login
        #: What a failure means; None: nothing, and the answer is None at once.
        self._refusal = refusal or login.refusal
        self._credentials = credentials
        self._context = context
        self._username = username
        self._call: Any = None
        self._asked: Deferred[Any] | None = None
        self._gone = False
        self._result: Deferred[Any] = Deferred(self._cancel)

    def after(self, wait: float) -> Deferred[Any]:
        """Ask the portal ``wait`` seconds from now."""
        self._call = self._login.clock.callLater(wait, self._begin)
        return self._result

    def answered(self, asked: Deferred[Any], box: list[Any], started: float) -> Deferred[Any]:
        """Go on from the portal's answer, which will be, or is, in ``box``."""
        self._credentials = None
        self._asked = asked
        asked.addCallback(lambda _none: self._settle(box[0], started))
        return self._result

    def _begin(self) -> None:
        self._call = None
        box: list[Any] = []
        started = self._login.clock.seconds()
        asked = self._login.ask(self._credentials, self._context)
        asked.addBoth(box.append)
        self.answered(asked, box, started)

    def _settle(self, answer: Any, started: float) -> None:
        self._asked = None
        if not isinstance(answer, Failure):
            avatar = answer[1]
            if self._gone:
                avatar.logout()
                return
            self._result.callback(self._login.welcome(avatar, self._context, self._username))
            return
        error = self._refusal(answer, self._context, self._username)
        if self._gone:
            return
        if error is None:
            self._result.callback(None)
            return
        left = started + self._login.minimum - self._login.clock.seconds()
        if left > 0:
            self._call = self._login.clock.callLater(left, self._refuse, error)
        else:
            self._refuse(error)

    def _refuse(self, error: XferError) -> None:
        self._call = None
        self._result.errback(error)

    def _cancel(self, _result: Deferred[IAvatar]) -> None:
        """The peer is gone: an avatar that comes all the same is logged out.

        The checker goes on, so that hanging up does not spare anybody the count of a wrong guess.
        """
        self._gone = True
        self._credentials = None
        if self._call is not None and self._call.active():
            self._call.cancel()


def _username(credentials: Any) -> str:
    """The name that was typed, for events and back-off."""
    raw = getattr(credentials, "username", None)
    if raw is None:
        return ANONYMOUS_NAME
    if not raw and IClientCertificate.providedBy(credentials):
        return f"sha256:{credentials.certificate.fingerprint}"
    text = raw[:MAX_LOGGED]
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
