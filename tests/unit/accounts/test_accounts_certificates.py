"""Whose a certificate is: rules, files, the chain, and logins by it alone and beside a password."""

import os

import pytest
from accounts_kit import result
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_xfer.accounts import certificate_file
from twisted_xfer.accounts.certificate_file import CertificateFile, parse_certificates
from twisted_xfer.accounts.certificates import MAX_RULE, MAX_RULES, CertificateIndex, parse_rule, read_rules
from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.login import MINIMUM_SECONDS, Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.accounts.strcred_certificates import CertificateCheckerFactory
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import ConfigError, LoginFailed, LoginRefused
from twisted_xfer.interfaces import (
    Account,
    CertificateFacts,
    ClientCertificate,
    IAvatar,
    IClientCertificate,
    LoginContext,
)
from twisted_xfer.runtime.limits import FREE_PER_USER, Limits
from twisted_xfer.storage.memory import MemoryStorage

DIGEST = "ab" * 32
ALICE = CertificateFacts("Alice", ("alice@Example.com", "a.example"), DIGEST)
BOB = CertificateFacts("Bob", (), "cd" * 32)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("cn:Alice", "cn:Alice"),
        (" cn: Alice Smith ", "cn:Alice Smith"),
        ("cn:a:b", "cn:a:b"),
        ("san:Alice@Example.com", "san:alice@example.com"),
        ("sha256:" + "AB:" * 31 + "AB", f"sha256:{DIGEST}"),
        ("cn:" + "x" * MAX_RULE, "cn:" + "x" * MAX_RULE),
    ],
)
def test_rules(text, rule):
    """One form for each, however it is written."""
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    ["", "Alice", "cn:", "cn: ", "dn:Alice", "CN:Alice", "sha256:ab", "sha256:" + "x" * 64, "cn:a\0b",
     "cn:" + "x" * (MAX_RULE + 1)],
)  # fmt: skip
def test_wrong_rules(text):
    """Refused, so that nothing is written that can never match."""
    with pytest.raises(ValueError):
        parse_rule(text)


def test_as_many_rules_as_an_account_has():
    """At the bound, and one past it."""
    assert len(read_rules(["cn:a"] * MAX_RULES, "k", "")) == MAX_RULES
    for wrong in (["cn:a"] * (MAX_RULES + 1), 1, [1], "cn:*", ["a"]):
        with pytest.raises(ConfigError):
            read_rules(wrong, "k", "")


@pytest.mark.parametrize("rule", ["cn:Alice", "san:alice@example.com", "san:a.example", f"sha256:{DIGEST}"])
def test_each_rule_finds_its_account(rule):
    """By name, and without one as the only one that it is of."""
    index = CertificateIndex([(rule, "alice"), ("cn:Bob", "bob")])
    assert index.find(ClientCertificate(b"alice", ALICE)) == "alice"
    assert index.find(ClientCertificate(b"", ALICE)) == "alice"
    for name, facts in ((b"bob", ALICE), (b"alice", BOB), (b"nobody", ALICE)):
        with pytest.raises(UnauthorizedLogin):
            index.find(ClientCertificate(name, facts))


def test_a_certificate_of_several():
    """Each may be asked for; asked for none, nobody is chosen."""
    index = CertificateIndex([("cn:Alice", "alice"), ("san:a.example", "backup")])
    for name in (b"alice", b"backup"):
        assert index.find(ClientCertificate(name, ALICE)) == name.decode()
    with pytest.raises(UnauthorizedLogin):
        index.find(ClientCertificate(b"", ALICE))


def test_no_rule_is_met_by_what_is_not_there():
    """A certificate without names is nobody's but by its fingerprint."""
    index = CertificateIndex([("cn:Alice", "alice"), ("cn:*", "*"), ("san:*", "*")])
    for name in (b"", b"alice", b"*"):
        with pytest.raises(UnauthorizedLogin):
            index.find(ClientCertificate(name, CertificateFacts("", (), DIGEST)))
    assert not CertificateIndex()


