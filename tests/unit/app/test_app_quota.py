"""Quota in the composition root: the ledger that is named, homes, and counting anew."""

from __future__ import annotations

import os

import attrs
import pytest
from click.testing import CliRunner
from zope.interface import implementer

from twisted_xfer.app.config import Config
from twisted_xfer.app.homes import homes_of
from twisted_xfer.app.load import parse
from twisted_xfer.app.quota import make_ledger
from twisted_xfer.app.recount import recount
from twisted_xfer.cli.commands import xfer
from twisted_xfer.errors import ConfigError, PluginError
from twisted_xfer.interfaces import Account, IQuotaPlugin, QuotaScope, Usage
from twisted_xfer.plugins.records import PluginRecord
from twisted_xfer.plugins.registry import Registry
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.quota.sqlite import SqliteLedger

STAFF = QuotaScope("/group/staff", 10_000)


class Host:
    """What ledgers need."""

    random = staticmethod(os.urandom)


@attrs.frozen
class NoOptions:
    """None."""


@implementer(IQuotaPlugin)
class Broken:
    """Does not open."""

    name = "broken"
    api_version = 1
    options = NoOptions

    def describe(self):
        return "broken"

    def open(self, options, host):
        raise ZeroDivisionError("inside")


broken = Broken()


class Checker:
    """Knows two accounts."""

    def __init__(self, **accounts):
        self.accounts = accounts

    def usernames(self):
        return list(self.accounts)

    def account(self, name):
        return self.accounts.get(name)


def test_the_default_ledger_and_a_named_one(tmp_path):
    """SQLite over the root unless told; nothing is written yet."""
    registry = Registry.discover()
    ledger = make_ledger({}, str(tmp_path), registry, Host())
    assert isinstance(ledger, SqliteLedger)
    assert os.path.basename(ledger.path).startswith("quota-")
    named = make_ledger({"plugin": "sqlite", "file": f"{tmp_path}/q"}, "/", registry, Host())
    assert named.path == f"{tmp_path}/q"
    assert isinstance(make_ledger({"plugin": "memory"}, "/", registry, Host()), MemoryLedger)
    assert os.listdir(tmp_path) == []


def test_a_ledger_that_cannot_be_had_stops_the_start(tmp_path):
    """Unknown, with unknown keys, or broken; without any ledger installed there is none."""
    registry = Registry.discover()
    for table, error in [
        ({"plugin": "nothing"}, PluginError),
        ({"plugin": 3}, ConfigError),
        ({"plugin": "memory", "file": "x"}, ConfigError),
    ]:
        with pytest.raises(error):
            make_ledger(table, "/", registry, Host())
    here = Registry([PluginRecord("quota", "broken", f"{__name__}:broken", "broken")])
    here._loaded["quota", "broken"] = broken
    with pytest.raises(PluginError, match="does not open"):
        make_ledger({"plugin": "broken"}, "/", here, Host())
    assert make_ledger({}, "/", Registry([]), Host()) is None


def test_homes_of_all_that_can_be_named():
    """The configuration's own accounts go before those of checkers; checkers without names are passed over."""
    config = parse({"accounts": {"alice": {"home": "/elsewhere"}}})
    checkers = [
        object(),
        Checker(alice=Account("alice"), bob=Account("bob")),
        Checker(bob=Account("bob", home="x")),
    ]
    found = [(account.username, home) for account, home in homes_of(config, "/srv", checkers)]
    assert found == [("alice", "/elsewhere"), ("bob", "/srv/bob")]


def make_home(root, name, *sizes):
    (root / name).mkdir()
    for number, size in enumerate(sizes):
        (root / name / str(number)).write_bytes(b"x" * size)


def test_recount(tmp_path):
    """Accounts, their directories, then groups as the sum of their members; the rest is left alone."""
    make_home(tmp_path, "alice", 10, 20)
    make_home(tmp_path, "bob", 5)
    (tmp_path / "alice" / "in").mkdir()
    (tmp_path / "alice" / "in" / "x").write_bytes(b"xyz")
    (tmp_path / "alice" / ".0.0123456789abcdef.xpart").write_bytes(b"a part")
    inbox = QuotaScope("/user/alice/in", 100, below="/in")
    checker = Checker(
        alice=Account("alice", quota_bytes=100, quota_scopes=(STAFF, inbox)),
        bob=Account("bob", quota_scopes=(STAFF,)),
        carol=Account("carol", quota_files=3),
        dave=Account("dave"),
    )
    ledger = MemoryLedger()
    ledger.adjust("alice", 1, 1)
    ledger.adjust(STAFF.name, 777, 7)
    held = ledger.reserve("bob", 3, limit_bytes=None, limit_files=None)
    config = Config(root=str(tmp_path))
    found = {one.name: one for one in recount(config, str(tmp_path), [checker], ledger)}
    assert found["alice"].before == Usage(1, 1)
    assert found["alice"].after == Usage(33, 3)
    assert found["/user/alice/in"].after == Usage(3, 1)
    assert found["bob"].after is None, "an upload is under way"
    assert found["carol"].after == Usage(0, 0), "never logged in"
    assert "dave" not in found
    held.release()
    found = {one.name: one for one in recount(config, str(tmp_path), [checker], ledger)}
    assert found["bob"].after == Usage(5, 1)
    assert found[STAFF.name].after == Usage(38, 4) == ledger.usage(STAFF.name)
    assert [ledger.exact(name) for name in ("alice", "bob")] == [True, True]
    only = list(recount(config, str(tmp_path), [checker], ledger, ["carol"]))
    assert [one.name for one in only] == ["carol"]


def test_what_cannot_be_counted(tmp_path):
    """Names without a quota, storages without a disk, and ledgers that take no count."""
    checker = Checker(alice=Account("alice", quota_bytes=100))
    config = Config(root=str(tmp_path))
    for wrong, ledger, names in [
        (config, MemoryLedger(), ["bob"]),
        (attrs.evolve(config, storage={"plugin": "memory"}), MemoryLedger(), []),
        (config, object(), []),
    ]:
        with pytest.raises(ConfigError):
            list(recount(wrong, str(tmp_path), [checker], ledger, names))


def test_the_command(tmp_path):
    """Prints a line for each, and what changed; ends with 3 when one is uploading, with 2 for a wrong name."""
    root = tmp_path / "root"
    root.mkdir()
    make_home(root, "alice", 10)
    config = tmp_path / "xfer.toml"
    config.write_text(
        f'root = "{root}"\nlisten = ["ftp=tcp:0"]\n[quota]\nfile = "quota.sqlite"\n'
        "[accounts.alice]\nquota_bytes = 100\n"
    )

    def run(*names):
        done = CliRunner().invoke(xfer, ["user", "recount", str(config), *names])
        return done.exit_code, done.stdout

    assert run() == (0, "alice: 10 bytes, 1 file (was 0 bytes, 0 files)\n")
    assert run("alice") == (0, "alice: 10 bytes, 1 file\n")
    assert run("bob")[0] == 2
    other = SqliteLedger(str(tmp_path / "quota.sqlite"))
    held = other.reserve("alice", 1, limit_bytes=None, limit_files=None)
    assert run() == (3, "")
    held.release()
    other.close()
