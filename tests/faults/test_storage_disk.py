"""Disks that are full, forbidden or broken off, and processes that die."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import signal
import tempfile

import pytest
from forked import in_child

from twisted_xfer.errors import Busy, NoSpace, PermissionDenied, StorageFailure, TooLarge
from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import ROOT
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.storage_checks import entries, fails_with, get, path_of, put, put_part


@pytest.fixture
def open_dir():
    """A directory that a user without rights can reach."""
    root = tempfile.mkdtemp(prefix="xfer-faults-")
    os.chmod(root, 0o777)
    yield root
    shutil.rmtree(root)


def test_a_file_that_may_not_grow(open_dir):
    """At the limit of the file size the error is TooLarge, the part keeps what fitted."""

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        storage = LocalStorage(open_dir)
        upload = storage.open_write(path_of(b"/a"), WriteIntent())
        upload.write(b"x" * 1000)
        fails_with(TooLarge, lambda: upload.write(b"y"))
        upload.suspend()
        upload = storage.open_write(path_of(b"/b"), WriteIntent())
        fails_with(TooLarge, lambda: upload.write(b"x" * 1001))
        assert upload.offset == 1000
        upload.abort()
        assert storage.stat(path_of(b"/a")).size == 1000

    assert in_child(work) == 0
    assert len(os.listdir(open_dir)) == 1


def test_a_full_disk(open_dir, monkeypatch):
    """A short write and then ENOSPC: NoSpace, the old file whole, the part resumable or dropped."""
    storage = LocalStorage(open_dir)
    put(storage, b"/a", b"old")
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    real_write = os.pwrite
    room = [4]

    def full_write(fd, data, offset):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = min(room[0], len(data))
        room[0] -= size
        return real_write(fd, bytes(data)[:size], offset)

    monkeypatch.setattr(os, "pwrite", full_write)
    fails_with(NoSpace, lambda: upload.write(b"0123456789"))
    monkeypatch.undo()
    assert upload.offset == 4
    upload.suspend()
    assert get(storage, b"/a") == b"old"
    os.unlink(os.path.join(open_dir, "a"))
    put(storage, b"/a", b"456789", WriteIntent(offset=4))
    assert get(storage, b"/a") == b"0123456789"
    storage.close()


def test_a_copy_that_fails_leaves_nothing(open_dir, monkeypatch):
    """When the old file's prefix cannot be copied, the part goes and the old file stays."""
    storage = LocalStorage(open_dir)
    put(storage, b"/a", b"old file")

    def full_copy(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full_copy)
    fails_with(NoSpace, lambda: storage.open_write(path_of(b"/a"), WriteIntent(append=True)))
    assert os.listdir(open_dir) == ["a"]
    assert get(storage, b"/a") == b"old file"
    storage.close()


def test_a_sync_that_fails_keeps_the_old_file(open_dir, monkeypatch):
    """An error of fsync is an error of commit: nothing is published, the part stays."""
    storage = LocalStorage(open_dir, fsync=True)
    put(storage, b"/a", b"old")
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"new!")

    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    error = fails_with(StorageFailure, upload.commit)
    assert error.fields["errno"] == errno.EIO
    assert get(storage, b"/a") == b"old"
    os.unlink(os.path.join(open_dir, "a"))
    assert storage.stat(path_of(b"/a")).size == 4
    storage.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_without_permission(open_dir):
    """As a user without rights: every operation says PermissionDenied and leaves no descriptor."""
    os.mkdir(os.path.join(open_dir, "locked"), 0o700)
    with open(os.path.join(open_dir, "locked", "f"), "wb") as file:
        file.write(b"x")
    os.mkdir(os.path.join(open_dir, "readable"), 0o755)
    os.mkdir(os.path.join(open_dir, "blind"), 0o711)
    with open(os.path.join(open_dir, "blind", "known"), "wb") as file:
        file.write(b"known")
    os.chmod(os.path.join(open_dir, "blind", "known"), 0o644)

    def work():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        storage = LocalStorage(open_dir)
        # What earlier tests left must not go while we count.
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for call in (
            lambda: storage.list(path_of(b"/locked")),
            lambda: storage.stat(path_of(b"/locked/f")),
            lambda: storage.open_read(path_of(b"/locked/f")),
            lambda: storage.open_write(path_of(b"/locked/f"), WriteIntent()),
            lambda: storage.remove(path_of(b"/locked/f")),
            lambda: storage.make_directory(path_of(b"/locked/d")),
            lambda: storage.rename(path_of(b"/locked/f"), path_of(b"/f")),
            lambda: storage.open_write(path_of(b"/readable/f"), WriteIntent()),
            lambda: storage.make_directory(path_of(b"/readable/d")),
            lambda: storage.set_mode(path_of(b"/readable"), 0o777),
            lambda: storage.set_times(path_of(b"/readable"), 0),
            lambda: storage.list(path_of(b"/blind")),
            lambda: storage.enter(path_of(b"/locked")),
        ):
            fails_with(PermissionDenied, call)
        assert storage.stat(path_of(b"/locked")).kind == "dir"
        for raw in (b"/", b"/readable", b"/blind"):
            assert storage.enter(path_of(raw)) == storage.stat(path_of(raw))
        assert entries(storage, b"/readable") == {}
        assert get(storage, b"/blind/known") == b"known", "search permission is enough, as in the kernel"
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before

    assert in_child(work) == 0


