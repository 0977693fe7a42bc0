"""Nobody in particular: reads, or does what the configuration says, and never everything."""

import pytest
from accounts_kit import CONTEXT, Bus, Tree
from twisted.cred.checkers import ANONYMOUS
from twisted.internet.task import Clock

from twisted_xfer.accounts.realm import Realm
from twisted_xfer.app.accounts import Accounts
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, Account, IAvatar, Right
from twisted_xfer.testing.host import CountingLimits


class UsersFile:
    """A checker whose file has a user of that name."""

    def account(self, username):
        return Account(username, rights=frozenset({Right.DELETE}))


def enter(inline, **more):
    accounts = Accounts(inline, [UsersFile()])
    realm = Realm(
        Tree(),
        root="/r",
        events=Bus(),
        limits=CountingLimits(),
        clock=Clock(),
        accounts=accounts,
        anonymous="pub",
        **more,
    )
    return realm.requestAvatar(ANONYMOUS, CONTEXT, IAvatar)[1].account


@pytest.mark.parametrize(
    ("inline", "rights"),
    [
        ({}, READ_ONLY),
        ({"anonymous": Account("anonymous")}, READ_ONLY),
        ({"anonymous": Account("anonymous", rights=ALL_RIGHTS)}, READ_ONLY),
        ({"anonymous": Account("anonymous", rights=frozenset({Right.WRITE}))}, {Right.WRITE}),
        ({"alice": Account("alice", rights=frozenset({Right.WRITE}))}, READ_ONLY),
    ],
)
def test_rights(inline, rights):
    """Those that were named for it; none of a users file, and never all of them."""
    assert enter(inline).rights == rights


def test_other_settings():
    """Count too, but for the home, the name and what it takes to log in."""
    account = enter(
        {
            "anonymous": Account(
                "x", home="/elsewhere", quota_bytes=7, require="password", certificates=("cn:a",)
            )
        }
    )
    assert account == Account("anonymous", home="/r/pub", rights=READ_ONLY, quota_bytes=7)


def test_what_the_daemon_says_of_taken_names():
    """Holds unless the account says something itself."""
    refusing = Account("", if_exists="refuse")
    assert enter({}, defaults=refusing).if_exists == "refuse"
    own = {"anonymous": Account("anonymous", if_exists="rename")}
    assert enter(own, defaults=refusing).if_exists == "rename"
