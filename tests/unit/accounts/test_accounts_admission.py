"""When and from where accounts may log in, and how that is written."""

import time
from datetime import datetime

import attrs
import pytest
from accounts_kit import CONTEXT
from cheap_hashes import GOOD
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.accounts import hours as hours_module
from twisted_xfer.accounts import users_text
from twisted_xfer.accounts.admission import admit
from twisted_xfer.accounts.hours import parse_hours, within
from twisted_xfer.accounts.users_text import check_setting, parse_users
from twisted_xfer.errors import ConfigError, LoginRefused, TLSRequired
from twisted_xfer.interfaces import Account, QuotaScope

#: A Wednesday, by the machine's own zone.
NOON = datetime(2026, 7, 15, 12, 0).timestamp()


def at(peer="192.0.2.7", secure=False):
    return attrs.evolve(CONTEXT, peer=peer, secure=secure)


@pytest.mark.parametrize(
    ("account", "context", "reason"),
    [
        (Account("a", enabled=False), at(), "disabled"),
        (Account("a", expires=NOON), at(), "expired"),
        (Account("a", hours=("mon-tue 00:00-24:00",)), at(), "outside its hours"),
        (Account("a", hours=("wed 12:01-13:00", "wed 11:00-12:00")), at(), "outside its hours"),
        (Account("a", networks=("192.0.2.8/31", "2001:db8::/32")), at(), "not from one of its networks"),
        (Account("a", networks=("192.0.2.0/24",)), at("/run/socket"), "not from one of its networks"),
        (Account("a", networks=("0.0.0.0/0",)), at("::1"), "not from one of its networks"),
    ],
)
def test_refused(account, context, reason):
    """Each rule by itself refuses, and the operator reads which."""
    with pytest.raises(LoginRefused) as caught:
        admit(account, context, NOON)
    assert caught.value.detail == reason


@pytest.mark.parametrize(
    ("account", "context"),
    [
        (Account("a"), at()),
        (Account("a", expires=NOON + 0.5), at()),
        (Account("a", hours=("wed 12:00-12:01",)), at()),
        (Account("a", hours=("tue 13:00-12:30",)), at()),
        (Account("a", networks=("10.0.0.0/8", "192.0.2.7")), at()),
        (Account("a", networks=("192.0.2.0/24",)), at("::ffff:192.0.2.7")),
        (Account("a", networks=("fe80::/10",)), at("fe80::1%eth0")),
        (Account("a", require_tls=True), at(secure=True)),
    ],
)
def test_admitted(account, context):
    """At the last moment, at the edge of a network, past midnight."""
    admit(account, context, NOON)


def test_tls_is_asked_for_last():
    """Nobody is sent for TLS who could not log in with it."""
    with pytest.raises(TLSRequired):
        admit(Account("a", require_tls=True), at(), NOON)
    with pytest.raises(LoginRefused):
        admit(Account("a", require_tls=True, enabled=False), at(), NOON)


@pytest.mark.parametrize(
    ("need", "clear", "apart"),
    [
        ("none", True, True),
        (False, True, True),
        ("control", False, False),
        ("data", False, True),
        ("both", False, False),
        (True, False, False),
    ],
)
def test_what_must_not_be_in_clear(need, clear, apart):
    """Of one connection for all, and of a control connection that has its data elsewhere."""
    account = Account("a", require_tls=need)
    for context, good in ((at(), clear), (attrs.evolve(at(), data_apart=True), apart)):
        if good:
            admit(account, context, NOON)
        else:
            with pytest.raises(TLSRequired):
                admit(account, context, NOON)
    admit(account, at(secure=True), NOON)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", [(0, 480), (4, 1079)], [(0, 479), (4, 1080), (5, 600)]),
        ("fri-mon 08:00-09:00", [(4, 480), (5, 480), (6, 480), (0, 480)], [(1, 480), (3, 480)]),
        ("sat 22:00-02:00", [(5, 1320), (5, 1439), (6, 0), (6, 119)], [(5, 1319), (6, 120), (5, 60)]),
        ("09:00 - 17:00", [(3, 540), (6, 1019)], [(3, 539), (6, 1020)]),
        ("SUN 0:00-24:00", [(6, 0), (6, 1439)], [(0, 0), (5, 1439)]),
    ],
)
def test_windows(text, inside, outside):
    """Days wrap around the week, times around midnight; the end is not part of it."""
    windows = parse_hours((text,))
    assert all(within(windows, *moment) for moment in inside)
    assert not any(within(windows, *moment) for moment in outside)


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet="0123456789:- monfrisat", max_size=30))
def test_any_text_is_a_window_or_a_value_error(text):
    """Nothing else comes out of it."""
    try:
        windows = parse_hours((text,))
    except ValueError:
        return
    assert all(window.days and window.end <= 1440 for window in windows)


