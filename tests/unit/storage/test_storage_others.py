"""Memory and threaded storages, and the plugins."""

from __future__ import annotations

import os

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from twisted_xfer import errors
from twisted_xfer.interfaces import (
    API_VERSION,
    IBlocking,
    IEnters,
    IHasFileno,
    IListing,
    IReadFile,
    IStorage,
    IStoragePlugin,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import ROOT
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage import local_files, local_upload, memory_files, plugin, threaded
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.storage_checks import entries, fails_with, get, path_of, put, put_part, value_of


@implementer(IBlocking)
class Stepwise:
    """Runs one call at a time, when told."""

    def __init__(self) -> None:
        self.queue = []
        self.full = False

    def run(self, function, *args, pool="disk"):
        done = Deferred()
        if self.full:
            done.errback(errors.Busy("disk"))
        else:
            self.queue.append((function, args, done))
        return done

    def step(self) -> None:
        function, args, done = self.queue.pop(0)
        maybeDeferred(function, *args).chainDeferred(done)


@pytest.mark.parametrize(
    ("interface", "implementation"),
    [
        (IStorage, LocalStorage),
        (IStorage, MemoryStorage),
        (IStorage, ThreadedStorage),
        (IEnters, LocalStorage),
        (IReadFile, local_files.LocalReadFile),
        (IHasFileno, local_files.LocalReadFile),
        (IListing, local_files.LocalListing),
        (IUpload, local_upload.StagedUpload),
        (IHasFileno, local_upload.StagedUpload),
        (IUpload, local_upload.InPlaceUpload),
        (IReadFile, memory_files.MemoryReadFile),
        (IUpload, memory_files.MemoryUpload),
        (IListing, memory_files.MemoryListing),
        (IReadFile, threaded.ThreadedReadFile),
        (IUpload, threaded.ThreadedUpload),
        (IListing, threaded.ThreadedListing),
    ],
)
def test_classes_implement_their_interfaces(interface, implementation):
    """Signatures too; attributes that instances get are checked by the contract."""
    verifyClass(interface, implementation, tentative=False)


def test_threads_enter_where_the_storage_within_does(tmp_path):
    """And only there."""
    assert not IEnters.providedBy(ThreadedStorage(MemoryStorage(lambda: 0.0), InlineBlocking()))
    storage = ThreadedStorage(LocalStorage(str(tmp_path)), InlineBlocking())
    assert IEnters.providedBy(storage)
    assert value_of(storage.enter(ROOT)) == value_of(storage.stat(ROOT))
    storage.close()


def test_memory_is_bounded():
    """At its capacity a memory storage takes no more, and what is dropped or replaced makes room."""
    storage = MemoryStorage(lambda: 0.0, capacity=10)
    put(storage, b"/a", b"01234567")
    upload = storage.open_write(path_of(b"/b"), WriteIntent())
    upload.write(b"89")
    fails_with(errors.NoSpace, lambda: upload.write(b"x"))
    upload.abort()
    put(storage, b"/b", b"01")
    put_part(storage, b"/a", b"")
    fails_with(errors.NoSpace, lambda: storage.open_write(path_of(b"/a"), WriteIntent(append=True)))
    storage.remove(path_of(b"/a"))
    put(storage, b"/b", b"01234567")
    storage.make_directory(path_of(b"/d"))
    storage.rename(path_of(b"/b"), path_of(b"/d/c"))
    storage.remove(path_of(b"/d/c"))
    put_part(storage, b"/p", b"0123456789")
    storage.remove(path_of(b"/p"))
    put(storage, b"/last", b"0123456789")


def test_memory_times_come_from_the_clock():
    """Modification times are wall_time's, and a reader keeps what it opened."""
    now = [1000.5]
    storage = MemoryStorage(lambda: now[0])
    assert put(storage, b"/a", b"old").mtime_ns == 1_000_500_000_000
    file = storage.open_read(path_of(b"/a"))
    now[0] = 2000.0
    put(storage, b"/a", b"new")
    assert file.read(9) == b"old"
    file.advance(0)
    file.close()
    assert storage.stat(path_of(b"/a")).mtime_ns == 2_000_000_000_000


def test_memory_uploads_have_no_descriptor():
    """A kernel cannot have written to one; a closed one takes nothing."""
    storage = MemoryStorage(lambda: 0.0)
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    fails_with(errors.StorageFailure, lambda: upload.advance(1))
    upload.abort()
    fails_with(errors.StorageFailure, lambda: upload.write(b"x"))
    fails_with(errors.StorageFailure, upload.commit)
    assert entries(storage) == {}


def test_memory_views_share_the_tree():
    """A home is a directory of the same tree; a file is not a home."""
    storage = MemoryStorage(lambda: 0.0)
    put(storage.view("/h/a", owner="a", create=True), b"/x", b"x")
    assert get(storage, b"/h/a/x") == b"x"
    fails_with(errors.NotADirectory, lambda: storage.view("/h/a/x", owner="a"))


def test_a_forgotten_memory_upload_is_unlocked():
    """As on disk: the part stays and may be resumed."""
    storage = MemoryStorage(lambda: 0.0)
    storage.open_write(path_of(b"/a"), WriteIntent()).write(b"x")
    assert storage.open_write(path_of(b"/a"), WriteIntent(append=True)).offset == 1


def test_threaded_calls_on_one_object_do_not_overlap(tmp_path):
    """A close waits for the read before it, so no descriptor is closed under a thread."""
    pool = Stepwise()
    (tmp_path / "a").write_bytes(b"abc")
    storage = ThreadedStorage(LocalStorage(str(tmp_path)), pool)
    opened = storage.open_read(path_of(b"/a"))
    pool.step()
    file = value_of(opened)
    assert (file.info.size, file.offset, file.mode) == (3, 0, "image")
    file.mode = "ascii"
    answer = file.read(2)
    file.close()
    assert len(pool.queue) == 1
    pool.step()
    assert value_of(answer) == b"ab"
    assert (file.offset, file.mode) == (2, "ascii")
    file.advance(1)
    assert file.offset == 3
    pool.step()
    assert pool.queue == []


def test_threaded_close_without_a_thread(tmp_path):
    """When the pool is full a close is made at once: no descriptor is left."""
    pool = Stepwise()
    inner = LocalStorage(str(tmp_path))
    storage = ThreadedStorage(inner, pool)
    opened = storage.list(path_of(b"/"))
    pool.step()
    listing = value_of(opened)
    before = len(os.listdir("/proc/self/fd"))
    pool.full = True
    listing.close()
    assert len(os.listdir("/proc/self/fd")) < before
    fails_with(errors.Busy, lambda: storage.stat(path_of(b"/")))


def test_threaded_logout_under_way(tmp_path):
    """An operation that still waits for its thread fails cleanly after close()."""
    pool = Stepwise()
    storage = ThreadedStorage(LocalStorage(str(tmp_path)), pool)
    answer = storage.stat(path_of(b"/"))
    storage.close()
    pool.step()
    fails_with(errors.StorageFailure, lambda: answer)


def test_threaded_uploads_pass_on_attributes(tmp_path):
    """path, offset, mode, reserve and advance are the upload's own."""
    pool = Stepwise()
    storage = ThreadedStorage(LocalStorage(str(tmp_path)), pool)
    assert "fileno" not in storage.capabilities
    opened = storage.open_write(path_of(b"/a"), WriteIntent())
    pool.step()
    upload = value_of(opened)
    upload.mode = "ascii"
    upload.advance(0)
    assert (upload.path, upload.offset, upload.mode, upload.reserve(5)) == (path_of(b"/a"), 0, "ascii", 5)
    upload.abort()
    pool.step()
    assert os.listdir(tmp_path) == []


class Host:
    """What the plugins ask for."""

    blocking = Stepwise()
    random = staticmethod(os.urandom)

    def wall_time(self):
        return 5.0


@pytest.mark.parametrize("one", [plugin.local, plugin.memory])
def test_plugins(one, tmp_path):
    """Records' names, frozen options with defaults, and a storage that works."""
    verifyObject(IStoragePlugin, one)
    assert one.api_version == API_VERSION
    assert "\n" not in one.describe()
    options = one.options()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(options, attrs.fields(one.options)[0].name, "x")
    if one is plugin.local:
        options = attrs.evolve(options, root=str(tmp_path))
    storage = one.open(options, Host())
    verifyObject(IStorage, storage)
    put(storage, b"/a", b"x")
    storage.close()


def test_plugin_options_are_checked(tmp_path):
    """A wrong value, and options of another plugin, name the key; threads wrap the storage."""
    for options in (
        plugin.LocalOptions(root=str(tmp_path), symlinks="some"),
        plugin.LocalOptions(root=str(tmp_path), uploads="never"),
        plugin.MemoryOptions(),
    ):
        with pytest.raises(errors.ConfigError):
            plugin.local.open(options, Host())
    with pytest.raises(errors.ConfigError):
        plugin.memory.open(plugin.LocalOptions(), Host())
    wrapped = plugin.local.open(plugin.LocalOptions(root=str(tmp_path), threads=True), Host())
    assert isinstance(wrapped, ThreadedStorage)
    wrapped.close()


def test_memory_names_and_parts_that_change_meanwhile():
    """A directory in the place of the upload, a part whose directory went, names that repeat."""
    storage = MemoryStorage(lambda: 0.0, random=bytes)
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    storage.make_directory(path_of(b"/a"))
    fails_with(errors.IsADirectory, upload.commit)
    assert storage.open_write(path_of(b"/u"), WriteIntent(unique=True)).commit().name == b"u.0000000000000000"
    fails_with(errors.AlreadyExists, lambda: storage.open_write(path_of(b"/u"), WriteIntent(unique=True)))
    put(storage, b"/f", b"x")
    storage.rename(path_of(b"/f"), path_of(b"/f"))
    assert get(storage, b"/f") == b"x"
    storage.make_directory(path_of(b"/d"))
    put(storage, b"/d/x", b"")
    fails_with(errors.DirectoryNotEmpty, lambda: storage.rename(path_of(b"/a"), path_of(b"/d")))
