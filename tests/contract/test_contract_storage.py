"""Every storage of ours under the public contract."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import unittest

from twisted.internet.defer import maybeDeferred
from zope.interface import implementer

from twisted_xfer.interfaces import IBlocking, IStorage
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.contracts_staging import StagedContract
from twisted_xfer.testing.contracts_storage import StorageContract


@implementer(IBlocking)
class Inline:
    """Runs at once, in this thread."""

    def run(self, function, *args, pool="disk"):
        return maybeDeferred(function, *args)


def setup_module():
    """No descriptor of what ran before is closed under these tests: it would make room for one of theirs."""
    gc.collect()


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class OnDisk:
    """A temporary directory per test, and a check that no descriptor is left."""

    root = None
    options = {}

    def make_storage(self) -> IStorage:
        self.root = tempfile.mkdtemp(prefix="xfer-contract-")
        self.before = descriptors()
        return self.wrap(LocalStorage(self.root, **self.options))

    def wrap(self, storage):
        return storage

    def home(self, name: str) -> str:
        return f"{self.root}/{name}"

    def dispose(self) -> None:
        shutil.rmtree(self.root)
        if descriptors() > self.before:
            # What is left may be garbage; a collection for each of these tests would be most of their time.
            gc.collect()
            assert descriptors() <= self.before


class TestLocal(OnDisk, StagedContract):
    """Links inside the jail, staged."""


class TestLocalWithoutLinks(OnDisk, StagedContract):
    """Links refused."""

    options = {"symlinks": "none"}


class TestLocalFollowing(OnDisk, StagedContract):
    """Links left to the kernel, everything synced."""

    options = {"symlinks": "follow", "fsync": True, "umask": 0o022}


class TestLocalInPlace(OnDisk, StorageContract):
    """No parts."""

    options = {"uploads": "in-place"}


class TestLocalWithPool(OnDisk, StagedContract):
    """Digests and syncs in a pool."""

    options = {"fsync": True, "blocking": Inline()}


class TestThreaded(OnDisk, StagedContract):
    """Everything in a pool."""

    def wrap(self, storage):
        return ThreadedStorage(storage, Inline())


class TestMemory(StagedContract):
    """In memory."""

    def make_storage(self) -> IStorage:
        return MemoryStorage(lambda: 1_000_000.0)


class TestThreadedMemoryUnderUnittest(StagedContract, unittest.TestCase):
    """The same suite as unittest runs it."""

    def make_storage(self) -> IStorage:
        return ThreadedStorage(MemoryStorage(lambda: 1_000_000.0), Inline())