def test_windows_at_their_limit_and_one_past(monkeypatch):
    """More than a few for each day is a mistake."""
    monkeypatch.setattr(hours_module, "MAX_WINDOWS", 2)
    assert len(parse_hours(("0:00-1:00",) * 2)) == 2
    with pytest.raises(ValueError):
        parse_hours(("0:00-1:00",) * 3)


# --- text --------------------------------------------------------------------------------


def test_toml():
    """The four settings, from a group and from the user."""
    users = parse_users(
        f"""
        [groups.temps]
        expires = 2027-01-31
        hours = ["mon-fri 08:00-18:00"]
        networks = "10.0.0.0/8"
        [users.bob]
        password = "{GOOD}"
        groups = ["temps"]
        enabled = false
        if_exists = "rename"
        [users.carol]
        groups = ["temps"]
        expires = "2027-01-31T18:00:00+02:00"
        """
    )
    bob = users["bob"].account
    assert (bob.enabled, bob.hours, bob.networks) == (False, ("mon-fri 08:00-18:00",), ("10.0.0.0/8",))
    assert bob.if_exists == "rename"
    assert bob.expires == time.mktime((2027, 2, 1, 0, 0, 0, 0, 0, -1))
    assert users["carol"].account.expires == datetime.fromisoformat("2027-01-31T16:00:00+00:00").timestamp()


def test_quota_of_groups_and_directories():
    """A group's shared limit is one for all its members; a directory's is the user's own."""
    users = parse_users(
        """
        [groups.staff]
        quota_bytes = "1K"
        shared_bytes = "5K"
        [groups.few]
        shared_files = 3
        [users.alice]
        groups = ["staff", "few"]
        directory_quotas = { "/in" = "2K" }
        [users.bob]
        """
    )
    assert users["alice"].account.quota_bytes == 1024
    assert users["alice"].account.quota_scopes == (
        QuotaScope("/group/staff", 5120, None),
        QuotaScope("/group/few", None, 3),
        QuotaScope("/user/alice/in", 2048, None, below="/in"),
    )
    assert users["bob"].account.quota_scopes == ()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("expires = 7", "expires"),
        ('expires = "soon"', "expires"),
        ("expires = 12:00:00", "expires"),
        ('hours = "mon-fry 08:00-18:00"', "hours"),
        ('hours = "25:00-26:00"', "hours"),
        ('hours = "10:60-11:00"', "hours"),
        ("hours = [7]", "hours"),
        ('networks = ["10.0.0.0/33"]', "networks"),
        ("networks = 10", "networks"),
        ('enabled = "no"', "enabled"),
        ('if_exists = "ask"', "if_exists"),
        ("directory_quotas = 7", "directory_quotas"),
        ('directory_quotas = { "in" = 7 }', "directory_quotas"),
        ('directory_quotas = { "/in/" = 7 }', "directory_quotas"),
        ('directory_quotas = { "/in" = "x" }', "directory_quotas./in"),
        ("shared_bytes = 7", "shared_bytes"),
    ],
)
def test_wrong_values(line, key):
    """The key is named, and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        parse_users(f"[users.alice]\n{line}\n", "u.toml")
    assert caught.value.key == f"users.alice.{key}"
    assert caught.value.remedy


def test_lists_at_their_limit_and_one_past(monkeypatch):
    """Texts of one setting."""
    monkeypatch.setattr(users_text, "MAX_TEXTS", 2)
    assert check_setting("networks", ["::1"] * 2) == ("::1", "::1")
    for name, value in (
        ("networks", ["::1"] * 3),
        ("directory_quotas", dict.fromkeys(("/a", "/b", "/c"), 1)),
    ):
        with pytest.raises(ConfigError):
            check_setting(name, value)
    assert check_setting("directory_quotas", dict.fromkeys(("/a", "/b"), 1)) == {"/a": 1, "/b": 1}


def test_as_many_groups_as_an_account_is_in(monkeypatch):
    """And one more."""
    monkeypatch.setattr(users_text, "MAX_GROUPS", 2)
    text = "[groups.a]\n[groups.b]\n[groups.c]\n[users.alice]\ngroups = "
    assert parse_users(text + '["a", "b"]')
    with pytest.raises(ConfigError) as caught:
        parse_users(text + '["a", "b", "c"]')
    assert caught.value.key == "users.alice.groups"


def test_the_longest_size():
    """One digit more is refused before it is read."""
    digits = "9" * users_text.MAX_SIZE_DIGITS
    assert check_setting("quota_bytes", digits) == int(digits)
    with pytest.raises(ConfigError):
        check_setting("quota_bytes", digits + "9")


def test_unknown_setting():
    """The remedy lists what there is."""
    with pytest.raises(ConfigError, match="quota_bytes"):
        check_setting("quota", 7)
