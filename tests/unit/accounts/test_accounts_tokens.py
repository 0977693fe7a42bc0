"""Tokens: read from users files, asked in logins, ended and used up."""

import os

import pytest
from accounts_kit import CONTEXT
from proofs_site import NOW, Bearer, House, ask
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock

from twisted_xfer.accounts import tokens
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.accounts.tokens import SpentTokens, Token, looks_like_token, make_token
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_secrets import remove_token
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import Busy, ConfigError, LoginFailed, LoginRefused
from twisted_xfer.interfaces import ALL_RIGHTS, Account, Right
from twisted_xfer.paths import VirtualPath
from twisted_xfer.testing.host import FixedRandom


def test_a_token(site):
    """It is its account, for whoever names it or nobody."""
    token = site.token()
    checker = site.checker()
    assert ask(checker, Bearer(token)) == Account("alice")
    assert ask(checker, Bearer(token, "alice")) == Account("alice")
    assert isinstance(ask(checker, Bearer(token, "bob")), UnauthorizedLogin)


@pytest.mark.parametrize("token", ["", "xfer_", "x" * 48, make_token(FixedRandom(b"x")), "xfer_" + "*" * 43])
def test_what_is_no_token(site, token):
    """Wrong ones fail like passwords, and count."""
    site.token()
    house = House(site, 0)
    assert isinstance(house.enter(Bearer(token)), LoginFailed)
    assert house.limits.failures == [(CONTEXT.peer, "(token)")]


def test_the_form_of_tokens():
    """A prefix that scanners can know, and 32 random bytes."""
    token = make_token(os.urandom)
    assert looks_like_token(token.encode())
    assert len(token) == tokens.TOKEN_LENGTH
    assert not looks_like_token(token[:-1].encode())
    assert not looks_like_token(b"y" + token.encode()[1:])
    assert make_token(os.urandom) != token


def test_a_token_of_another_file(tmp_path, site):
    """Hashes are keyed: a table that is copied into another file lets nobody in."""
    token = site.token()
    other = tmp_path / "other.toml"
    other.write_text(site.path.read_text().replace(FixedRandom(b"key")(32).hex(), "ab" * 32))
    assert isinstance(ask(UsersFile(str(other), seconds=Clock().seconds), Bearer(token)), UnauthorizedLogin)


def test_when_a_token_ends(site):
    """It is good up to its last moment, and refused from then on; its account's own end comes first."""
    token = site.token(expires="2001-09-09T01:46:40+00:00")
    assert ask(site.checker(lambda: NOW - 0.1), Bearer(token)).expires == NOW
    assert isinstance(ask(site.checker(lambda: NOW), Bearer(token)), LoginRefused)
    assert Token("t", "", expires=7.0).account(Account("a", expires=5.0)).expires == 5.0
    assert Token("t", "", expires=5.0).account(Account("a", expires=7.0)).expires == 5.0


def test_the_log_says_why(site):
    """A token that is refused is told of by the account's name, without the token."""
    token = site.token(expires="2001-09-09T01:46:40+00:00")
    logged = []

    class Log:
        def info(self, _text, **fields):
            logged.append(fields)

    ask(site.checker(lambda: NOW, log=Log()), Bearer(token))
    assert logged == [{"username": "alice", "reason": "token t expired"}]


def test_what_a_token_may(site):
    """Never more than its account, and nothing outside of its directory, whatever patterns say."""
    account = Account(
        "alice",
        rights=frozenset({Right.READ, Right.LIST, Right.WRITE}),
        path_rights=(("/**", frozenset({Right.READ, Right.DELETE})), ("/in/**", ALL_RIGHTS)),
    )
    token = Token("t", "ab" * 32, path="/in", rights=frozenset({Right.WRITE, Right.DELETE}), size=10)
    got = token.account(account)
    rights = PathRights(got.rights, got.path_rights, got.within)
    assert rights.at(VirtualPath.parse(b"/in/a")) == {Right.WRITE, Right.DELETE}
    assert rights.at(VirtualPath.parse(b"/in")) == {Right.WRITE, Right.DELETE}
    for place in (b"/", b"/inn", b"/other/a"):
        assert rights.at(VirtualPath.parse(place)) == frozenset()
    assert rights.varied
    (scope,) = got.quota_scopes
    assert (scope.limit_bytes, scope.below) == (10, "/in")
    assert Token("t", "").account(account) == account


def test_a_token_for_one_login(site):
    """Once, for all processes that share the file; the next token leaves no line of those that are gone."""
    token = site.token(once=True)
    one, other = site.checker(), site.checker()
    assert ask(one, Bearer(token)) == Account("alice")
    for checker in (one, other, site.checker()):
        assert isinstance(ask(checker, Bearer(token)), LoginFailed)
    spent = site.path.with_name("users.toml.spent")
    assert spent.stat().st_mode & 0o777 == 0o600
    site.path.write_text(remove_token(site.path.read_text(), str(site.path), "alice", "t"))
    again = site.token(name="u", once=True)
    assert ask(site.checker(), Bearer(again)) == Account("alice")
    assert len(spent.read_text().splitlines()) == 1


def test_a_token_that_cannot_be_used_up(site):
    """Where that cannot be kept, it lets nobody in, and the log says why without it."""
    token = site.token(once=True)
    site.path.with_name("users.toml.spent").symlink_to("elsewhere")
    logged = []

    class Log:
        def error(self, text, **fields):
            logged.append((text, fields))

    assert isinstance(ask(site.checker(log=Log()), Bearer(token)), LoginFailed)
    assert len(logged) == 1
    assert token not in repr(logged)


def test_the_file_of_those_is_locked(tmp_path):
    """While somebody else has it, a login is to be tried again."""
    import fcntl

    path = tmp_path / "spent"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            SpentTokens(str(path)).spend("ab", lambda _digest: True)


def test_too_many_tokens(site, monkeypatch):
    """At the limit one more is refused."""
    monkeypatch.setattr("twisted_xfer.accounts.users_secrets.MAX_TOKENS", 2)
    site.token(name="a")
    site.token(name="b")
    with pytest.raises(ConfigError):
        site.token(name="c")


def test_too_many_tokens_in_a_file(monkeypatch):
    """As many as may be added may be there, one more may not; what they are is not shown."""
    monkeypatch.setattr("twisted_xfer.accounts.secrets_text.MAX_TOKENS", 2)
    two = "".join(f'[users.a.tokens.{name}]\nhash = "{"0" * 64}"\n' for name in "xy")
    assert len(parse_users(two)["a"].tokens) == 2
    with pytest.raises(ConfigError) as caught:
        parse_users(two + two[: len(two) // 2].replace(".x]", ".z]"))
    assert caught.value.key == "users.a.tokens"
