"""Logins by a certificate: by it alone, beside a password, and wrong ones."""

import pytest
from accounts_kit import result
from certificate_facts import ALICE, BOB
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.login import MINIMUM_SECONDS, Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.errors import LoginFailed, LoginRefused
from twisted_xfer.interfaces import Account, ClientCertificate, IAvatar, IClientCertificate, LoginContext
from twisted_xfer.runtime.limits import FREE_PER_USER, Limits
from twisted_xfer.storage.memory import MemoryStorage


class Knows:
    """A checker of passwords and certificates that answers with an account."""

    def __init__(self, account, *kinds, answer=None):
        self.account = account
        self.credentialInterfaces = kinds
        self.answer = answer
        self.asked = []

    def requestAvatarId(self, credentials):
        self.asked.append(credentials)
        if self.answer is not None:
            return self.answer
        if IClientCertificate.providedBy(credentials):
            if credentials.certificate != ALICE or credentials.username not in {b"", b"alice"}:
                raise UnauthorizedLogin
        elif (credentials.username, credentials.password) != (b"alice", b"secret"):
            raise UnauthorizedLogin
        return self.account


class Bus:
    active = True
    asks = False

    def __init__(self):
        self.events = []

    def emit(self, event_id, **fields):
        self.events.append((event_id, fields))

    def ask(self, event_id, **fields):
        return None


class House:
    """A login with accounts of one kind."""

    def __init__(self, *, require="", answer=None, enabled=True):
        from twisted.cred.credentials import IUsernamePassword

        self.clock = Clock()
        self.bus = Bus()
        self.limits = Limits(self.clock)
        account = Account("alice", require=require, enabled=enabled)
        self.checker = Knows(account, IUsernamePassword, IClientCertificate, answer=answer)
        storage = MemoryStorage(wall_time=lambda: 0.0)
        realm = Realm(storage, root="/", events=self.bus, limits=self.limits, clock=self.clock)
        portal = Portal(realm, [ChainChecker([self.checker])])
        self.login = Login(portal, self.limits, self.bus, self.clock)

    def take(self, answer):
        """The avatar, None or the error that an answer came to."""
        if not isinstance(answer, Deferred):
            return answer
        box = []
        answer.addBoth(lambda value: box.append(getattr(value, "value", value)))
        for _ in range(100):
            if not box:
                self.clock.advance(MINIMUM_SECONDS)
        return box[0]

    def password(self, word=b"secret", shown=None):
        return self.take(self.login.login(UsernamePassword(b"alice", word), context(shown)))

    def external(self, name=b"alice", shown=ALICE):
        return self.take(self.login.login(ClientCertificate(name, shown), context(shown)))

    def ids(self):
        return [event_id for event_id, _ in self.bus.events]


def context(shown):
    return LoginContext("ftp", "s1", "192.0.2.7", secure=True, certificate=shown)


@pytest.mark.parametrize(
    ("require", "by_certificate", "by_password", "by_both"),
    [
        ("", True, True, True),
        ("password", False, True, True),
        ("certificate", True, False, True),
        ("certificate+password", False, False, True),
    ],
)
def test_what_it_takes(require, by_certificate, by_password, by_both):
    """Each rule of ``require`` with each way to come."""
    for good, call in (
        (by_certificate, lambda house: house.take(house.login.by_certificate("alice", context(ALICE)))),
        (by_certificate, lambda house: house.external()),
        (by_certificate, lambda house: house.external(b"")),
        (by_password, lambda house: house.password()),
        (by_password, lambda house: house.password(shown=BOB)),
        (by_both, lambda house: house.password(shown=ALICE)),
        (False, lambda house: house.password(b"wrong", shown=ALICE)),
    ):
        answer = call(House(require=require))
        assert IAvatar.providedBy(answer) is good, answer
        if not good:
            # Nothing in it tells that the other factor was right.
            assert answer is None or repr(answer) == repr(LoginFailed())


def test_a_certificate_counts_for_its_own_account_only():
    """Where a secret leads from the name that was given to another account, one's own certificate is none of it."""
    house = House(require="certificate+password")
    bob = Account("bob", require="certificate+password")
    seen = []

    def answer(credentials):
        seen.append(credentials)
        return house.checker.account if IClientCertificate.providedBy(credentials) else bob

    house.checker.requestAvatarId = answer
    assert repr(house.password(shown=ALICE)) == repr(LoginFailed())
    assert len(seen) == 2


@pytest.mark.parametrize(("name", "shown"), [(b"alice", BOB), (b"bob", ALICE), (b"nobody", BOB), (b"", BOB)])
def test_failures_look_alike_and_count(name, shown):
    """A certificate that is not this account's is a guess like a wrong password."""
    house = House()
    errors = [house.external(name, shown) for _ in range(FREE_PER_USER + 1)]
    assert {(type(error), str(error)) for error in errors} == {(LoginFailed, str(LoginFailed()))}
    assert set(house.ids()) == {"login.failed"}
    known = name.decode() or f"sha256:{shown.fingerprint}"
    assert house.bus.events[0][1]["username"] == known
    assert house.limits.delay("192.0.2.7", known) > 0


def test_asking_before_a_password_is_no_guess():
    """However often: no event, no delay, no wait."""
    house = House(require="certificate+password")
    for _ in range(FREE_PER_USER + 1):
        for shown in (ALICE, BOB):
            asked = house.login.by_certificate("alice", context(shown))
            assert result(lambda asked=asked: asked) is None
    assert house.ids() == []
    assert house.limits.delay("192.0.2.7", "alice") == 0


def test_without_a_certificate_nobody_is_asked():
    """None at once, without a Deferred."""
    house = House()
    assert house.login.by_certificate("alice", context(None)) is None
    assert house.checker.asked == []


def test_nothing_takes_certificates():
    """A portal that knows passwords only."""
    house = House()
    from twisted.cred.credentials import IUsernamePassword

    house.checker.credentialInterfaces = (IUsernamePassword,)
    portal = Portal(house.login._portal.realm, [ChainChecker([house.checker])])
    login = Login(portal, house.limits, house.bus, house.clock)
    assert login.by_certificate("alice", context(ALICE)) is None
    answer = house.take(login.login(UsernamePassword(b"alice", b"secret"), context(ALICE)))
    assert IAvatar.providedBy(answer)


def test_the_right_certificate_of_a_closed_account():
    """Refused, and told as such: who holds the key may know."""
    house = House(enabled=False)
    assert isinstance(house.take(house.login.by_certificate("alice", context(ALICE))), LoginRefused)
    assert house.bus.events[-1][1]["code"] == "login_refused"


@pytest.mark.parametrize("answer", [b"root", "root", Account("root"), (), b"", 7])
def test_an_answer_that_nobody_asked_for(answer):
    """A checker that looks at the certificate alone cannot make alice somebody else."""
    house = House(answer=answer)
    assert house.take(house.login.by_certificate("alice", context(ALICE))) is None
    assert type(house.external()) is LoginFailed


def test_the_event_tells_which_certificate():
    """By its fingerprint, also beside a password."""
    house = House()
    house.external()
    house.password(shown=BOB)
    house.password()
    told = [fields["certificate"] for event_id, fields in house.bus.events if event_id == "login.ok"]
    assert told == [ALICE.fingerprint, BOB.fingerprint, ""]


def test_the_credential():
    """What it promises; it names no secret, for it holds none."""
    credentials = ClientCertificate(b"alice", ALICE)
    verifyObject(IClientCertificate, credentials)
    assert "Alice" in repr(credentials)
