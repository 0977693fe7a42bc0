"""The end of a staged upload: its lock is kept to the last step, and nobody comes between."""

from __future__ import annotations

import fcntl
import os

import pytest

from twisted_xfer.errors import Busy
from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.storage import local_upload, parts
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.parts import read_only
from twisted_xfer.testing.storage_checks import fails_with, get, path_of


@pytest.fixture
def directory(tmp_path):
    """A directory descriptor with one locked part in it."""
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def opened(directory):
    fd = os.open("part", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)
    assert parts.lock(fd)
    return fd


def test_the_lock_goes_over_to_the_reader(directory):
    """A writer that comes now still finds it taken; once the reader is closed it is free."""
    before = len(os.listdir("/proc/self/fd"))
    reader = read_only(opened(directory), directory, b"part")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    other = os.open("part", os.O_RDWR, dir_fd=directory)
    assert not parts.lock(other)
    os.close(reader)
    assert parts.lock(other)
    os.close(other)


def test_another_upload_that_comes_between_wins(directory, monkeypatch):
    """The change of locks is not one step: who lost says so and closes only what it opened."""
    fd = opened(directory)
    before = len(os.listdir("/proc/self/fd"))

    def taken(fd, how):
        raise BlockingIOError

    monkeypatch.setattr(parts.fcntl, "flock", taken)
    with pytest.raises(Busy):
        read_only(fd, directory, b"part")
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)


def test_a_part_that_may_not_be_read_is_published_all_the_same(directory, monkeypatch):
    """A mode without reading binds us as well, unless we are root."""
    fd = opened(directory)

    def refused(*args, **more):
        raise PermissionError

    monkeypatch.setattr(parts.os, "open", refused)
    assert read_only(fd, directory, b"part") == fd
    monkeypatch.undo()
    os.close(fd)


def test_a_commit_that_loses_its_lock_changes_nothing(tmp_path, monkeypatch):
    """The old file stays, and the part is whoever's came first."""
    storage = LocalStorage(tmp_path)
    (tmp_path / "a").write_bytes(b"old")
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"new")

    def lost(fd, directory, part):
        raise Busy(part)

    monkeypatch.setattr(local_upload, "read_only", lost)
    fails_with(Busy, upload.commit)
    assert get(storage, b"/a") == b"old"
    storage.close()


def test_no_second_upload_while_one_is_published(tmp_path, monkeypatch):
    """At the very moment of the rename the name is still busy for its owner."""
    storage = LocalStorage(tmp_path)
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"whole")
    tried = []
    rename = os.rename

    def between(*args, **more):
        tried.append(fails_with(Busy, lambda: storage.open_write(path_of(b"/a"), WriteIntent())))
        rename(*args, **more)

    monkeypatch.setattr(local_upload.os, "rename", between)
    upload.commit()
    assert len(tried) == 1
    assert (tmp_path / "a").read_bytes() == b"whole"
    storage.close()
