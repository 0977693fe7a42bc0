"""What stands in a users file, and passwords and their hashes."""

import os

import argon2
import pytest
from cheap_hashes import CHEAP, GOOD, OTHER

from twisted_xfer.accounts import passwords
from twisted_xfer.accounts.passwords import (
    VerifiedLogins,
    dummy_hash,
    hash_password,
    is_hash,
    verify_password,
)
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, Account, Right

# --- text --------------------------------------------------------------------------------


def test_toml_with_everything():
    """Each key lands in its field; groups give defaults in their order, the user's own go before."""
    users = parse_users(
        f"""
        [groups.staff]
        rights = "read"
        charset = "GBK"
        max_sessions = 5
        [groups.big]
        max_sessions = 9
        quota_bytes = "2 GiB"
        [users.alice]
        password = "{GOOD}"
        groups = ["staff", "big"]
        home = "/data/alice"
        rights = ["list", "write"]
        path_rights = {{ "/in/**" = "all", "/in/old/**" = "none" }}
        require_tls = true
        quota_files = 7
        rate_up = "500K"
        rate_down = 1000
        comment = "camera"
        [users.bob]
        """
    )
    assert users["alice"].account == Account(
        "alice",
        home="/data/alice",
        rights=frozenset({Right.LIST, Right.WRITE}),
        path_rights=(("/in/**", ALL_RIGHTS), ("/in/old/**", frozenset())),
        charset="gbk",
        max_sessions=9,
        require_tls=True,
        quota_bytes=2 << 30,
        quota_files=7,
        rate_up=500 << 10,
        rate_down=1000,
        comment="camera",
        groups=("staff", "big"),
    )
    assert users["alice"].stored == GOOD
    assert users["bob"][:2] == (Account("bob"), "")
    assert GOOD not in repr(users)


def test_lines():
    """Name and hash, then home and rights; comments and empty lines are skipped."""
    users = parse_users(f"# people\n\nalice:{GOOD}\nbob:{OTHER}:/srv/b\ncarol::/srv/c:read\n")
    assert users["alice"][:2] == (Account("alice"), GOOD)
    assert users["bob"][:2] == (Account("bob", home="/srv/b"), OTHER)
    assert users["carol"][:2] == (Account("carol", home="/srv/c", rights=READ_ONLY), "")


def test_placeholders_of_homes():
    """The two that there are, as in the daemon's own template, anywhere and any number of times."""
    place = "{root}/by-name/{username}/{username}"
    assert parse_users(f'[users.alice]\nhome = "{place}"')["alice"].account.home == place
    assert parse_users('[users.alice]\nhome = ""')["alice"].account.home == ""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[users.alice]\npassword = "canary"', "users.alice.password"),
        ("[users.alice]\npassword = 7", "users.alice.password"),
        ('[users.alice]\npasword = "x"', "users.alice.pasword"),
        ('[users.alice]\nrights = "wrte"', "users.alice.rights"),
        ('[users.alice]\npath_rights = "x"', "users.alice.path_rights"),
        ('[users.alice.path_rights]\n"/a" = "wrte"', "users.alice.path_rights./a"),
        ('[users.alice]\ncharset = "klingon"', "users.alice.charset"),
        ('[users.alice]\ncharset = "base64"', "users.alice.charset"),
        ('[users.alice]\ncharset = "unicode_escape"', "users.alice.charset"),
        ('[users.alice]\ncharset = "hz"', "users.alice.charset"),
        ("[users.alice]\nmax_sessions = -1", "users.alice.max_sessions"),
        ("[users.alice]\nmax_sessions = true", "users.alice.max_sessions"),
        ('[users.alice]\nquota_bytes = "1 X"', "users.alice.quota_bytes"),
        ('[users.alice]\nrequire_tls = "yes"', "users.alice.require_tls"),
        ("[users.alice]\nrequire_tls = 1", "users.alice.require_tls"),
        ("[users.alice]\nhome = 7", "users.alice.home"),
        ('[users.alice]\nhome = "{rooot}/x"', "users.alice.home"),
        ('[users.alice]\nhome = "{root}/{0}"', "users.alice.home"),
        ('[users.alice]\nhome = "{root!r}"', "users.alice.home"),
        ('[users.alice]\nhome = "{root}/{username"', "users.alice.home"),
        ('[users.alice]\nhome = "a}b"', "users.alice.home"),
        ('[groups.g]\nhome = "{user}"', "groups.g.home"),
        ("alice::{rooot}/x", "line 1: home"),
        ('[users.alice]\ngroups = ["x"]', "users.alice.groups"),
        ('[users.alice]\ngroups = "x"', "users.alice.groups"),
        ('[groups.g]\npassword = "x"', "groups.g.password"),
        ('[users."../x"]', "users.../x"),
        ("[users]\nalice = 7", "users.alice"),
        ("[user.alice]", "user"),
        ("[users.alice", "syntax"),
        ("alice", "line 1"),
        ("# x\nalice:canary", "line 2"),
        ("alice::/a:wrte", "line 1: rights"),
        ("a/b:", "line 1"),
        ("alice:\nalice:", "line 2"),
    ],
)
def test_wrong_text(text, key):
    """File, key and remedy are named, and what may be a password is not repeated."""
    with pytest.raises(ConfigError) as caught:
        parse_users(text, "users")
    assert (caught.value.file, caught.value.key) == ("users", key)
    assert caught.value.remedy
    assert "canary" not in str(caught.value) + repr(caught.value.args) + repr(vars(caught.value))


