"""The users file: a checker of passwords, and the settings of accounts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import Interface, implementer

from twisted_xfer.accounts.account_file import Complaints, Stamp, read_account_file, stamp_of
from twisted_xfer.accounts.certificates import CertificateIndex
from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.hash_queue import HashQueue, key_of
from twisted_xfer.accounts.passwords import VerifiedLogins, dummy_hash, verify_password
from twisted_xfer.accounts.scram import Strangers
from twisted_xfer.accounts.tokens import Owned, SpentTokens, content_key, find_token
from twisted_xfer.accounts.users_text import Users, parse_users
from twisted_xfer.errors import ConfigError, LoginFailed, LoginRefused, StorageFailure
from twisted_xfer.interfaces import (
    Account,
    IBlocking,
    IClientCertificate,
    IKnowsVerifiers,
    IScramProof,
    IToken,
    RandomBytes,
)


@implementer(ICredentialsChecker, IKnowsVerifiers)
class UsersFile:
    """Accounts from one file, read again when it changes.

    A file that becomes wrong while the daemon runs is logged, once, and the accounts read before
    stay; one that is wrong at the start stops it.

    Args:
        path: TOML or one line per user (``users_text``).
        seconds: the clock of the memory of verified logins.
        random: for its key.
        blocking: where hashes are checked (pool ``hash``); may be attached later.
        wall_time: Unix seconds, for tokens that expire.

    Raises:
        ConfigError: it cannot be read, others may write to it, or its contents are wrong.
    """

    credentialInterfaces: Sequence[type[Interface]] = (
        IUsernamePassword,
        IScramProof,
        IToken,
        IClientCertificate,
    )

    def __init__(
        self,
        path: str,
        *,
        seconds: Callable[[], float],
        random: RandomBytes = os.urandom,
        blocking: IBlocking | None = None,
        log: Logger | None = None,
        wall_time: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self._random = random
        self._hashes = None if blocking is None else HashQueue(blocking)
        self._log = log or Logger()
        self._complaints = Complaints(path, self._log, "the accounts before stay")
        self._verified = VerifiedLogins(seconds, random)
        self._stamp: Stamp | None = None
        self._users = Users()
        self._preferred: Mapping[str, Account] = {}
        self._dummy = ""
        self._wall_time = wall_time
        self._spent = SpentTokens(f"{path}.spent")
        self._digests: dict[str, Owned] = {}
        #: What those look like who are asked for a proof and do not exist.
        self.strangers = Strangers(b"")
        self._scram_for_all = False
        self._take(*read_account_file(path))

    def __repr__(self) -> str:
        return f"<UsersFile {self.path!r} with {len(self._users)} users>"

    def attach(self, blocking: IBlocking) -> None:
        """Check hashes there from now on. Without it they are checked in the caller's thread."""
        self._hashes = HashQueue(blocking)

    def prefer(self, accounts: Mapping[str, Account]) -> None:
        """Let ``accounts`` replace the file's settings of the users of those names, now and after each change."""
        self._preferred = accounts
        self._stamp = None
        self.refresh()

    def account(self, username: str) -> Account | None:
        """The settings of ``username``, whoever checked its password, as the file has them now."""
        self.refresh()
        entry = self._users.get(username)
        return None if entry is None else entry.account

    def usernames(self) -> list[str]:
        """All users, in the file's order."""
        return list(self._users)

    def requestAvatarId(self, credentials: Any) -> Any:
        """The Account of ``credentials``: a password, a proof (SCRAM), a token or a certificate.

        Fails with UnauthorizedLogin, after the same work whether or not there is such a user, and
        with Busy when too many hashes wait, of one address or in all.
        """
        self.refresh()
        if IScramProof.providedBy(credentials):
            return self._prove(credentials)
        if IToken.providedBy(credentials):
            return self._by_token(credentials)
        if IClientCertificate.providedBy(credentials):
            return self._users[self._certificates.find(credentials)].account
        username = credentials.username.decode("utf-8", "surrogateescape")
        password: bytes = credentials.password
        entry = self._users.get(username)
        stored = entry.stored if entry is not None and entry.stored else self._dummy
        if entry is not None and self._verified.knows(username, stored, password):
            return entry.account

        def decide(good: bool) -> Account:
            # The file may have changed while the hash was checked: only what stands now counts.
            now = self._users.get(username)
            if not good or now is None or now.stored != stored:
                raise UnauthorizedLogin
            self._verified.remember(username, stored, password)
            return now.account

        if self._hashes is None:
            return decide(verify_password(stored, password))
        peer = credentials.context.peer if isinstance(credentials, PeerPassword) else ""
        return self._hashes.run(key_of(peer), verify_password, stored, password).addCallback(decide)

    def _prove(self, credentials: Any) -> Deferred[Account]:
        """Ask the peer for a proof; whoever has no verifier here is the chain's last checker's affair."""
        username = credentials.username.decode("utf-8", "surrogateescape")
        entry = self._users.get(username)
        if entry is None or entry.scram is None:
            raise UnauthorizedLogin
        verifier = entry.scram
        # The same work as for a stranger, so that the time until the challenge tells nothing either.
        self.strangers.verifier(credentials.username)

        def proved(_none: object) -> Account:
            now = self._users.get(username)
            if now is None or now.scram != verifier:
                raise LoginFailed
            return now.account

        asked: Deferred[None] = credentials.prove(verifier)
        return asked.addCallback(proved)

    def _by_token(self, credentials: Any) -> Account:
        try:
            owned = find_token(
                self._digests, self._users.key, credentials.token, credentials.account, self._wall_time()
            )
            if owned is None:
                raise UnauthorizedLogin
            account = self._users[owned.username].account
            if account.require:
                raise LoginRefused(owned.username, f"wants {account.require}, and this is a token")
            if owned.token.once:
                self._spent.spend(owned.token.digest, self._digests.__contains__)
        except LoginRefused as refusal:
            # The client is not told why; somebody has to be.
            self._log.info(
                "{username!r} is not let in: {reason}", username=refusal.subject, reason=refusal.detail
            )
            raise
        except StorageFailure as error:
            self._log.error(
                "a token for one login is refused, for it cannot be used up: {error}", error=error
            )
            raise LoginFailed from None
        return owned.token.account(account)

    def scram_for_all(self) -> bool:
        """See IKnowsVerifiers."""
        self.refresh()
        return self._scram_for_all

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether new accounts are in force.

        One stat when nothing has changed. Reading is a matter of milliseconds and only follows an
        administrator's edit, so it is done at once: the next answer already obeys it.
        """
        try:
            if stamp_of(os.stat(self.path)) == self._stamp:
                return False
            stamp, text = read_account_file(self.path)
        except (OSError, ConfigError) as error:
            self._complaints.say(error)
            return False
        try:
            self._take(stamp, text)
        except ConfigError as error:
            self._stamp = stamp
            self._complaints.say(error)
            return False
        self._complaints.over()
        self._log.info("{path}: {count} users in force", path=self.path, count=len(self._users))
        return True

    def _take(self, stamp: Stamp, text: str) -> None:
        users = parse_users(text, self.path)
        for name in users.keys() & self._preferred.keys():
            users[name] = users[name]._replace(account=self._preferred[name])
        self._users = users
        self._certificates = CertificateIndex(
            (rule, name) for name, entry in users.items() for rule in entry.account.certificates
        )
        self._stamp = stamp
        like = next((entry.stored for entry in users.values() if entry.stored), "")
        self._dummy = dummy_hash(self._random, like)
        self._verified.clear()
        verifiers = [entry.scram for entry in users.values() if entry.scram is not None]
        self._scram_for_all = bool(verifiers) and all(
            entry.scram is not None for entry in users.values() if entry.stored
        )
        self._digests = {
            token.digest: Owned(name, token) for name, entry in users.items() for token in entry.tokens
        }
        secrets = [entry.stored for entry in users.values()] + [one.text() for one in verifiers]
        self.strangers = Strangers(users.key or content_key(secrets), verifiers)
