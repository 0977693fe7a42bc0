"""The ledger on disk: restarts, processes that die, machines that do, and files that are wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from twisted_xfer.errors import QuotaExceeded, StorageFailure
from twisted_xfer.interfaces import QuotaScope, Usage
from twisted_xfer.quota.leases import Lease, boot_id
from twisted_xfer.quota.sqlite import SCHEMA_VERSION, SqliteLedger

#: Reserves, says so, and dies by its own SIGKILL while it holds it.
DIES = """
import os, signal, sys
from twisted_xfer.quota.sqlite import SqliteLedger
ledger = SqliteLedger(sys.argv[1])
reservation = ledger.reserve("alice", 90, limit_bytes=100, limit_files=None)
ledger.adjust("bob", 1, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def reserve(ledger, size, limit=100):
    return ledger.reserve("alice", size, limit_bytes=limit, limit_files=None)


def counted(ledger, name, size=0, files=0):
    assert ledger.end_count(name, size, files, ledger.begin_count(name))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state" / "quota.sqlite")


def test_nothing_is_opened_before_it_is_needed(path):
    """A daemon forks and drops its rights after it was built."""
    ledger = SqliteLedger(path)
    assert not os.path.exists(path)
    ledger.close()
    with pytest.raises(StorageFailure):
        ledger.usage("alice")


def test_what_is_published_survives_a_restart(path):
    """What is known stays known, and exact."""
    first = SqliteLedger(path)
    counted(first, "alice", 30, 3)
    reserve(first, 10).commit(10)
    first.close()
    second = SqliteLedger(path)
    assert second.usage("alice") == Usage(40, 4, 0)
    assert second.exact("alice")
    second.close()


def test_a_close_with_uploads_open_gives_back_and_doubts(path):
    """They did not end in order, so what they left has to be counted."""
    first = SqliteLedger(path)
    counted(first, "alice")
    reserve(first, 10)
    first.close()
    second = SqliteLedger(path)
    assert second.usage("alice") == Usage(0, 0, 0)
    assert not second.exact("alice")
    second.close()


def test_processes_share_one_limit(path):
    """What one has set aside, the other cannot have; nobody takes the living for dead."""
    one, two = SqliteLedger(path), SqliteLedger(path)
    held = reserve(one, 60)
    with pytest.raises(QuotaExceeded) as caught:
        reserve(two, 41)
    assert caught.value.fields["left"] == 40
    assert reserve(two, 40).granted == 40
    held.commit(60)
    assert two.usage("alice") == Usage(60, 1, 40)
    one.close()
    two.close()


def test_announced_sizes_shut_out_nobody(path):
    """Two files of 8 EiB that are only announced: a group that counts files goes on taking others'."""
    ledger = SqliteLedger(path)
    group = [QuotaScope("/group/g", None, 10)]
    for name, size in (("eve", 2**63 - 1), ("eve", 2**63 - 1), ("bob", 10)):
        ledger.reserve(name, size, limit_bytes=None, limit_files=None, also=group)
    with pytest.raises(QuotaExceeded):
        ledger.reserve("bob", 10, limit_bytes=None, limit_files=None, also=group, files=8)
    ledger.close()


def test_what_a_killed_process_held_is_given_back(path):
    """At the first refusal, not before somebody needs it; what it touched is counted anew, the rest not."""
    ledger = SqliteLedger(path)
    for name in ("alice", "bob", "carol"):
        counted(ledger, name)
    done = subprocess.run([sys.executable, "-c", DIES, path], timeout=60, check=False)
    assert done.returncode == -9
    assert ledger.usage("alice").reserved == 90
    assert reserve(ledger, 100).granted == 100
    assert [ledger.exact(name) for name in ("alice", "bob", "carol")] == [False, False, True]
    assert len(os.listdir(path + "-leases")) == 1
    ledger.close()


def test_a_new_process_finds_the_dead(path):
    """The next start gives back at once."""
    assert subprocess.run([sys.executable, "-c", DIES, path], timeout=60, check=False).returncode == -9
    ledger = SqliteLedger(path)
    assert ledger.usage("alice") == Usage(0, 0, 0)
    ledger.close()


def test_a_machine_that_went_down_doubts_everything(path):
    """The last entries may not have reached the disk; a clean stop leaves nothing to doubt."""
    first = SqliteLedger(path, boot=lambda: "one")
    counted(first, "alice")
    first.close()
    second = SqliteLedger(path, boot=lambda: "two")
    assert second.exact("alice"), "it was closed in order"
    second._lease.end()
    second._connection.close()
    third = SqliteLedger(path, boot=lambda: "three")
    assert not third.exact("alice")
    third.close()


def test_a_refusal_by_a_broken_ledger_is_ours(path):
    """Neither a later version's file nor one that is no database is touched."""
    os.makedirs(os.path.dirname(path))
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    other.close()
    with pytest.raises(StorageFailure, match="version 2"):
        SqliteLedger(path).usage("alice")
    with open(path, "wb") as stream:
        stream.write(b"no database" * 100)
    with pytest.raises(StorageFailure, match="not a database"):
        SqliteLedger(path).usage("alice")
    with pytest.raises(StorageFailure):
        SqliteLedger("/proc/nowhere/quota.sqlite").usage("alice")
    assert os.listdir(path + "-leases") == []


def test_a_failed_transaction_changes_nothing(path):
    """Half of an entry is none."""
    ledger = SqliteLedger(path)
    counted(ledger, "alice", 5, 1)
    with pytest.raises(ZeroDivisionError), ledger._writing() as (connection, _):
        connection.execute("DELETE FROM account")
        raise ZeroDivisionError
    assert ledger.usage("alice") == Usage(5, 1, 0)
    ledger.close()


def test_leases(tmp_path):
    """Held while its holder lives; the file of a dead one goes with the question."""
    lease = Lease(str(tmp_path), "a")
    assert Lease.is_held(str(tmp_path), "a")
    assert not Lease.is_held(str(tmp_path), "b")
    os.close(lease._fd)
    assert not Lease.is_held(str(tmp_path), "a")
    assert os.listdir(tmp_path) == []
    lease._fd = -1
    lease.end()
    assert boot_id() == boot_id()


def broken(ledger, *, on=True):
    """A disk that is full, as far as the ledger can tell."""
    ledger._connection.execute(f"PRAGMA query_only = {int(on)}")


def test_ends_that_could_not_be_written_are_written_later(path):
    """A full disk at the end of an upload: its room comes back, and what is published is charged."""
    ledger = SqliteLedger(path)
    counted(ledger, "alice")
    kept, dropped = reserve(ledger, 40), reserve(ledger, 40)
    broken(ledger)
    kept.commit(40)
    dropped.release()
    ledger.adjust("alice", -10, 0)
    with pytest.raises(StorageFailure):
        reserve(ledger, 1)
    broken(ledger, on=False)
    assert ledger.usage("alice") == Usage(30, 1, 0)
    assert reserve(ledger, None).extend(1000) > 0
    ledger.close()


def test_ends_that_were_never_written_are_doubted(path):
    """The process stops before the disk has room again: the next one counts."""
    ledger = SqliteLedger(path)
    counted(ledger, "alice", 10, 1)
    broken(ledger)
    ledger.adjust("alice", -10, -1)
    with pytest.raises(StorageFailure):
        ledger.close()
    second = SqliteLedger(path)
    assert not second.exact("alice")
    second.close()


@pytest.mark.parametrize("more", [0, 1])
def test_ends_that_wait_are_bounded(path, more, monkeypatch):
    """At most MAX_OWED; past it the account is counted anew by the next process, and the caller hears of it."""
    monkeypatch.setattr("twisted_xfer.quota.sqlite.MAX_OWED", 3)
    ledger = SqliteLedger(path)
    counted(ledger, "alice", 10, 1)
    broken(ledger)
    for _ in range(3):
        ledger.adjust("alice", 1, 0)
    if more:
        with pytest.raises(StorageFailure):
            ledger.adjust("alice", 1, 0)
    broken(ledger, on=False)
    assert ledger.usage("alice").bytes == 13
    ledger.close()
    second = SqliteLedger(path)
    assert second.exact("alice") is not bool(more)
    second.close()
