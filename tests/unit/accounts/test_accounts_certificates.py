"""Whose a certificate is: rules, files of them, and settings of an account."""

import os

import pytest
from certificate_facts import ALICE, BOB, DIGEST
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import InvalidAuthArgumentString

from twisted_xfer.accounts import certificate_file
from twisted_xfer.accounts.certificate_file import CertificateFile, parse_certificates
from twisted_xfer.accounts.certificates import MAX_RULE, MAX_RULES, CertificateIndex, parse_rule, read_rules
from twisted_xfer.accounts.strcred_certificates import CertificateCheckerFactory
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import CertificateFacts, ClientCertificate, IClientCertificate


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
