"""Links that accounts make, and rights that differ by path."""

import pytest
from accounts_kit import CONTEXT, Bus, result
from twisted.internet.task import Clock

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.errors import ForbiddenPath, RightMissing
from twisted_xfer.interfaces import ALL_RIGHTS, Account
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.local import LocalStorage


def at(text):
    return VirtualPath.parse(text.encode())


@pytest.fixture
def make(tmp_path):
    """Avatars over a tree with a guarded file."""
    (tmp_path / "guarded").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "guarded" / "file").write_bytes(b"secret")

    def make(*rules, within=""):
        reporter = Reporter(Bus(), Clock(), CONTEXT, "alice")
        rights = PathRights(ALL_RIGHTS, rules, within)
        return Avatar(Account("alice"), LocalStorage(str(tmp_path)), rights, reporter)

    return make


@pytest.mark.parametrize("options", [{"within": "/in"}, {}])
def test_no_link_leads_around_the_rights_of_a_place(make, options):
    """Rights are those of the name that is used: who has less elsewhere makes itself no name for it."""
    rules = () if options else [("/guarded/**", frozenset())]
    avatar = make(*rules, **options)
    with pytest.raises(RightMissing):
        result(avatar.open_read, at("/guarded/file"))
    with pytest.raises(ForbiddenPath):
        result(avatar.make_link, at("/in/way"), b"../guarded")
    avatar.logout()


def test_links_of_accounts_with_the_same_rights_everywhere(make):
    """For them a link leads nowhere that they may not go."""
    avatar = make()
    assert result(avatar.make_link, at("/in/way"), b"../guarded") is True
    assert result(avatar.stat, at("/in/way/file")).size == 6
    avatar.logout()
