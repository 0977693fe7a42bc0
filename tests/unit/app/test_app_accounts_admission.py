"""Accounts of the configuration: when and from where they may log in, and that the realm asks."""

import json
import time
import tomllib

import pytest
from twisted.internet.task import Clock

from twisted_xfer.accounts.realm import Realm
from twisted_xfer.app.accounts import inline_accounts
from twisted_xfer.app.config import Config
from twisted_xfer.app.dump import thaw
from twisted_xfer.app.load import parse
from twisted_xfer.errors import ConfigError, LoginRefused
from twisted_xfer.events import EventBus
from twisted_xfer.interfaces import IAvatar, LoginContext
from twisted_xfer.runtime.limits import Limits
from twisted_xfer.storage.memory import MemoryStorage

NOON = time.mktime((2026, 7, 15, 12, 0, 0, 0, 0, -1))


def accounts(**settings):
    config: Config = parse({"accounts": {"alice": settings}})
    return inline_accounts(config)


def test_settings_are_read():
    """As in a users file."""
    alice = accounts(enabled=False, expires="2027-01-31", hours=["mon 1:00-2:00"], networks=["::1"])["alice"]
    assert (alice.enabled, alice.hours, alice.networks) == (False, ("mon 1:00-2:00",), ("::1",))
    assert alice.expires == time.mktime((2027, 2, 1, 0, 0, 0, 0, 0, -1))
    assert accounts()["alice"].expires is None


def test_one_of_a_list_may_stand_alone():
    """As a users file has it, and as the manual writes it."""
    one = accounts(hours="mon 1:00-2:00", networks="::1", certificates="cn:Alice")["alice"]
    assert (one.hours, one.networks, one.certificates) == (("mon 1:00-2:00",), ("::1",), ("cn:Alice",))


def test_dates_of_toml():
    """Without quotes too, as in a users file; and workers, who are told in JSON, have the same."""
    text = "[accounts.alice]\nexpires = 2027-01-31\n[accounts.bob]\nexpires = 2027-01-31T18:00:00Z\n"
    config = parse(json.loads(json.dumps(thaw(parse(tomllib.loads(text))))))
    found = inline_accounts(config)
    assert found["alice"].expires == time.mktime((2027, 2, 1, 0, 0, 0, 0, 0, -1))
    assert found["bob"].expires == 1801418400


@pytest.mark.parametrize(
    "settings",
    [{"expires": "soon"}, {"expires": 2027}, {"expires": False}, {"hours": ["x"]}, {"networks": ["x"]}],
)
def test_wrong_settings_name_their_key(settings):
    """The remedy is that of the users file."""
    with pytest.raises(ConfigError) as caught:
        accounts(**settings)
    assert caught.value.key == f"accounts.alice.{next(iter(settings))}"


@pytest.mark.parametrize(
    ("settings", "now", "reason"),
    [
        ({"enabled": False}, NOON, "disabled"),
        ({"expires": "2026-07-15T12:00:00"}, NOON, "expired"),
        ({"expires": "2026-07-15T12:00:00"}, NOON - 1, ""),
        ({"hours": ["wed 11:00-12:00"]}, NOON, "outside its hours"),
        ({"hours": ["wed 11:00-12:00"]}, NOON - 1, ""),
        ({"networks": ["192.0.2.0/25"]}, NOON, "not from one of its networks"),
    ],
)
def test_the_realm_asks_whoever_checked_the_password(settings, now, reason):
    """The name alone comes from the checker; a refused login holds no session and makes no home."""
    found = accounts(**settings)
    clock, events = Clock(), EventBus(lambda: 0.0)
    limits = Limits(clock)
    storage = MemoryStorage(lambda: 0.0)
    realm = Realm(
        storage,
        root="/",
        events=events,
        limits=limits,
        clock=clock,
        accounts=type("Lookup", (), {"account": staticmethod(found.get)})(),
        wall_time=lambda: now,
    )
    context = LoginContext("ftp", "s1", "192.0.2.200")
    if not reason:
        assert realm.requestAvatar(b"alice", context, IAvatar)[1].username == "alice"
        return
    with pytest.raises(LoginRefused) as caught:
        realm.requestAvatar(b"alice", context, IAvatar)
    assert caught.value.detail == reason
    assert limits._users == {}