def test_a_file_of_certificates():
    """Names, lists of names, and the name itself."""
    text = f'"cn:Alice" = "alice"\n"sha256:{DIGEST}" = ["backup", "alice"]\n"san:*" = "*"\n'
    index = parse_certificates(text)
    assert index.usernames(ALICE) == {"alice", "backup", "alice@example.com", "a.example"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("x", "syntax"),
        ('"Alice" = "alice"', "Alice"),
        ('"cn:Alice" = 1', "cn:Alice"),
        ('"cn:Alice" = ["a", 1]', "cn:Alice"),
        ('"cn:Alice" = "../a"', "cn:Alice"),
        ('"cn:Alice" = "*"', "cn:Alice"),
        ('"cn:*" = "alice"', "cn:*"),
        ('"sha256:*" = "*"', "sha256:*"),
        ('[users]\n"cn:Alice" = "alice"', "users"),
    ],
)
def test_wrong_files_of_certificates(text, key):
    """By the key, with a remedy."""
    with pytest.raises(ConfigError) as caught:
        parse_certificates(text, "f")
    assert caught.value.key == key
    assert caught.value.remedy
    assert caught.value.file == "f"


def test_a_file_holds_so_many_certificates(monkeypatch):
    """At the limit and one past it, lists counted by what is in them."""
    monkeypatch.setattr(certificate_file, "MAX_PAIRS", 3)
    text = '"cn:Alice" = ["alice", "bob"]\n"cn:Carol" = "carol"\n'
    assert parse_certificates(text)
    with pytest.raises(ConfigError, match="at most 3"):
        parse_certificates(text + '"cn:Dave" = "dave"\n')


def test_a_users_file_by_mistake():
    """Refused without a word of what it holds."""
    with pytest.raises(ConfigError) as caught:
        parse_certificates('[users.alice]\npassword = "$argon2id$canary"', "f")
    assert "canary" not in repr(caught.value) + str(caught.value.value) + caught.value.remedy


def test_the_file_is_read_again(tmp_path):
    """When it changes; a wrong one keeps what was, and is told of once."""
    path = tmp_path / "certificates.toml"
    path.write_text('"cn:Alice" = "alice"')
    checker = CertificateFile(str(path))
    alice, bob = ClientCertificate(b"alice", ALICE), ClientCertificate(b"bob", BOB)
    assert checker.requestAvatarId(alice) == b"alice"
    path.write_text('"cn:Bob" = "bob"  # and nobody else')
    assert checker.requestAvatarId(bob) == b"bob"
    with pytest.raises(UnauthorizedLogin):
        checker.requestAvatarId(alice)
    path.write_text("broken")
    assert checker.requestAvatarId(bob) == b"bob"
    assert not checker.refresh()
    path.unlink()
    assert checker.requestAvatarId(bob) == b"bob"


def test_a_file_that_others_write(tmp_path):
    """Whoever writes it logs in: refused at the start."""
    path = tmp_path / "certificates.toml"
    path.write_text('"cn:Alice" = "alice"')
    os.chmod(path, 0o666)
    with pytest.raises(ConfigError) as caught:
        CertificateFile(str(path))
    assert caught.value.key == "mode"


def test_the_factory(tmp_path):
    """``certificate:FILE``, and what is wrong in one line."""
    factory = CertificateCheckerFactory()
    assert tuple(factory.credentialInterfaces) == (IClientCertificate,)
    path = tmp_path / "certificates.toml"
    path.write_text('"cn:Alice" = "alice"')
    assert factory.generateChecker(f" {path} ").path == str(path)
    path.write_text('"Alice" = "alice"')
    for argument, hint in (
        (str(path), "cn:NAME"),
        (" ", "give a path"),
        (str(tmp_path / "none"), "readable"),
    ):
        with pytest.raises(InvalidAuthArgumentString, match=hint):
            factory.generateChecker(argument)


