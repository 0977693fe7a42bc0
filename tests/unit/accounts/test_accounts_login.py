"""Logging in: chain, realm, back-off, equal time, events, and no password anywhere."""

import io

import pytest
from accounts_kit import Bus, Tree, result
from twisted.cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IAnonymous, IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, textFileLogObserver
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.credentials import PeerAnonymous, PeerPassword
from twisted_xfer.accounts.login import MINIMUM_SECONDS, Login
from twisted_xfer.accounts.realm import Realm, plain_username
from twisted_xfer.errors import (
    Banned,
    Busy,
    LimitReached,
    LoginFailed,
    LoginRefused,
    NotFound,
    TLSRequired,
)
from twisted_xfer.interfaces import READ_ONLY, Account, IAvatar, ILogin, LoginContext, Right
from twisted_xfer.paths import VirtualPath
from twisted_xfer.runtime.limits import FREE_PER_USER, Limits

CANARY = b"canary-3141592653"
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


class Leaky(Says):
    """A checker that breaks and says what it was asked."""

    def requestAvatarId(self, credentials):
        raise ValueError(f"cannot check {credentials.password!r}")


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


def test_a_good_login_is_answered_at_once():
    """No Deferred where nothing has to be waited for; told once; the home is made by the template."""
    house = House()
    avatar = house.enter()
    verifyObject(ILogin, house.login)
    verifyObject(IAvatar, avatar)
    assert house.bus.ids() == ["login.ok"]
    assert house.bus.events[0][1] == {
        "session": "s1",
        "protocol": "ftp",
        "username": "alice",
        "peer": "192.0.2.7",
        "secure": False,
        "certificate": "",
    }
    assert house.tree.views == [("/srv/alice", "alice", True)]
    assert house.clock.getDelayedCalls() == []


@pytest.mark.parametrize("style", ["deferred", "coroutine"])
def test_a_storage_that_takes_time(style):
    """The avatar comes when the view does."""
    house = House(tree=Tree(style=style))
    assert result(house.enter).username == "alice"
    assert house.bus.ids() == ["login.ok"]


def test_plain_credentials_become_ours():
    """What a protocol hands in is compared in constant time and carries its connection."""
    seen = []

    class Looks(Says):
        def requestAvatarId(self, credentials):
            seen.append(credentials)
            return b"alice"

    House(Looks(None)).login.login(UsernamePassword(b"alice", b"secret"), CLEAR)
    assert type(seen[0]) is PeerPassword
    assert (seen[0].username, seen[0].context) == (b"alice", CLEAR)
    assert seen[0].checkPassword(b"secret")
    assert not seen[0].checkPassword(b"secre")


def test_unknown_user_and_wrong_password_are_the_same_and_take_the_same_time():
    """Same error, same fields, same moment, and not a moment sooner than the floor."""
    errors = []
    for name, password in ((b"alice", b"wrong"), (b"nobody", b"secret")):
        house = House()
        box = []
        house.enter(name, password).addErrback(box.append)
        house.clock.advance(MINIMUM_SECONDS * 0.99)
        assert box == []
        house.clock.advance(MINIMUM_SECONDS * 0.01)
        errors.append(box[0].value)
        assert house.bus.ids() == ["login.failed"]
        assert house.bus.events[0][1]["code"] == "login_failed"
    assert type(errors[0]) is type(errors[1]) is LoginFailed
    assert errors[0].args == errors[1].args
    assert errors[0].fields == errors[1].fields


def test_a_slow_checker_is_not_delayed_further():
    """The floor counts from the question, not from the answer."""
    slow = Deferred()
    house = House(Says(slow))
    box = []
    house.enter().addErrback(box.append)
    house.clock.advance(MINIMUM_SECONDS * 2)
    slow.errback(UnauthorizedLogin())
    assert box[0].check(LoginFailed)


def test_back_off_waits_before_the_checker_is_asked():
    """After the free failures the attempt waits, the right password too, and then goes in."""
    checker = memory(alice="secret")
    house = House(checker)
    for _ in range(FREE_PER_USER):
        house.refused(LoginFailed, password=b"wrong")
    box = []
    house.enter().addCallback(box.append)
    house.clock.advance(0.4)
    assert box == []
    assert "login.ok" not in house.bus.ids()
    house.clock.advance(0.2)
    assert box[0].username == "alice"
    assert house.limits.delay("192.0.2.7", "alice") == 0.0


def test_back_off_refuses_when_the_queue_is_too_long():
    """A flood is told so, and the checker is not asked."""
    checker = Says(UnauthorizedLogin())
    house = House(checker)
    for _ in range(FREE_PER_USER):
        house.limits.failed("192.0.2.7", "alice")
    with pytest.raises(Banned):
        for _ in range(200):
            house.enter().addErrback(lambda _: None)
    assert checker.asked == 0


class KnownAccounts:
    """Settings of one user."""

    def __init__(self, account):
        self.account = lambda name: account if name == account.username else None


