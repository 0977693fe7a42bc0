"""SCRAM verifiers and tokens: read from users files, asked in the chain, and nowhere to be seen."""

import base64
import os

import pytest
from accounts_kit import CONTEXT, Bus, Tree
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.accounts import tokens
from twisted_xfer.accounts.chain import ChainChecker, SwiftPortal
from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.accounts.scram import Strangers
from twisted_xfer.accounts.secrets_text import check_token_name
from twisted_xfer.accounts.tokens import SpentTokens, Token, looks_like_token, make_token
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_secrets import add_token, make_verifier, remove_token, with_key
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    ConfigError,
    ConnectionLost,
    LoginFailed,
    LoginRefused,
    NotFound,
    Unsupported,
)
from twisted_xfer.interfaces import ALL_RIGHTS, Account, IScramProof, IToken, Right
from twisted_xfer.paths import VirtualPath
from twisted_xfer.sansio.scram import Verifier
from twisted_xfer.testing.host import CountingLimits, FixedRandom

HASH = hash_password("secret", salt=bytes(16))
ALICE = Verifier.of("secret", b"salt of alice...", 4096)
CAROL = Verifier.of("other", b"salt of carol...", 4097)
NOW = 1_000_000_000.0


@implementer(IScramProof)
class Peer:
    """A peer that answers its challenge when the test says so."""

    def __init__(self, username, answer=None):
        self.username = username.encode()
        self.asked = []
        self._answer = answer
        self.waiting = Deferred()

    def prove(self, verifier):
        self.asked.append(verifier)
        return self.waiting if self._answer is None else self._answer()


def good():
    return succeed(None)


def wrong():
    return fail(LoginFailed())


@implementer(IToken)
class Bearer:
    def __init__(self, token, account=""):
        self.token, self.account = token.encode(), account.encode()
        self.username = self.account or b"(token)"

    def __repr__(self):
        return "<Bearer>"


class Site:
    """A users file that tests write."""

    def __init__(self, path, name="users.toml"):
        self.path = path / name
        self.write(alice=f'password = "{HASH}"\nscram = "{ALICE.text()}"')

    def write(self, extra="", **users):
        text = "".join(f"[users.{name}]\n{lines}\n" for name, lines in users.items())
        self.path.write_text(with_key(text + extra, str(self.path), FixedRandom(b"key")))
        self.path.chmod(0o600)
        return self

    def checker(self, now=lambda: NOW, **more):
        return UsersFile(str(self.path), seconds=Clock().seconds, wall_time=now, **more)

    def token(self, user="alice", name="t", **values):
        text, token = add_token(
            self.path.read_text(), str(self.path), user, name, values, FixedRandom(name.encode())
        )
        self.path.write_text(text)
        return token


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def outcome(answer):
    """The value, or what it failed with."""
    if not isinstance(answer, Deferred):
        return answer
    got = []
    answer.addBoth(got.append)
    return (got[0].value if isinstance(got[0], Failure) else got[0]) if got else None


def ask(checker, credentials):
    try:
        return outcome(checker.requestAvatarId(credentials))
    except Exception as error:
        return error


# --- SCRAM ---------------------------------------------------------------------------------------


def test_a_good_proof(site):
    """The peer is asked with its own verifier, and gets its account."""
    peer = Peer("alice", good)
    assert ask(site.checker(), peer) == Account("alice")
    assert peer.asked == [ALICE]


def test_a_verifier_that_changes_meanwhile(site):
    """A proof by a password that was changed while it was given is worth nothing."""
    checker, peer = site.checker(), Peer("alice")
    answer = checker.requestAvatarId(peer)
    site.write(alice=f'scram = "{CAROL.text()}"')
    checker.refresh()
    peer.waiting.callback(None)
    assert isinstance(outcome(answer), LoginFailed)


