"""The realm: from the name that a checker vouched for to an avatar with its home."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Protocol, runtime_checkable

import attrs
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.portal import IRealm
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.accounts.admission import ALONE, admit
from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.errors import LoginFailed, LoginRefused, XferError
from twisted_xfer.interfaces import (
    ALL_RIGHTS,
    READ_ONLY,
    Account,
    IAvatar,
    IEvents,
    ILease,
    ILimiter,
    ILimits,
    IQuotaLedger,
    IStorage,
    LoginContext,
)
from twisted_xfer.interfaces.answers import then_or
from twisted_xfer.paths import MAX_NAME

#: The account name of everybody who logs in as nobody.
ANONYMOUS_NAME = "anonymous"
#: Accounts without settings that are kept ready: only names that a checker vouched for get there.
MAX_PLAIN = 1024


class AccountLookup(Protocol):
    """Where settings of accounts are found, whoever checked the password."""

    def account(self, username: str) -> Account | None:
        """The settings of ``username``, or None when there are none."""
        ...


@runtime_checkable
class KnowsAnonymous(Protocol):
    """Where settings of anonymous users are found."""

    def anonymous(self) -> Account | None:
        """Those settings, or None when there are none."""
        ...


class LimiterSource(Protocol):
    """Makes the bandwidth limits of a new session."""

    def __call__(self, account: Account, context: LoginContext, /) -> tuple[ILimiter | None, ILimiter | None]:
        """Limits for upload and for download, or None each."""
        ...


def plain_username(raw: bytes | str) -> str:
    """``raw`` as text, when it can be the name of a directory.

    Bytes that are not UTF-8 survive as surrogates, as file names do.

    Raises:
        LoginRefused: empty, ``.``, ``..``, a slash or NUL in it, or over MAX_NAME bytes.
    """
    name = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise LoginRefused(name[:80], "not a name for an account")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise LoginRefused(name[:80], "name of the account too long")
    return name


@lru_cache(MAX_PLAIN)
def _filled(place: str, username: str, root: str) -> str:
    # One pass over the parts of the template: a user called "{root}" is a name like any other.
    filled = root.join(piece.replace("{username}", username) for piece in place.split("{root}"))
    return posixpath.join(root, filled)


def home_of(account: Account, root: str, template: str) -> str:
    """Where the account lives: its own home, else as the daemon's template says."""
    return _filled(account.home or template, account.username, root)