def test_users_are_bounded(monkeypatch):
    """At the limit and one past."""
    monkeypatch.setattr("twisted_xfer.accounts.users_text.MAX_USERS", 2)
    assert len(parse_users("a:\nb:\n")) == 2
    with pytest.raises(ConfigError):
        parse_users("a:\nb:\nc:\n")


# --- passwords ---------------------------------------------------------------------------


def test_hashing():
    """Argon2id in our cost, another salt each time, verified by itself only."""
    stored = hash_password("p\u00e4ss")
    assert stored.startswith(f"$argon2id$v=19$m={passwords.MEMORY_KIB},t={passwords.TIME_COST},p=")
    assert verify_password(stored, "p\u00e4ss".encode())
    assert not verify_password(stored, b"pass")
    assert not verify_password("nonsense", b"pass")
    assert hash_password(b"x", salt=b"0" * 16) == hash_password(b"x", salt=b"0" * 16)
    assert hash_password(b"x") != hash_password(b"x")


def test_password_length_is_bounded():
    """The longest is taken, one byte more is not, even if its hash is stored."""
    for length, good in ((passwords.MAX_PASSWORD, True), (passwords.MAX_PASSWORD + 1, False)):
        password = b"x" * length
        assert verify_password(CHEAP.hash(password), password) is good


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA",
        "$1$abc$def",
        GOOD.replace("m=8", f"m={passwords.MAX_MEMORY_KIB + 1}"),
        GOOD.replace("t=1", f"t={passwords.MAX_TIME_COST + 1}"),
        GOOD.replace("p=1", f"p={passwords.MAX_LANES + 1}"),
        GOOD + "x" * (passwords.MAX_HASH_TEXT + 1 - len(GOOD)),
    ],
)
def test_what_is_no_hash(text):
    """Other schemes, clear text, and costs that would stop the machine."""
    assert is_hash(GOOD)
    assert is_hash(GOOD + "x" * (passwords.MAX_HASH_TEXT - len(GOOD)))
    assert is_hash(GOOD.replace("m=8", f"m={passwords.MAX_MEMORY_KIB}"))
    assert is_hash(GOOD.replace("t=1", f"t={passwords.MAX_TIME_COST}"))
    assert is_hash(GOOD.replace("p=1", f"p={passwords.MAX_LANES}"))
    assert not is_hash(text)


def test_dummy_costs_what_the_others_cost_and_fits_nobody():
    """Same parameters, and a real check that fails."""
    dummy = dummy_hash(os.urandom, GOOD)
    assert argon2.extract_parameters(dummy).memory_cost == 8
    assert is_hash(dummy)
    assert not verify_password(dummy, b"secret")
    assert argon2.extract_parameters(dummy_hash(os.urandom)).memory_cost == passwords.MEMORY_KIB
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        CHEAP.verify(dummy, b"secret")


def test_memory_of_verified_logins():
    """Exactly what was verified, for a minute, and bounded."""
    now = [0.0]
    memory = VerifiedLogins(lambda: now[0], os.urandom, entries=2)
    memory.remember("alice", GOOD, b"secret")
    assert memory.knows("alice", GOOD, b"secret")
    for wrong in (("alice", GOOD, b"x"), ("bob", GOOD, b"secret"), ("alice", OTHER, b"secret")):
        assert not memory.knows(*wrong)
    now[0] = 59.9
    assert memory.knows("alice", GOOD, b"secret")
    now[0] = 60.0
    assert not memory.knows("alice", GOOD, b"secret")
    for name in ("a", "b", "c"):
        memory.remember(name, GOOD, b"x")
    assert [memory.knows(name, GOOD, b"x") for name in ("a", "b", "c")] == [False, True, True]
    memory.clear()
    assert not memory.knows("c", GOOD, b"x")
    assert b"secret" not in repr(vars(memory)).encode()