@pytest.mark.parametrize(("own", "wanted"), [("", "refuse"), ("rename", "rename")])
def test_what_the_daemon_says_of_taken_names_holds_for_accounts_that_say_nothing(own, wanted):
    """Also where a users file has other settings of them."""
    account = Account("alice", if_exists=own, max_sessions=3)
    house = House(accounts=KnownAccounts(account), defaults=Account("", if_exists="refuse"))
    avatar = house.enter()
    got = []
    if hasattr(avatar, "addCallback"):
        avatar.addCallback(got.append)
        (avatar,) = got
    assert (avatar.account.if_exists, avatar.account.max_sessions) == (wanted, 3)


def test_the_peer_hangs_up_while_the_checker_works():
    """The avatar that comes all the same is logged out, and its place is free."""
    slow = Deferred()
    house = House(Says(slow), limits={"max_per_user": 1})
    waiting = house.enter()
    box = []
    waiting.addErrback(box.append)
    waiting.cancel()
    assert box[0].check(CancelledError)
    slow.callback(b"alice")
    assert house.tree.closed == 1
    assert house.bus.ids() == ["logout"]
    house.limits.session("alice", "192.0.2.7")


def test_the_peer_hangs_up_while_its_failure_is_held_back():
    """No timer stays, and the wrong guess counts although nobody waited for the answer."""
    house = House()
    waiting = house.enter(password=b"wrong")
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    assert house.clock.getDelayedCalls() == []
    assert house.limits._failures
    assert house.bus.ids() == ["login.failed"]


def test_the_peer_hangs_up_while_it_is_backed_off():
    """No timer stays, and the checker is never asked."""
    checker = Says(b"alice")
    house = House(checker)
    for _ in range(FREE_PER_USER):
        house.limits.failed("192.0.2.7", "alice")
    waiting = house.enter()
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    house.clock.advance(60)
    assert checker.asked == 0


def test_tls_by_rule_of_the_daemon_and_of_the_account():
    """In the clear neither the checker (daemon) nor the home (account) is touched."""
    checker = Says(b"alice")
    house = House(checker, require_tls=True)
    with pytest.raises(TLSRequired):
        house.enter()
    assert checker.asked == 0
    assert house.bus.events[0][1]["code"] == "tls_required"
    assert house.enter(context=SECURE).username == "alice"

    house = House(Says(Account("alice", require_tls=True)))
    house.refused(TLSRequired)
    assert house.tree.views == []
    assert house.enter(context=SECURE).username == "alice"


def test_sessions_of_an_account():
    """At the account's limit and one past; logout gives the place back."""
    house = House(Says(Account("alice", max_sessions=1)))
    avatar = house.enter()
    assert house.refused(LimitReached).fields["limit"] == "user"
    assert house.bus.ids() == ["login.ok", "login.failed"]
    avatar.logout()
    house.enter()


def test_no_home_is_refused_without_details_and_gives_the_place_back():
    """The client does not learn where its home should be; the log does."""
    tree = Tree()
    tree.no_home = NotFound(b"/secret/place")
    house = House(Says(Account("alice", home="/secret/place", max_sessions=1)), tree=tree)
    for _ in range(2):
        assert "/secret/place" not in str(house.refused(LoginRefused))
    assert "/secret/place" in house.logged.getvalue()
    assert tree.views[0] == ("/secret/place", "alice", False)


# --- chain -------------------------------------------------------------------------------


def test_chain_asks_in_turn_and_stops_at_the_first_that_knows():
    """Refused by the first, known to the second, the third is not asked."""
    first, second, third = Says(UnauthorizedLogin()), Says(b"alice"), Says(b"mallory")
    house = House(first, second, third)
    assert house.enter().username == "alice"
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


@pytest.mark.parametrize("broken", [OSError("disk"), KeyError("x"), MemoryError()])
def test_a_broken_checker_closes_the_chain(broken):
    """Fail closed: the next is not asked; logged; not counted as a guess."""
    after = Says(b"alice")
    house = House(Says(broken), after)
    house.refused(LoginFailed)
    assert after.asked == 0
    assert type(broken).__name__ in house.logged.getvalue()
    assert __file__ in house.logged.getvalue()
    assert house.bus.events[0][1]["code"] == "checker_failed"
    assert not house.limits._failures


@pytest.mark.parametrize(("error", "kind"), [(LoginDenied("x"), LoginRefused), (Busy(), Busy)])
def test_a_considered_refusal_closes_the_chain_too(error, kind):
    """It goes to the client in our own terms."""
    after = Says(b"alice")
    house = House(Says(error), after)
    house.refused(kind)
    assert after.asked == 0


def test_chain_takes_what_its_checkers_take():
    """Credentials that none of them takes are a failed login."""
    assert set(ChainChecker([memory()]).credentialInterfaces) >= {IUsernamePassword}
    both = ChainChecker([Says(b"a"), AllowAnonymousAccess()])
    assert both.credentialInterfaces == (IUsernamePassword, IAnonymous)
    house = House(Says(b"alice"))
    box = []
    house.login.login(PeerAnonymous(CLEAR), CLEAR).addErrback(box.append)
    house.clock.advance(MINIMUM_SECONDS)
    assert box[0].check(LoginFailed)


