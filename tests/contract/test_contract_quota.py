"""The ledgers of ours under the public contract."""

from __future__ import annotations

import os
import shutil
import tempfile

from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.quota.sqlite import SqliteLedger
from twisted_xfer.testing.contracts_quota import CountingLedgerContract


class TestMemoryLedger(CountingLedgerContract):
    """In memory."""

    def make_ledger(self):
        return MemoryLedger()


class TestSqliteLedger(CountingLedgerContract):
    """In a file."""

    directory = None

    def make_ledger(self):
        self.directory = tempfile.mkdtemp(prefix="xfer-quota-")
        self.before = len(os.listdir("/proc/self/fd"))
        return SqliteLedger(f"{self.directory}/quota.sqlite")

    def dispose(self):
        assert os.listdir(f"{self.directory}/quota.sqlite-leases") == []
        shutil.rmtree(self.directory)
        assert len(os.listdir("/proc/self/fd")) <= self.before