def test_settings_of_an_account():
    """``certificates`` and ``require`` in a users file, the second also of a group."""
    users = parse_users(
        '[groups.staff]\nrequire = "certificate+password"\n'
        '[users.alice]\ngroups = ["staff"]\ncertificates = ["cn:Alice"]\n'
        '[users.bob]\ncertificates = "sha256:' + DIGEST + '"\nrequire = "certificate"\n'
    )  # fmt: skip
    assert users["alice"].account.require == "certificate+password"
    assert users["alice"].account.certificates == ("cn:Alice",)
    assert users["bob"].account.certificates == (f"sha256:{DIGEST}",)
    for wrong in ('require = "key"', "require = 1", 'certificates = ["x"]', "certificates = 1"):
        with pytest.raises(ConfigError) as caught:
            parse_users(f"[users.alice]\n{wrong}\n")
        assert caught.value.key == "users.alice." + wrong.partition(" ")[0]
    with pytest.raises(ConfigError):
        parse_users('[groups.staff]\ncertificates = ["cn:Alice"]\n')


# --- logins --------------------------------------------------------------------------------


class Knows:
    """A checker of passwords and certificates that answers with an account."""

    def __init__(self, account, *kinds, answer=None):
        self.account = account
        self.credentialInterfaces = kinds
        self.answer = answer
        self.asked = []

    def requestAvatarId(self, credentials):
        self.asked.append(credentials)
        if self.answer is not None:
            return self.answer
        if IClientCertificate.providedBy(credentials):
            if credentials.certificate != ALICE or credentials.username not in {b"", b"alice"}:
                raise UnauthorizedLogin
        elif (credentials.username, credentials.password) != (b"alice", b"secret"):
            raise UnauthorizedLogin
        return self.account


class Bus:
    active = True
    asks = False

    def __init__(self):
        self.events = []

    def emit(self, event_id, **fields):
        self.events.append((event_id, fields))

    def ask(self, event_id, **fields):
        return None


class House:
    """A login with accounts of one kind."""

    def __init__(self, *, require="", answer=None, enabled=True):
        from twisted.cred.credentials import IUsernamePassword

        self.clock = Clock()
        self.bus = Bus()
        self.limits = Limits(self.clock)
        account = Account("alice", require=require, enabled=enabled)
        self.checker = Knows(account, IUsernamePassword, IClientCertificate, answer=answer)
        storage = MemoryStorage(wall_time=lambda: 0.0)
        realm = Realm(storage, root="/", events=self.bus, limits=self.limits, clock=self.clock)
        portal = Portal(realm, [ChainChecker([self.checker])])
        self.login = Login(portal, self.limits, self.bus, self.clock)

    def take(self, answer):
        """The avatar, None or the error that an answer came to."""
        if not isinstance(answer, Deferred):
            return answer
        box = []
        answer.addBoth(lambda value: box.append(getattr(value, "value", value)))
        for _ in range(100):
            if not box:
                self.clock.advance(MINIMUM_SECONDS)
        return box[0]

    def password(self, word=b"secret", shown=None):
        return self.take(self.login.login(UsernamePassword(b"alice", word), context(shown)))

    def external(self, name=b"alice", shown=ALICE):
        return self.take(self.login.login(ClientCertificate(name, shown), context(shown)))

    def ids(self):
        return [event_id for event_id, _ in self.bus.events]


def context(shown):
    return LoginContext("ftp", "s1", "192.0.2.7", secure=True, certificate=shown)


@pytest.mark.parametrize(
    ("require", "by_certificate", "by_password", "by_both"),
    [
        ("", True, True, True),
        ("password", False, True, True),
        ("certificate", True, False, True),
        ("certificate+password", False, False, True),
    ],
)
def test_what_it_takes(require, by_certificate, by_password, by_both):
    """Each rule of ``require`` with each way to come."""
    for good, call in (
        (by_certificate, lambda house: house.take(house.login.by_certificate("alice", context(ALICE)))),
        (by_certificate, lambda house: house.external()),
        (by_certificate, lambda house: house.external(b"")),
        (by_password, lambda house: house.password()),
        (by_password, lambda house: house.password(shown=BOB)),
        (by_both, lambda house: house.password(shown=ALICE)),
        (False, lambda house: house.password(b"wrong", shown=ALICE)),
    ):
        answer = call(House(require=require))
        assert IAvatar.providedBy(answer) is good, answer
        if not good:
            # Nothing in it tells that the other factor was right.
            assert answer is None or repr(answer) == repr(LoginFailed())