def test_strangers_are_asked_too(site):
    """Who does not exist, and who has no verifier, is asked with a salt that stays, and refused."""
    site.write(alice=f'scram = "{ALICE.text()}"', bob=f'password = "{HASH}"')
    for name in ("nobody", "bob"):
        first, second = Peer(name, good), Peer(name, good)
        for chain, peer in (ChainChecker([site.checker()]), first), (ChainChecker([site.checker()]), second):
            assert isinstance(ask(chain, peer), LoginFailed)
        assert first.asked == second.asked
        assert first.asked[0].iterations == ALICE.iterations


def test_strangers_outlive_edits(site):
    """A new user in the file changes no stranger's salt, as it changes no other."""
    checker = site.checker()
    before = checker.strangers.verifier(b"nobody")
    site.write(alice=f'scram = "{ALICE.text()}"', carol=f'password = "{HASH}"')
    assert checker.refresh()
    assert checker.strangers.verifier(b"nobody") == before


def test_strangers_share_the_counts():
    """Where verifiers have several counts of rounds, strangers have them too, each one its own."""
    strangers = Strangers(b"key", [ALICE, CAROL])
    counts = {strangers.verifier(b"%d" % n).iterations for n in range(40)}
    assert counts == {4096, 4097}
    assert strangers.verifier(b"1") == strangers.verifier(b"1")


def test_two_files(tmp_path, site):
    """A user of the second file is asked once, with the right salt; a wrong proof asks nobody else."""
    second = Site(tmp_path, "more.toml").write(carol=f'scram = "{CAROL.text()}"')
    chain = ChainChecker([site.checker(), second.checker()])
    peer = Peer("carol", good)
    assert ask(chain, peer) == Account("carol")
    assert peer.asked == [CAROL]
    peer = Peer("alice", wrong)
    assert isinstance(ask(chain, peer), LoginFailed)
    assert peer.asked == [ALICE]


@implementer(IUsernamePassword)
class _Other:
    credentialInterfaces = (IUsernamePassword,)


def test_when_it_is_offered(tmp_path, site):
    """Only where it does for everybody who has a password, whoever checks it."""
    alice = f'password = "{HASH}"\nscram = "{ALICE.text()}"'
    assert ChainChecker([site.checker()]).takes(IScramProof)
    assert not ChainChecker([site.checker(), _Other()]).takes(IScramProof)
    assert not ChainChecker([_Other()]).takes(IScramProof)
    site.write(alice=alice, bob=f'password = "{HASH}"')
    assert not ChainChecker([site.checker()]).takes(IScramProof)
    site.write(alice=alice, bob='home = "/b"')
    assert ChainChecker([site.checker()]).takes(IScramProof)
    site.write(bob='home = "/b"')
    assert not ChainChecker([site.checker()]).takes(IScramProof)


class House:
    """A login over a users file, with its clock."""

    def __init__(self, site, minimum=0.4):
        self.clock, self.bus, self.limits = Clock(), Bus(), CountingLimits()
        realm = Realm(Tree(), root="/", events=self.bus, limits=self.limits, clock=self.clock)
        self.login = Login(
            SwiftPortal(realm, [ChainChecker([site.checker()])]),
            self.limits,
            self.bus,
            self.clock,
            minimum_seconds=minimum,
        )

    def enter(self, credentials):
        return outcome(self.login.login(credentials, CONTEXT))


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_the_same_for_wrong_and_unknown(site, name):
    """A challenge at once; after the answer the same error, the same time and one count."""
    house, peer = House(site), Peer(name)
    answer = house.login.login(peer, CONTEXT)
    assert len(peer.asked) == 1
    if name == "alice":
        peer.waiting.errback(LoginFailed())
    else:
        peer.waiting.callback(None)
    got = []
    answer.addBoth(got.append)
    house.clock.advance(0.39)
    assert (got, house.limits.failures) == ([], [(CONTEXT.peer, name)])
    house.clock.advance(0.02)
    assert type(got[0].value) is LoginFailed
    assert house.bus.ids() == ["login.failed"]