# --- realm -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b", "x" * 256, "\u4f60" * 86])
def test_names_that_are_no_account(name):
    """Nothing that could lead out of the template, whatever checker vouched for it."""
    with pytest.raises(LoginRefused):
        plain_username(name)
    house = House(Says(name.encode()))
    house.refused(LoginRefused)
    house = House(Says(Account(name)))
    house.refused(LoginRefused)
    assert house.tree.views == []


@pytest.mark.parametrize(
    "name", ["-rf", "a b", "...", ".hidden", "x" * 255, "{root}", "{username}", "\u4f60"]
)
def test_odd_names_that_are_accounts(name):
    """They are one plain component each, and stay so in the template."""
    house = House(Says(name.encode()))
    assert house.enter().username == name
    assert house.tree.views == [(f"/srv/{name}", name, True)]


def test_names_that_are_not_utf8_are_kept():
    """As surrogates, as file names are."""
    assert plain_username(b"\xff").encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    ("template", "home", "place"),
    [
        ("{root}/{username}", "", "/srv/alice"),
        ("{root}", "", "/srv"),
        ("{root}/u/{username}/in", "", "/srv/u/alice/in"),
        ("{root}", "/data/a", "/data/a"),
        ("{root}", "shared", "/srv/shared"),
        ("{root}", "{root}/x/{username}", "/srv/x/alice"),
    ],
)
def test_homes(template, home, place):
    """The account's own home goes before the template, relative ones start at the root."""
    house = House(Says(Account("alice", home=home)), home_template=template)
    house.enter()
    assert house.tree.views == [(place, "alice", not home)]


class Settings:
    def account(self, username):
        return Account("alice", home="/a", rights=READ_ONLY) if username == "alice" else None


def test_settings_hold_whoever_checked_the_password():
    """A name from any checker finds its settings; the others get the defaults."""
    house = House(
        memory(alice="secret", bob="secret"),
        accounts=Settings(),
        defaults=Account("", rights=frozenset({Right.LIST}), charset="gbk"),
    )
    alice, bob = house.enter(), house.enter(b"bob")
    assert alice.account.home == "/a"
    assert alice.may(Right.READ)
    assert not alice.may(Right.WRITE)
    assert (bob.username, bob.account.charset) == ("bob", "gbk")
    assert bob.may(Right.LIST, VirtualPath((b"x",)))
    assert not bob.may(Right.READ)


def test_anonymous_reads_one_directory_and_only_where_it_is_allowed():
    """Relative to the root, never made, read only; refused where it was not configured."""
    house = House(AllowAnonymousAccess(), anonymous="pub")
    avatar = house.login.login(PeerAnonymous(CLEAR), CLEAR)
    assert avatar.username == "anonymous"
    assert avatar.account.rights == READ_ONLY
    assert house.tree.views == [("/srv/pub", "anonymous/s1", False)]
    house = House(AllowAnonymousAccess(), anonymous=".")
    house.login.login(PeerAnonymous(CLEAR), CLEAR)
    assert house.tree.views == [("/srv", "anonymous/s1", False)]
    with pytest.raises(LoginRefused):
        House().realm.requestAvatar(ANONYMOUS, CLEAR, IAvatar)


@pytest.mark.parametrize("answer", [7, ["alice"], object()])
def test_what_is_no_avatar_id_is_refused(answer):
    """A checker that answers nonsense lets nobody in."""
    House(Says(answer)).refused(LoginRefused)


def test_other_interfaces_are_not_offered():
    """As IRealm says."""
    with pytest.raises(NotImplementedError):
        House().realm.requestAvatar(b"alice", CLEAR)


# --- secrets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "checker",
    [
        memory(alice=CANARY.decode()),
        memory(),
        Leaky(None),
        Says(OSError("x")),
        Says(LoginDenied(CANARY.decode())),
    ],
    ids=["good", "unknown", "leaky", "broken", "denied"],
)
def test_the_canary_is_nowhere(checker):
    """Whatever happens, the password is in no event, log, error, traceback or representation."""
    house = House(checker)
    credentials = PeerPassword(b"alice", CANARY, CLEAR)
    box = []
    answer = house.login.login(credentials, CLEAR)
    if isinstance(answer, Deferred):
        house.clock.advance(MINIMUM_SECONDS)
        answer.addBoth(box.append)
        failure = box[0]
        seen = [
            failure.getTraceback(),
            failure.getTraceback(detail="verbose"),
            repr(failure),
            str(failure.value),
        ]
        seen += [repr(failure.value.__context__), repr(failure.value.__cause__), repr(vars(failure.value))]
    else:
        seen = [repr(answer), repr(answer.account)]
    seen += [repr(credentials), str(credentials), repr(house.bus.events), house.logged.getvalue()]
    assert house.bus.events
    assert CANARY.decode() not in "".join(seen)


def test_a_user_name_in_events_is_bounded():
    """A megabyte of name is cut before it is logged."""
    house = House()
    house.refused(LoginFailed, name=b"x" * 1_000_000)
    assert len(house.bus.events[0][1]["username"]) == 255
