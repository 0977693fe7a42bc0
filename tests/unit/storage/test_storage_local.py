"""LocalStorage: what is peculiar to disks."""

from __future__ import annotations

import errno
import os
import stat

from twisted_xfer import errors
from twisted_xfer.interfaces import Expected, WriteIntent
from twisted_xfer.paths import MAX_NAME, ROOT
from twisted_xfer.storage import local_tree as storage_tree
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.storage_checks import entries, fails_with, get, path_of, put, put_part


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_root_that_is_missing_or_a_file(tmp_path):
    """The constructor says so."""
    (tmp_path / "file").touch()
    fails_with(errors.NotFound, lambda: LocalStorage(str(tmp_path / "none")))
    fails_with(errors.NotADirectory, lambda: LocalStorage(str(tmp_path / "file")))


def test_views_of_one_home_share_a_descriptor(tmp_path):
    """A login costs no descriptor when the home is open already, and the last logout closes it."""
    storage = LocalStorage(str(tmp_path))
    start = descriptors()
    first = storage.view("home", owner="a", create=True)
    assert descriptors() == start + 1
    second = storage.view(str(tmp_path / "home"), owner="b")
    nested = second.view(".", owner="c")
    assert descriptors() == start + 1
    first.close()
    second.close()
    put(nested, b"/x", b"x")
    nested.close()
    assert descriptors() == start
    storage.close()


def test_a_home_that_was_replaced_is_opened_anew(tmp_path):
    """A new directory under the same path is the one that the next login sees."""
    storage = LocalStorage(str(tmp_path))
    first = storage.view("home", owner="a", create=True)
    os.rename(tmp_path / "home", tmp_path / "old")
    second = storage.view("home", owner="a", create=True)
    put(second, b"/new", b"")
    assert (sorted(entries(first)), sorted(entries(second))) == ([], [b"new"])


def test_modes_of_homes(tmp_path):
    """The home gets exactly its mode, what is missing above it the usual one; a file in the way is told."""
    storage = LocalStorage(str(tmp_path), home_mode=0o755)
    storage.view("a/b/home", owner="x", create=True)
    assert stat.S_IMODE(os.stat(tmp_path / "a/b/home").st_mode) == 0o755
    LocalStorage(str(tmp_path)).view("private", owner="x", create=True)
    assert stat.S_IMODE(os.stat(tmp_path / "private").st_mode) == 0o700
    (tmp_path / "file").touch()
    fails_with(errors.NotADirectory, lambda: storage.view("file", owner="x", create=True))
    fails_with(errors.NotADirectory, lambda: storage.view("file/x", owner="x", create=True))
    fails_with(errors.StorageFailure, lambda: storage.view("nul\0", owner="x", create=True))


def test_a_closed_storage_answers_no_more(tmp_path):
    """After close() every operation fails; an open listing goes on."""
    storage = LocalStorage(str(tmp_path))
    (tmp_path / "f").touch()
    listing = storage.list(ROOT)
    storage.close()
    fails_with(errors.StorageFailure, lambda: storage.stat(ROOT))
    fails_with(errors.StorageFailure, lambda: storage.open_write(path_of(b"/a"), WriteIntent()))
    assert [info.name for info in listing.next_batch()] == [b"f"]


def test_umask(tmp_path):
    """An explicit umask holds for files and directories whatever the process's is."""
    old = os.umask(0o077)
    try:
        storage = LocalStorage(str(tmp_path), umask=0o002)
        put(storage, b"/f", b"")
        storage.make_directory(path_of(b"/d"))
        plain = LocalStorage(str(tmp_path))
        put(plain, b"/g", b"")
        in_place = LocalStorage(str(tmp_path), umask=0o002, uploads="in-place")
        put(in_place, b"/h", b"")
    finally:
        os.umask(old)
    modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("f", "d", "g", "h")}
    assert modes == {"f": 0o664, "d": 0o775, "g": 0o600, "h": 0o664}


def test_a_replaced_file_keeps_its_mode(tmp_path):
    """The permission bits of the old file, never its special bits, unless the peer asks otherwise."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/a", b"old")
    os.chmod(tmp_path / "a", 0o4751)
    assert put(storage, b"/a", b"new").mode == 0o751
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    assert upload.commit(Expected(mode=0o4600)).mode == 0o600


def test_file_descriptors_stand_where_the_bytes_go_on(tmp_path):
    """fileno() after write, advance and a kernel write; -1 once closed."""
    storage = LocalStorage(str(tmp_path))
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"ab")
    fd = upload.fileno()
    assert os.write(fd, b"cd") == 2
    upload.advance(2)
    upload.write(b"ef")
    os.pwrite(fd, b"gh", 6)
    upload.advance(2)
    upload.write(b"i")
    assert os.lseek(upload.fileno(), 0, os.SEEK_CUR) == 9
    assert upload.commit(Expected(size=9)).size == 9
    assert upload.fileno() == -1
    fails_with(errors.StorageFailure, upload.commit)
    file = storage.open_read(path_of(b"/a"), 2)
    assert os.read(file.fileno(), 2) == b"cd"
    file.advance(2)
    assert file.read(9) == b"efghi"
    file.close()
    assert file.fileno() == -1
    fails_with(errors.StorageFailure, lambda: file.read(1))


def test_writing_to_a_closed_upload_fails(tmp_path):
    """Nothing is written to a descriptor that may belong to somebody else by now."""
    storage = LocalStorage(str(tmp_path))
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.abort()
    fails_with(errors.StorageFailure, lambda: upload.write(b"x"))


def test_listing_while_the_directory_changes(tmp_path):
    """Entries that vanish are left out; after the end and after close there is nothing."""
    for number in range(4):
        (tmp_path / f"f{number}").touch()
    storage = LocalStorage(str(tmp_path))
    listing = storage.list(ROOT)
    first = listing.next_batch(1)
    for number in range(4):
        os.unlink(tmp_path / f"f{number}")
    assert len(first) == 1
    assert listing.next_batch(10) == []
    assert listing.next_batch(10) == []
    listing = storage.list(ROOT)
    listing.close()
    assert listing.next_batch() == []


def test_times_out_of_range(tmp_path):
    """A time that no file can have is an error, not a traceback."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/a", b"")
    fails_with(errors.StorageFailure, lambda: storage.set_times(path_of(b"/a"), 2**100))
    upload = storage.open_write(path_of(b"/b"), WriteIntent())
    fails_with(errors.StorageFailure, lambda: upload.commit(Expected(mtime_ns=2**100)))


