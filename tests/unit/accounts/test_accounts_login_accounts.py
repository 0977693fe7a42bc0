"""Which account a login leads to: the chain of checkers, names, homes and settings."""

import login_house
import pytest
from login_house import CLEAR, House, Says, memory
from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.credentials import PeerAnonymous
from twisted_xfer.accounts.login import MINIMUM_SECONDS
from twisted_xfer.accounts.realm import plain_username
from twisted_xfer.errors import Busy, LoginFailed, LoginRefused
from twisted_xfer.interfaces import READ_ONLY, Account, IAvatar, Right
from twisted_xfer.paths import VirtualPath

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
    assert login_house.__file__ in house.logged.getvalue()
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
