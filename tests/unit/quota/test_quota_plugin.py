"""The ledgers as plugins, and where the default one lies."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import IQuotaLedger, IQuotaPlugin
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.quota.plugin import SqliteOptions, default_file, memory, sqlite

HOST = SimpleNamespace(random=os.urandom)


def test_both_are_plugins():
    """And what they open is a ledger."""
    for plugin in (memory, sqlite):
        verifyObject(IQuotaPlugin, plugin)
        assert plugin.describe()
        verifyObject(IQuotaLedger, plugin.open(plugin.options(), HOST))
    assert isinstance(memory.open(memory.options(), HOST), MemoryLedger)


def test_the_default_file(monkeypatch, tmp_path):
    """Where systemd says, else where the user's state is; another root has another."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/one:{tmp_path}/two")
    first, second = default_file("/srv/a"), default_file("/srv/b")
    assert os.path.dirname(first) == f"{tmp_path}/one"
    assert first != second
    assert first == default_file("/srv/../srv/a/")
    assert sqlite.open(SqliteOptions(root="/srv/a"), HOST).path == first
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/state")
    assert default_file("/srv/a").startswith(f"{tmp_path}/state/twisted-xfer/quota-")


def test_wrong_options():
    """A directory that is not there is told at the start, with what to do."""
    with pytest.raises(ConfigError) as caught:
        sqlite.open(SqliteOptions("/nowhere/at/all/quota.sqlite"), HOST)
    assert caught.value.key == "quota.file"
    with pytest.raises(ConfigError):
        sqlite.open(memory.options(), HOST)
