"""Logging in: back-off, equal time, TLS by rule, sessions, events, and secrets that never leak."""

import pytest
from accounts_kit import Tree, result
from login_house import CLEAR, SECURE, House, Says, memory
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.login import MINIMUM_SECONDS
from twisted_xfer.errors import Banned, LimitReached, LoginFailed, LoginRefused, NotFound, TLSRequired
from twisted_xfer.interfaces import Account, IAvatar, ILogin
from twisted_xfer.runtime.limits import FREE_PER_USER

CANARY = b"canary-3141592653"


class Leaky(Says):
    """A checker that breaks and says what it was asked."""

    def requestAvatarId(self, credentials):
        raise ValueError(f"cannot check {credentials.password!r}")


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
