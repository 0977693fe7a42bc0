"""What the tests of logins share: a portal with its limits, and checkers that say what they are told to."""

import io

import pytest
from accounts_kit import Bus, Tree, result
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.logger import Logger, textFileLogObserver

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.login import MINIMUM_SECONDS, Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.interfaces import LoginContext
from twisted_xfer.runtime.limits import Limits

CLEAR = LoginContext("ftp", "s1", "192.0.2.7")
SECURE = LoginContext("ftp", "s2", "192.0.2.7", secure=True)


class Says:
    """A checker that does one thing and counts how often."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def requestAvatarId(self, credentials):
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def memory(**users):
    checker = InMemoryUsernamePasswordDatabaseDontUse()
    for name, password in users.items():
        checker.addUser(name.encode(), password.encode())
    return checker


class House:
    """Everything that a login goes through."""

    def __init__(
        self, *checkers, tree=None, limits=None, minimum=MINIMUM_SECONDS, require_tls=False, **realm
    ):
        self.clock = Clock()
        self.bus = Bus()
        self.tree = tree or Tree()
        self.limits = Limits(self.clock, **(limits or {}))
        self.logged = io.StringIO()
        log = Logger(observer=textFileLogObserver(self.logged))
        self.realm = Realm(
            self.tree, root="/srv", events=self.bus, limits=self.limits, clock=self.clock, log=log, **realm
        )
        self.portal = Portal(self.realm, [ChainChecker(checkers or [memory(alice="secret")], log)])
        self.login = Login(
            self.portal,
            self.limits,
            self.bus,
            self.clock,
            minimum_seconds=minimum,
            require_tls=require_tls,
            log=log,
        )

    def enter(self, name=b"alice", password=b"secret", context=CLEAR):
        return self.login.login(PeerPassword(name, password, context), context)

    def refused(self, kind, name=b"alice", password=b"secret", context=CLEAR):
        """The error of a login that must fail, after the floor has passed."""
        with pytest.raises(kind) as caught:
            answer = self.enter(name, password, context)
            self.clock.advance(MINIMUM_SECONDS)
            result(lambda: answer)
        return caught.value