@implementer(IRealm)
class Realm:
    """Makes avatars over one storage.

    Args:
        storage: whose views are the accounts' homes.
        root: where homes live, in the storage's spelling of a place.
        home_template: with ``{root}`` and ``{username}``; such a home is made at first login.
        defaults: settings of users whom a checker knows but ``accounts`` does not; ``if_exists`` of all
            who have none.
        accounts: settings by user name, or None.
        events, limits, clock: as everywhere.
        anonymous: the directory of nobody in particular, relative to the root; None: refused. It is read
            only, unless ``accounts`` knows other rights for them.
        ledger: quota, or None.
        limiters: bandwidth limits, or None.
        wall_time: Unix seconds, for accounts that expire or have hours.
    """

    def __init__(
        self,
        storage: IStorage,
        *,
        root: str,
        events: IEvents,
        limits: ILimits,
        clock: IReactorTime,
        home_template: str = "{root}/{username}",
        defaults: Account | None = None,
        accounts: AccountLookup | None = None,
        anonymous: str | None = None,
        ledger: IQuotaLedger | None = None,
        limiters: LimiterSource | None = None,
        wall_time: Callable[[], float] = time.time,
        log: Logger | None = None,
    ) -> None:
        self._storage = storage
        self._root = root
        self._template = home_template
        self._defaults = defaults or Account("")
        #: Accounts that a checker knows and nobody has settings for, by what the checker answered.
        self._plain: dict[bytes | str, Account] = {}
        self._default_rights = PathRights(self._defaults.rights, self._defaults.path_rights)
        self._accounts = accounts
        self._events = events
        self._limits = limits
        self._clock = clock
        self._ledger = ledger
        self._limiters = limiters
        self._wall_time = wall_time
        self._log = log or Logger()
        self._anonymous: Account | None = None
        if anonymous is not None:
            home = posixpath.normpath(posixpath.join(root, anonymous))
            found = accounts.anonymous() if isinstance(accounts, KnowsAnonymous) else None
            settings = found or Account(ANONYMOUS_NAME)
            # All rights is what an account has that nothing is said of: nobody in particular never has.
            rights = READ_ONLY if settings.rights == ALL_RIGHTS else settings.rights
            self._anonymous = attrs.evolve(
                self._by_default(settings),
                username=ANONYMOUS_NAME,
                home=home,
                rights=rights,
                certificates=(),
                require="",
            )

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """The avatar for what a checker answered: a user name, ANONYMOUS, or an Account.

        Fails with LoginRefused, LoginFailed, LimitReached, TLSRequired, or a storage error.
        """
        if IAvatar not in interfaces:
            raise NotImplementedError("only IAvatar")
        context = mind if isinstance(mind, LoginContext) else LoginContext("", "", "")
        account = self._account(avatarId)
        try:
            admit(account, context, self._wall_time())
        except LoginFailed:
            # A certificate alone is often only the first of two: then there is nothing to tell yet.
            if context.factors != ALONE:
                self._log.info(
                    "{username!r} is not let in: wants {require}",
                    username=account.username,
                    require=account.require,
                )
            raise
        except LoginRefused as refusal:
            # The client is not told which rule it was; somebody has to be.
            self._log.info(
                "{username!r} is not let in: {reason}", username=account.username, reason=refusal.detail
            )
            raise
        home, create = self._home(account)
        lease = self._limits.session(account.username, context.peer, account.max_sessions)
        try:
            answer = self._storage.view(home, owner=self._owner(account, context), create=create)
        except Exception as error:  # noqa: BLE001 - whatever a storage raises, there is no home
            lease.release()
            raise self._refusal(account, error) from None
        return then_or(
            answer,
            partial(self._made, account, context, lease),
            partial(self._not_made, account, lease),
        )

    def _account(self, avatar_id: Any) -> Account:
        if isinstance(avatar_id, Account):
            plain_username(avatar_id.username)
            return self._by_default(avatar_id)
        if avatar_id is ANONYMOUS or avatar_id == ANONYMOUS:
            if self._anonymous is None:
                raise LoginRefused(ANONYMOUS_NAME, "no anonymous access")
            return self._anonymous
        if not isinstance(avatar_id, (bytes, str)):
            raise LoginRefused(detail=f"a checker answered with {type(avatar_id).__name__}")
        plain = self._plain.get(avatar_id)
        username = plain.username if plain is not None else plain_username(avatar_id)
        found = self._accounts.account(username) if self._accounts is not None else None
        if found is not None:
            return self._by_default(found)
        if plain is None:
            if len(self._plain) >= MAX_PLAIN:
                self._plain.clear()
            plain = self._plain[avatar_id] = attrs.evolve(self._defaults, username=username)
        return plain

    def _by_default(self, account: Account) -> Account:
        """``account`` with what the daemon says of taken names, where it says nothing itself."""
        if account.if_exists or not self._defaults.if_exists:
            return account
        return attrs.evolve(account, if_exists=self._defaults.if_exists)

    def _owner(self, account: Account, context: LoginContext) -> str:
        """Whose parts the session sees: its account's; of nobody in particular only its own.

        A slash keeps the second kind apart from every account.
        """
        if account is self._anonymous:
            return f"{ANONYMOUS_NAME}/{context.session_id}"
        return account.username

    def _home(self, account: Account) -> tuple[str, bool]:
        """Where the account lives, and whether that may be made now."""
        return home_of(account, self._root, self._template), not account.home

    def _made(self, account: Account, context: LoginContext, lease: ILease, view: IStorage) -> Any:
        up: ILimiter | None = None
        down: ILimiter | None = None
        try:
            if self._limiters is not None:
                up, down = self._limiters(account, context)
            avatar = Avatar(
                account,
                view,
                self._rights(account),
                Reporter(self._events, self._clock, context, account.username),
                lease=lease,
                ledger=self._ledger,
                upload_limiter=up,
                download_limiter=down,
            )
        except BaseException:
            lease.release()
            view.close()
            raise
        entered = IAvatar, avatar, avatar.logout
        answer = avatar.settle()
        return then_or(answer, lambda _: entered, partial(self._not_counted, entered))

    def _not_counted(self, entered: tuple[Any, Avatar, Any], failure: Failure) -> tuple[Any, Avatar, Any]:
        """The sums stay in doubt, which the next login tries to end; what they hold is kept to."""
        error = failure.value
        self._log.error(
            "files of {username!r} could not be counted for quota: {error}",
            username=entered[1].username,
            error=str(error) if isinstance(error, (XferError, OSError)) else type(error).__name__,
        )
        return entered

    def _rights(self, account: Account) -> PathRights:
        defaults = self._defaults
        if (
            account.rights == defaults.rights
            and account.path_rights == defaults.path_rights
            and not account.within
        ):
            return self._default_rights
        return PathRights(account.rights, account.path_rights, account.within)

    def _not_made(self, account: Account, lease: ILease, failure: Failure) -> Failure:
        lease.release()
        raise self._refusal(account, failure.value) from None

    def _refusal(self, account: Account, error: BaseException | None) -> BaseException:
        """What the client is told when there is no home: that, and nothing of where it should be."""
        if error is None or not isinstance(error, Exception):
            return error or LoginRefused(account.username)
        self._log.error(
            "no home for {username!r}: {error}",
            username=account.username,
            error=str(error) if isinstance(error, (XferError, OSError)) else type(error).__name__,
        )
        return LoginRefused(account.username, "no home")
