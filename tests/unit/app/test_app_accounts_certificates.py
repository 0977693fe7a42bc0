"""Certificates of accounts by configuration: checkers, precedence over a users file, and warnings."""

import datetime as dt
import os

import pytest
from client_pki import DAY, Authority, bundle, now
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.task import Clock

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.app.accounts import make_checkers
from twisted_xfer.app.load import load, parse
from twisted_xfer.app.tls import certificate_warnings, make_demo_certificate, make_tls, tls_files
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import CertificateFacts, ClientCertificate

ALICE = CertificateFacts("Alice", ("alice@example.com",), "ab" * 32)


def ask(config, name=b"alice"):
    """What the checkers of ``config`` say to Alice's certificate."""
    return ChainChecker(make_checkers(config)).requestAvatarId(ClientCertificate(name, ALICE))


def test_an_account_of_the_configuration():
    """Its rules do without any other checker."""
    table = {"certificates": ["cn:Alice"], "require": "certificate"}
    config = parse({"accounts": {"alice": table, "bob": {}}})
    assert ask(config) == b"alice"
    with pytest.raises(UnauthorizedLogin):
        ask(config, b"bob")


@pytest.mark.parametrize(
    "settings", [{"certificates": ["Alice"]}, {"certificates": ["cn:*"]}, {"require": "key"}]
)
def test_wrong_settings(settings):
    """By their keys."""
    with pytest.raises(ConfigError) as caught:
        make_checkers(parse({"accounts": {"alice": settings}}))
    assert caught.value.key == f"accounts.alice.{next(iter(settings))}"


def test_the_configuration_wins(tmp_path):
    """A table of it replaces what a users file says of the account, also after the file has changed."""
    users = tmp_path / "users.toml"
    users.write_text('[users.alice]\ncertificates = ["cn:Alice"]\nrights = "all"\n[users.bob]\n')
    users.chmod(0o600)
    base = {"auth": [f"users:{users}"]}
    assert ask(parse(base)).rights != frozenset()
    table = {"certificates": ["san:alice@example.com"], "require": "certificate+password", "rights": "read"}
    config = parse({**base, "accounts": {"alice": table}})
    (checker, *_) = make_checkers(config)
    for text in (None, '[users.alice]\ncertificates = ["cn:Other"]\n# changed\n'):
        if text:
            users.write_text(text)
        found = checker.requestAvatarId(ClientCertificate(b"alice", ALICE))
        assert found.require == "certificate+password"
        assert checker.account("alice") == found
    with pytest.raises(UnauthorizedLogin):
        ask(parse({**base, "accounts": {"alice": {"rights": "read"}}}))


def test_a_file_of_certificates(tmp_path):
    """``--auth certificate:FILE``, and what is wrong with it by line."""
    path = tmp_path / "certificates.toml"
    path.write_text('"cn:Alice" = "alice"')
    assert ask(parse({"auth": [f"certificate:{path}"]})) == b"alice"
    path.write_text('"Alice" = "alice"')
    with pytest.raises(ConfigError) as caught:
        make_checkers(parse({"auth": [f"certificate:{path}"]}))
    assert "cn:NAME" in caught.value.remedy


@pytest.fixture
def place(tmp_path):
    """A server's certificate, an authority's file, and a list."""
    make_demo_certificate(str(tmp_path))
    return tmp_path


def configured(place, ca, lists=None, **tls):
    """A configuration by a file, its paths relative."""
    bundle(place / "clients.pem", [ca.pem])
    lines = ['certificate = "certificate.pem"', 'key = "key.pem"', 'client_ca = "clients.pem"']
    if lists is not None:
        bundle(place / "clients.crl", lists)
        lines.append('client_crl = "clients.crl"')
    lines += [f'{key} = "{value}"' for key, value in tls.items()]
    (place / "xfer.toml").write_text("[tls]\n" + "\n".join(lines))
    return load(str(place / "xfer.toml"))


def test_files_are_found_beside_the_configuration(place):
    """And used with the policy that was chosen."""
    ca = Authority()
    config = configured(place, ca, [ca.revoke()], client_certificate="require")
    files = tls_files(config)
    assert (files.client_ca, files.client_crl) == (str(place / "clients.pem"), str(place / "clients.crl"))
    assert files.policy == "require"
    assert files.asks
    assert not tls_files(configured(place, ca, client_certificate="off")).asks
    assert make_tls(config, Clock(), None) is not None


def test_what_is_wrong_stops_the_start(place):
    """With the key and what to do."""
    config = configured(place, Authority(), [Authority("other").revoke()])
    with pytest.raises(ConfigError) as caught:
        make_tls(config, Clock(), None)
    assert caught.value.key == "tls.client_crl"
    assert "no list of 'test authority'" in caught.value.remedy


def test_warnings(place):
    """An authority and a list that end, and accounts whose certificates nobody is asked for."""
    ca = Authority(days=100)
    config = configured(place, ca, [ca.revoke(end=now() - dt.timedelta(hours=1))])
    assert any("revocation list" in warning for warning in certificate_warnings(config, now()))
    told = certificate_warnings(configured(place, ca), now() + 95 * DAY)
    assert any("the authority 'test authority'" in warning for warning in told)
    for table in ({"auth": ["certificate:/x"]}, {"accounts": {"a": {"require": "certificate"}}}):
        assert any("--tls-client-ca" in warning for warning in certificate_warnings(parse(table), now()))
    assert certificate_warnings(parse({"accounts": {"a": {"require": "password"}}}), now()) == []
    config = configured(place, ca)
    os.chmod(config.tls.key, 0o644)
    assert any("mode 0644" in warning for warning in certificate_warnings(config, now()))


def test_a_key_out_of_reach(place, monkeypatch):
    """As root reads it at the start and another user serves, which is when nobody would learn of a renewal that fails."""
    config = configured(place, Authority())
    assert certificate_warnings(config, now()) == []

    def access(path, mode, *, effective_ids):
        return path != config.tls.key

    monkeypatch.setattr("os.access", access)
    (told,) = certificate_warnings(config, now())
    assert told.startswith(f"{config.tls.key} cannot be read any more")