def test_a_process_killed_between_write_and_commit(open_dir):
    """The old file is whole, the part stays, unlocked, and the owner's next session resumes it."""
    storage = LocalStorage(open_dir, owner="alice")
    put(storage, b"/a", b"old")

    def work():
        mine = LocalStorage(open_dir, owner="alice")
        upload = mine.open_write(path_of(b"/a"), WriteIntent())
        upload.write(b"01234")
        os._exit(7)

    assert in_child(work) == 7
    assert get(storage, b"/a") == b"old"
    assert len(os.listdir(open_dir)) == 2
    os.unlink(os.path.join(open_dir, "a"))
    assert storage.stat(path_of(b"/a")).size == 5
    put(storage, b"/a", b"56", WriteIntent(offset=5))
    assert get(storage, b"/a") == b"0123456"
    assert os.listdir(open_dir) == ["a"]
    storage.close()


def test_two_uploads_of_one_name_from_two_processes(open_dir):
    """The lock holds across processes; owners do not get in each other's way, the last one wins."""
    alice, bob = LocalStorage(open_dir, owner="alice"), LocalStorage(open_dir, owner="bob")
    upload = alice.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"alice")

    def work():
        mine = LocalStorage(open_dir, owner="alice")
        fails_with(Busy, lambda: mine.open_write(path_of(b"/a"), WriteIntent()))

    assert in_child(work) == 0
    other = bob.open_write(path_of(b"/a"), WriteIntent())
    other.write(b"bob")
    upload.commit()
    other.commit()
    assert get(alice, b"/a") == b"bob"
    assert os.listdir(open_dir) == ["a"]
    alice.close()
    bob.close()


def test_a_part_published_between_open_and_lock(open_dir, monkeypatch):
    """The descriptor that was opened is another file by now: the part is opened anew."""
    from twisted_xfer.storage import parts

    storage = LocalStorage(open_dir)
    put_part(storage, b"/a", b"0123")
    real_lock = parts.lock
    calls = []

    def late_lock(fd):
        if not calls:
            calls.append(fd)
            (part,) = os.listdir(open_dir)
            os.rename(os.path.join(open_dir, part), os.path.join(open_dir, "a"))
        return real_lock(fd)

    monkeypatch.setattr(parts, "lock", late_lock)
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"new")
    assert get(storage, b"/a") == b"0123", "what was published meanwhile is not written to"
    upload.commit()
    assert get(storage, b"/a") == b"new"
    storage.close()


def test_a_part_that_keeps_changing_is_busy(open_dir, monkeypatch):
    """After a bounded number of attempts the answer is Busy."""
    from twisted_xfer.storage import parts

    storage = LocalStorage(open_dir)
    calls = []

    def vanishing_lock(fd):
        calls.append(fd)
        for name in os.listdir(open_dir):
            os.unlink(os.path.join(open_dir, name))
        return True

    monkeypatch.setattr(parts, "lock", vanishing_lock)
    fails_with(Busy, lambda: storage.open_write(path_of(b"/a"), WriteIntent()))
    assert len(calls) == 4
    storage.close()


def test_forgotten_objects_leave_no_descriptor(open_dir):
    """Whatever is dropped without close() is closed by its end, and the part is unlocked."""
    storage = LocalStorage(open_dir)
    storage.make_directory(path_of(b"/d"))
    put(storage, b"/d/f", b"x")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    storage.open_read(path_of(b"/d/f"))
    storage.list(ROOT).next_batch(1)
    storage.open_write(path_of(b"/d/f"), WriteIntent()).write(b"y")
    storage.view("home", owner="x", create=True)
    with pytest.raises(Busy):
        holder = storage.open_write(path_of(b"/d/f"), WriteIntent())
        storage.open_write(path_of(b"/d/f"), WriteIntent())
    del holder
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    assert storage.open_write(path_of(b"/d/f"), WriteIntent(append=True)).offset == 1
    storage.close()


def test_a_directory_removed_under_an_upload(open_dir):
    """Commit says what happened, and nothing is left open."""
    from twisted_xfer.errors import NotFound

    storage = LocalStorage(open_dir)
    storage.make_directory(path_of(b"/d"))
    upload = storage.open_write(path_of(b"/d/f"), WriteIntent())
    upload.write(b"x")
    shutil.rmtree(os.path.join(open_dir, "d"))
    fails_with(NotFound, upload.commit)
    assert upload.fileno() == -1
    storage.close()