def test_a_peer_that_goes(site):
    """Whoever hangs up after the challenge has guessed nothing."""
    house, peer = House(site, 0), Peer("alice")
    answer = house.login.login(peer, CONTEXT)
    peer.waiting.errback(ConnectionLost())
    assert isinstance(outcome(answer), ConnectionLost)
    assert house.limits.failures == []


def test_disabled_accounts(site):
    """That one is refused is told only to who has proved to be it."""
    site.write(alice=f'scram = "{ALICE.text()}"\nenabled = false')
    assert isinstance(House(site, 0).enter(Peer("alice", good)), LoginRefused)
    assert isinstance(House(site, 0).enter(Peer("alice", wrong)), LoginFailed)


def test_passwords_that_are_no_text():
    """There can be no verifier of bytes that are not UTF-8."""
    assert make_verifier(b"\xff", os.urandom) is None
    assert Verifier.parse(make_verifier("é".encode(), FixedRandom())).iterations >= 600_000


# --- tokens --------------------------------------------------------------------------------------


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


def test_accounts_that_want_more(site):
    """A token is not enough where the account says what is."""
    site.write(alice=f'password = "{HASH}"\nrequire = "password"')
    assert isinstance(ask(site.checker(), Bearer(site.token())), LoginRefused)


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


def test_changes_that_cannot_be(site):
    """No such user or token, one that is there, no name, a wrong value, and lines."""
    text = site.path.read_text()
    for error, user, name, values in (
        (NotFound, "eve", "t", {}),
        (ConfigError, "alice", "a b", {}),
        (ConfigError, "alice", "t", {"rights": "fly"}),
        (ConfigError, "alice", "t", {"path": "in"}),
        (ConfigError, "alice", "t", {"bytes": "much"}),
        (ConfigError, "alice", "t", {"colour": "red"}),
    ):
        with pytest.raises(error):
            add_token(text, "u.toml", user, name, values, os.urandom)
    site.token()
    with pytest.raises(AlreadyExists):
        site.token()
    with pytest.raises(NotFound):
        remove_token(text, "u.toml", "alice", "t")
    with pytest.raises(Unsupported):
        add_token(f"alice:{HASH}\n", "users", "alice", "t", {}, os.urandom)
    assert check_token_name("a" * 64)
    with pytest.raises(ConfigError):
        check_token_name("a" * 65)


SECRET = base64.b64encode(b"very secret and 32 bytes of it..").decode()


@pytest.mark.parametrize(
    "text",
    [
        f'[users.a]\nscram = "SCRAM-SHA-256$1:{SECRET}${SECRET}:{SECRET}"',
        f'[users.a]\nscram = ["{SECRET}"]',
        f'[secret]\nkey = "{SECRET}"',
        f'[secret]\nkey = "{"ab" * 32}"\nother = "{SECRET}"',
        f'[users.a.tokens.t]\nhash = "{SECRET}"',
        f'[users.a]\ntokens = "{SECRET}"',
        '[users.a.tokens.t]\npath = "/"',
    ],
)
def test_errors_repeat_no_secret(text):
    """Whatever is wrong with a secret in the file, it is not shown."""
    with pytest.raises(ConfigError) as caught:
        parse_users(text, "u.toml")
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.value} {caught.value.fields}"


def test_no_secret_is_shown(site):
    """In no representation of what is kept in memory."""
    token = site.token()
    users = parse_users(site.path.read_text(), "u.toml")
    checker = site.checker()
    shown = repr([users, users["alice"], users["alice"].scram, users["alice"].tokens, checker])
    keys = (part.hex() for part in ALICE[1:])
    for secret in (token, users["alice"].tokens[0].digest, HASH, ALICE.text(), *keys):
        assert secret not in shown


def test_passwords_go_on(site):
    """Beside all this the password itself is checked as before."""
    assert ask(site.checker(), UsernamePassword(b"alice", b"secret")) == Account("alice")