def test_owner_drops_a_part_but_not_a_running_upload(tmp_path):
    """remove() of a file whose new version is being uploaded takes the file and leaves the upload."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/a", b"old")
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"new")
    storage.remove(path_of(b"/a"))
    upload.commit()
    assert get(storage, b"/a") == b"new"


def test_names_whose_part_is_cut_are_found_by_name(tmp_path):
    """A very long name's part is not listed, but the owner who asks for it sees it."""
    storage = LocalStorage(str(tmp_path))
    name = b"/" + b"n" * MAX_NAME
    put_part(storage, name, b"part")
    assert entries(storage) == {}
    assert storage.stat(path_of(name)).size == 4


def test_a_link_swapped_in_after_resolving_is_refused(tmp_path, monkeypatch):
    """stat, chmod and open do not follow what the walk did not see."""
    os.symlink("f", tmp_path / "link")
    (tmp_path / "f").touch()
    storage = LocalStorage(str(tmp_path))
    monkeypatch.setattr(storage_tree, "walk", lambda root, parts, policy, follow: (root, parts[-1]))
    for call in (
        lambda: storage.stat(path_of(b"/link")),
        lambda: storage.set_mode(path_of(b"/link"), 0o777),
        lambda: storage.open_read(path_of(b"/link")),
        lambda: storage.open_write(path_of(b"/link"), WriteIntent()),
    ):
        fails_with(errors.ForbiddenPath, call)
    storage.set_times(path_of(b"/link"), 5_000_000_000)
    assert os.stat(tmp_path / "f").st_mtime != 5


def test_modes_of_devices_are_refused(tmp_path):
    """Only files and directories have permissions to change."""
    os.mkfifo(tmp_path / "fifo")
    fails_with(errors.NotAFile, lambda: LocalStorage(str(tmp_path)).set_mode(path_of(b"/fifo"), 0o777))


def test_the_root_is_not_a_file():
    """remove() of the root says so."""
    fails_with(errors.IsADirectory, lambda: LocalStorage("/").remove(ROOT))


def test_entries_and_links_that_vanish_under_a_listing(tmp_path, monkeypatch):
    """A link whose text cannot be read any more shows without it; a failing disk ends the listing."""
    os.symlink("nowhere", tmp_path / "link")
    storage = LocalStorage(str(tmp_path))

    def gone(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with monkeypatch.context() as patch:
        patch.setattr(os, "readlink", gone)
        assert entries(storage)[b"link"].target == b""
    before = descriptors()
    listing = storage.list(ROOT)
    listing._iterator = iter_failing()
    fails_with(errors.StorageFailure, listing.next_batch)
    assert descriptors() == before


def iter_failing():
    raise OSError(errno.EIO, "Input/output error")
    yield


def test_a_listing_that_cannot_begin_leaves_no_descriptor(tmp_path, monkeypatch):
    """As when memory is short."""
    storage = LocalStorage(str(tmp_path))
    before = descriptors()

    def failing(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing)
        fails_with(errors.StorageFailure, lambda: storage.list(ROOT))
    assert descriptors() == before


def test_directories_that_can_be_entered(tmp_path):
    """Links are followed by policy, as they are for a look; what is no directory is none."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/file", b"x")
    os.makedirs(tmp_path / "in/side")
    os.symlink("in", tmp_path / "link")
    os.symlink("/etc", tmp_path / "out")
    before = descriptors()
    for path in (ROOT, path_of(b"/in"), path_of(b"/link"), path_of(b"/link/side")):
        assert storage.enter(path) == storage.stat(path)
    for raw, error in (
        (b"/none", errors.NotFound),
        (b"/out", errors.NotFound),
        (b"/file", errors.NotADirectory),
    ):
        fails_with(error, lambda raw=raw: storage.enter(path_of(raw)))
    assert descriptors() == before
    storage.close()
    with_none = LocalStorage(str(tmp_path), symlinks="none")
    fails_with(errors.ForbiddenPath, lambda: with_none.enter(path_of(b"/link")))
    with_none.close()


def test_room_is_what_the_file_system_has_free(tmp_path):
    """Asked of the directory itself; for what is none, as list() does."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/file", b"x")
    os.mkdir(tmp_path / "in")
    disk = os.statvfs(tmp_path)
    for path in (ROOT, path_of(b"/in")):
        assert 0 < storage.room(path) <= disk.f_blocks * disk.f_frsize
    fails_with(errors.NotFound, lambda: storage.room(path_of(b"/none")))
    fails_with(errors.NotADirectory, lambda: storage.room(path_of(b"/file")))
    fails_with(errors.ForbiddenPath, lambda: _room_outside(storage, tmp_path))
    storage.close()


def _room_outside(storage, tmp_path):
    os.symlink("/", tmp_path / "out")
    confined = LocalStorage(str(tmp_path), symlinks="none")
    try:
        return confined.room(path_of(b"/out"))
    finally:
        confined.close()
