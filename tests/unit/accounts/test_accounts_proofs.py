"""SCRAM verifiers: read from users files, asked in logins, and changed."""

import base64
import os

import pytest
from accounts_kit import CONTEXT
from proofs_site import ALICE, HASH, Bearer, House, Site, ask, outcome
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.scram import Strangers
from twisted_xfer.accounts.secrets_text import check_token_name
from twisted_xfer.accounts.users_secrets import add_token, make_verifier, remove_token
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import (
    AlreadyExists,
    ConfigError,
    ConnectionLost,
    LoginFailed,
    LoginRefused,
    NotFound,
    Unsupported,
)
from twisted_xfer.interfaces import Account, IScramProof
from twisted_xfer.sansio.scram import Verifier
from twisted_xfer.testing.host import FixedRandom

CAROL = Verifier.of("other", b"salt of carol...", 4097)


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


def test_accounts_that_want_more(site):
    """A token is not enough where the account says what is."""
    site.write(alice=f'password = "{HASH}"\nrequire = "password"')
    assert isinstance(ask(site.checker(), Bearer(site.token())), LoginRefused)


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
