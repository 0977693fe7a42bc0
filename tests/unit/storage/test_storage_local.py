"""LocalStorage: what is peculiar to disks."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from twisted_xfer import errors
from twisted_xfer.interfaces import Expected, IBlocking, WriteIntent
from twisted_xfer.paths import MAX_NAME, ROOT
from twisted_xfer.storage import local_stage
from twisted_xfer.storage.digests import copy_prefix, file_digest, make_hasher
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.local_upload import numbered
from twisted_xfer.testing.storage_checks import entries, fails_with, get, path_of, put, put_part, value_of


@implementer(IBlocking)
class Later:
    """Keeps calls until they are let go, or refuses them."""

    def __init__(self) -> None:
        self.calls = []
        self.refuse = False

    def run(self, function, *args, pool="disk"):
        done = Deferred()
        if self.refuse:
            done.errback(errors.Busy("disk"))
        else:
            self.calls.append(lambda: maybeDeferred(function, *args).chainDeferred(done))
        return done


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


def test_in_place_ends(tmp_path):
    """suspend keeps what came, abort removes only what the upload created."""
    storage = LocalStorage(str(tmp_path), uploads="in-place")
    put_part(storage, b"/a", b"0123")
    assert get(storage, b"/a") == b"0123"
    put_part(storage, b"/empty", b"")
    upload = storage.open_write(path_of(b"/a"), WriteIntent(offset=2))
    upload.write(b"x")
    upload.abort()
    upload.abort()
    assert get(storage, b"/a") == b"01x"
    upload = storage.open_write(path_of(b"/new"), WriteIntent())
    upload.write(b"x")
    upload.abort()
    upload = storage.open_write(path_of(b"/moved"), WriteIntent())
    os.rename(tmp_path / "moved", tmp_path / "elsewhere")
    upload.abort()
    assert sorted(os.listdir(tmp_path)) == ["a", "elsewhere"]
    (tmp_path / ".a.0123456789abcdef.xpart").touch()
    assert sorted(entries(storage)) == [b"a", b"elsewhere"]


def test_in_place_meets_a_file_that_came_meanwhile(tmp_path, monkeypatch):
    """Overwrite takes it; refuse does not."""
    storage = LocalStorage(str(tmp_path), uploads="in-place")
    real = local_stage.choose_name

    def late(target, intent, settings):
        chosen = real(target, intent, settings)
        (tmp_path / "a").write_bytes(b"meanwhile")
        return chosen

    monkeypatch.setattr(local_stage, "choose_name", late)
    fails_with(
        errors.AlreadyExists, lambda: storage.open_write(path_of(b"/a"), WriteIntent(if_exists="refuse"))
    )
    os.unlink(tmp_path / "a")
    put(storage, b"/a", b"x")
    assert get(storage, b"/a") == b"x"


def test_publishing_without_hard_links(tmp_path, monkeypatch):
    """Where link(2) is not to be had, refuse and rename still never overwrite."""

    def no_links(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/a", b"one", WriteIntent(if_exists="refuse"))
    upload = storage.open_write(path_of(b"/b"), WriteIntent(if_exists="refuse"))
    (tmp_path / "b").write_bytes(b"other")
    fails_with(errors.AlreadyExists, upload.commit)
    assert put(storage, b"/a", b"two", WriteIntent(if_exists="rename")).name == b"a (1)"
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {
        "a": b"one",
        "a (1)": b"two",
        "b": b"other",
    }


def test_unique_names_are_bounded(tmp_path):
    """A source of names that repeats itself ends in AlreadyExists."""
    calls = []

    def zeros(size):
        calls.append(size)
        return bytes(size)

    storage = LocalStorage(str(tmp_path), random=zeros)
    assert put(storage, b"/a", b"", WriteIntent(unique=True)).name == b"a.0000000000000000"
    calls.clear()
    fails_with(errors.AlreadyExists, lambda: storage.open_write(path_of(b"/a"), WriteIntent(unique=True)))
    assert calls == [8] * 8
    long = put(LocalStorage(str(tmp_path)), b"/" + b"n" * MAX_NAME, b"", WriteIntent(unique=True))
    assert len(long.name) == MAX_NAME


@pytest.mark.parametrize(
    ("name", "number", "wanted"),
    [
        (b"a.txt", 1, b"a (1).txt"),
        (b"a", 12, b"a (12)"),
        (b".profile", 1, b".profile (1)"),
        (b"a.tar.gz", 1, b"a.tar (1).gz"),
        (b"a." + b"x" * 17, 1, b"a." + b"x" * 17 + b" (1)"),
        (b"n" * MAX_NAME, 1, b"n" * (MAX_NAME - 4) + b" (1)"),
    ],
)
def test_numbered(name, number, wanted):
    """The number goes before the extension and the whole stays a name."""
    assert numbered(name, number) == wanted


def test_heavy_commits_go_to_the_pool(tmp_path):
    """With digests or fsync commit waits for a thread; meanwhile abort and suspend change nothing."""
    pool = Later()
    storage = LocalStorage(str(tmp_path), blocking=pool)
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"abc")
    answer = upload.commit(Expected(digest=("md5", bytes.fromhex("900150983cd24fb0d6963f7d28e17f72"))))
    upload.abort()
    upload.suspend()
    fails_with(errors.StorageFailure, upload.commit)
    assert os.listdir(tmp_path) != ["a"]
    pool.calls.pop()()
    assert value_of(answer).size == 3
    assert os.listdir(tmp_path) == ["a"]
    assert not isinstance(storage.open_write(path_of(b"/b"), WriteIntent()).commit(), Deferred)


def test_a_pool_that_is_full(tmp_path):
    """Busy: the part stays for the owner and nothing stays open."""
    pool = Later()
    storage = LocalStorage(str(tmp_path), blocking=pool, fsync=True)
    before = descriptors()
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"abc")
    pool.refuse = True
    fails_with(errors.Busy, upload.commit)
    assert descriptors() == before
    assert storage.stat(path_of(b"/a")).size == 3


def test_large_prefixes_go_to_the_pool(tmp_path, monkeypatch):
    """At COPY_AT_ONCE the copy is made at once, one byte more waits for a thread."""
    monkeypatch.setattr(local_stage, "COPY_AT_ONCE", 10)
    pool = Later()
    storage = LocalStorage(str(tmp_path), blocking=pool)
    put(storage, b"/a", b"0123456789A")
    upload = storage.open_write(path_of(b"/a"), WriteIntent(offset=10))
    assert upload.offset == 10
    upload.abort()
    answer = storage.open_write(path_of(b"/a"), WriteIntent(append=True))
    assert isinstance(answer, Deferred)
    pool.calls.pop()()
    upload = value_of(answer)
    upload.write(b"B")
    upload.commit()
    assert get(storage, b"/a") == b"0123456789AB"


@pytest.mark.parametrize("code", [None, errno.EXDEV])
def test_copy_prefix(tmp_path, monkeypatch, code):
    """By the kernel or by hand, exactly the prefix; a source that is too short is told."""
    if code is not None:

        def unable(*_):
            raise OSError(code, "no")

        monkeypatch.setattr(os, "copy_file_range", unable)
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb") as source, open(tmp_path / "b", "w+b") as target:
        copy_prefix(source.fileno(), target.fileno(), 7)
        assert os.pread(target.fileno(), 99, 0) == b"0123456"
        with pytest.raises(errors.SourceChanged):
            copy_prefix(source.fileno(), target.fileno(), 11)


def test_digests(tmp_path):
    """blake3 and hashlib's; of the first bytes only; unknown and variable ones are Unsupported."""
    (tmp_path / "a").write_bytes(b"abcd")
    with open(tmp_path / "a", "rb") as file:
        assert file_digest(file.fileno(), "md5", 3).hex() == "900150983cd24fb0d6963f7d28e17f72"
        blake = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        assert file_digest(file.fileno(), "blake3", 3).hex() == blake
        assert file_digest(file.fileno(), "md5", 99) == file_digest(file.fileno(), "md5", 4)
    for name in ("nonsense", "shake_128"):
        with pytest.raises(errors.Unsupported):
            make_hasher(name)


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