def test_a_certificate_counts_for_its_own_account_only():
    """Where a secret leads from the name that was given to another account, one's own certificate is none of it."""
    house = House(require="certificate+password")
    bob = Account("bob", require="certificate+password")
    seen = []

    def answer(credentials):
        seen.append(credentials)
        return house.checker.account if IClientCertificate.providedBy(credentials) else bob

    house.checker.requestAvatarId = answer
    assert repr(house.password(shown=ALICE)) == repr(LoginFailed())
    assert len(seen) == 2


@pytest.mark.parametrize(("name", "shown"), [(b"alice", BOB), (b"bob", ALICE), (b"nobody", BOB), (b"", BOB)])
def test_failures_look_alike_and_count(name, shown):
    """A certificate that is not this account's is a guess like a wrong password."""
    house = House()
    errors = [house.external(name, shown) for _ in range(FREE_PER_USER + 1)]
    assert {(type(error), str(error)) for error in errors} == {(LoginFailed, str(LoginFailed()))}
    assert set(house.ids()) == {"login.failed"}
    known = name.decode() or f"sha256:{shown.fingerprint}"
    assert house.bus.events[0][1]["username"] == known
    assert house.limits.delay("192.0.2.7", known) > 0


def test_asking_before_a_password_is_no_guess():
    """However often: no event, no delay, no wait."""
    house = House(require="certificate+password")
    for _ in range(FREE_PER_USER + 1):
        for shown in (ALICE, BOB):
            asked = house.login.by_certificate("alice", context(shown))
            assert result(lambda asked=asked: asked) is None
    assert house.ids() == []
    assert house.limits.delay("192.0.2.7", "alice") == 0


def test_without_a_certificate_nobody_is_asked():
    """None at once, without a Deferred."""
    house = House()
    assert house.login.by_certificate("alice", context(None)) is None
    assert house.checker.asked == []


def test_nothing_takes_certificates():
    """A portal that knows passwords only."""
    house = House()
    from twisted.cred.credentials import IUsernamePassword

    house.checker.credentialInterfaces = (IUsernamePassword,)
    portal = Portal(house.login._portal.realm, [ChainChecker([house.checker])])
    login = Login(portal, house.limits, house.bus, house.clock)
    assert login.by_certificate("alice", context(ALICE)) is None
    answer = house.take(login.login(UsernamePassword(b"alice", b"secret"), context(ALICE)))
    assert IAvatar.providedBy(answer)


def test_the_right_certificate_of_a_closed_account():
    """Refused, and told as such: who holds the key may know."""
    house = House(enabled=False)
    assert isinstance(house.take(house.login.by_certificate("alice", context(ALICE))), LoginRefused)
    assert house.bus.events[-1][1]["code"] == "login_refused"


@pytest.mark.parametrize("answer", [b"root", "root", Account("root"), (), b"", 7])
def test_an_answer_that_nobody_asked_for(answer):
    """A checker that looks at the certificate alone cannot make alice somebody else."""
    house = House(answer=answer)
    assert house.take(house.login.by_certificate("alice", context(ALICE))) is None
    assert type(house.external()) is LoginFailed


def test_the_event_tells_which_certificate():
    """By its fingerprint, also beside a password."""
    house = House()
    house.external()
    house.password(shown=BOB)
    house.password()
    told = [fields["certificate"] for event_id, fields in house.bus.events if event_id == "login.ok"]
    assert told == [ALICE.fingerprint, BOB.fingerprint, ""]


def test_the_credential():
    """What it promises; it names no secret, for it holds none."""
    credentials = ClientCertificate(b"alice", ALICE)
    verifyObject(IClientCertificate, credentials)
    assert "Alice" in repr(credentials)
