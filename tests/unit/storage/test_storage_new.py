"""Small new files stored at once: exactly what an upload would have made of them, or nothing at all."""

import fcntl
import os

import pytest
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import Expected, IStoresNew, NewFile, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage import local_new, take_name
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.parts import part_name
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.storage_checks import get, put, put_part

TIME = 1_234_567_890_123_456_789


def new(path, data=b"content", mode=0o640, mtime_ns=TIME):
    return NewFile(VirtualPath.parse(path), data, mode, mtime_ns)


def part(root, name, owner=b"alice"):
    return root / os.fsdecode(part_name(owner, name))


def files(root):
    """Everything that there is, and what is in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "home"
    (home / "a/b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return home


@pytest.fixture
def storage(root):
    return LocalStorage(root, owner="alice")


def test_who_offers_it():
    """Only what answers at once."""
    storage = LocalStorage("/")
    verifyObject(IStoresNew, storage)
    assert not IStoresNew.providedBy(ThreadedStorage(storage, InlineBlocking()))
    assert not IStoresNew.providedBy(MemoryStorage(lambda: 0.0))


def test_files_of_several_directories(storage, root):
    """All of them, in their order, and nothing beside them."""
    before = len(os.listdir("/proc/self/fd"))
    wanted = {"one": b"1", "a/two": b"", "a/b/three": b"3" * 65536, "a/four": b"4", "five": b"5"}
    assert storage.store_new([new(name.encode(), data) for name, data in wanted.items()]) == 5
    assert files(root) == wanted
    assert len(os.listdir("/proc/self/fd")) == before
    assert storage.store_new([]) == 0


@pytest.mark.parametrize("umask", [None, 0, 0o027, 0o777])
@pytest.mark.parametrize("mode", [None, 0, 0o444, 0o600, 0o755])
@pytest.mark.parametrize("mtime_ns", [None, TIME, -1])
def test_what_an_upload_makes_of_it(root, umask, mode, mtime_ns):
    """The same mode, time and content, whatever was asked for."""
    storage = LocalStorage(root, umask=umask, owner="alice")
    upload = storage.open_write(VirtualPath((b"slow",)), WriteIntent(size=7, if_exists="refuse"))
    upload.write(b"content")
    upload.commit(Expected(size=7, mtime_ns=mtime_ns, mode=mode))
    assert storage.store_new([new(b"quick", mode=mode, mtime_ns=mtime_ns)]) == 1
    slow, quick = (root / "slow").stat(), (root / "quick").stat()
    assert (slow.st_mode, slow.st_size) == (quick.st_mode, quick.st_size)
    if mtime_ns is not None:
        assert slow.st_mtime_ns == quick.st_mtime_ns == mtime_ns
        assert slow.st_atime_ns == quick.st_atime_ns == mtime_ns
    assert len(files(root)) == 2


def test_the_bits_that_are_refused_of_an_upload(storage, root):
    """Set-uid and its like never come with a file."""
    assert storage.store_new([new(b"f", mode=0o7755)]) == 1
    assert (root / "f").stat().st_mode & 0o7777 == 0o755


def _taken_by_file(root):
    (root / "a/x").write_bytes(b"old")


def _taken_by_directory(root):
    (root / "a/x").mkdir()


def _taken_by_link(root):
    (root / "a/x").symlink_to("../elsewhere")


def _directory_missing(root):
    (root / "a/b").rmdir()
    (root / "a").rmdir()


def _directory_is_a_file(root):
    _directory_missing(root)
    (root / "a").write_bytes(b"file")


def _directory_leads_out(root):
    _directory_missing(root)
    (root / "a").symlink_to("../outside")


@pytest.mark.parametrize(
    "prepare",
    [
        _taken_by_file, _taken_by_directory, _taken_by_link, _directory_missing, _directory_is_a_file,
        _directory_leads_out,
    ],
)  # fmt: skip
def test_it_ends_before_what_is_not_so_simple(storage, root, prepare):
    """Those before it are there; of it, and of those behind it, there is no trace."""
    prepare(root)
    before = sorted(root.parent.rglob("*")), files(root)
    assert storage.store_new([new(b"first"), new(b"a/x"), new(b"last")]) == 1
    assert (root / "first").read_bytes() == b"content"
    (root / "first").unlink()
    assert (sorted(root.parent.rglob("*")), files(root)) == before


@pytest.mark.parametrize(
    "path", [b"/", b".x." + b"0" * 16 + b".xpart", b"a/.x." + b"0" * 16 + b".xpart", b"a/x\xff" + b"y" * 254]
)
def test_names_that_no_file_may_have(storage, root, path):
    """The root, a part's name, one that is too long: as good as taken."""
    name = VirtualPath(tuple(piece for piece in path.split(b"/") if piece))
    assert storage.store_new([NewFile(name, b"content")]) == 0
    assert files(root) == {}


@pytest.mark.parametrize(("symlinks", "count"), [("inside", 1), ("none", 0), ("follow", 1)])
def test_a_directory_behind_a_link(root, symlinks, count):
    """By the storage's policy, as ever."""
    (root / "link").symlink_to("a/b")
    storage = LocalStorage(root, symlinks=symlinks)
    assert storage.store_new([new(b"link/x")]) == count
    assert files(root) == ({"a/b/x": b"content"} if count else {})


def test_a_part_that_is_kept(storage, root):
    """It stays what it is, and is still gone on with; another owner's is in nobody's way."""
    put_part(storage, b"/x", b"begun")
    assert storage.store_new([new(b"x")]) == 0
    assert part(root, b"x").read_bytes() == b"begun"
    assert storage.open_write(VirtualPath((b"x",)), WriteIntent(append=True)).offset == 5
    assert storage.view(str(root), owner="bob").store_new([new(b"x")]) == 1
    assert files(root) == {"x": b"content", part(root, b"x").name: b"begun"}


def test_an_upload_under_way(storage, root):
    """It has the name until its end."""
    upload = storage.open_write(VirtualPath((b"x",)), WriteIntent())
    assert storage.store_new([new(b"x")]) == 0
    upload.write(b"mine")
    upload.commit()
    assert files(root) == {"x": b"mine"}


@pytest.mark.parametrize("options", [{"uploads": "in-place"}, {"fsync": True}])
def test_storages_whose_uploads_are_of_another_kind(root, options):
    """Not staged, or to be on the disk first."""
    assert LocalStorage(root, **options).store_new([new(b"x")]) == 0
    assert files(root) == {}


def test_a_storage_that_is_closed(storage, root):
    """None."""
    storage.close()
    assert storage.store_new([new(b"x")]) == 0


@pytest.mark.parametrize("mtime_ns", [2**100, -(2**100)])
def test_a_time_that_the_disk_cannot_say(storage, root, mtime_ns):
    """Found when all is written: nothing stays."""
    assert storage.store_new([new(b"x", mtime_ns=mtime_ns)]) == 0
    assert files(root) == {}


def test_a_disk_that_takes_only_some(storage, root, monkeypatch):
    """A short write is none."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    assert storage.store_new([new(b"x")]) == 0
    assert files(root) == {}


@pytest.mark.parametrize("step", ["lock", "take_name"])
def test_a_step_that_fails(storage, root, monkeypatch, step):
    """A locking daemon that is away, a disk that breaks: it does not count, and where we had the lock nothing stays."""

    def fail(*args):
        raise OSError(5, "broken")

    monkeypatch.setattr(local_new, step, fail)
    assert storage.store_new([new(b"x")]) == 0
    monkeypatch.undo()
    put(storage, b"/x", b"the long way")
    assert files(root) == {"x": b"the long way"}


def test_names_that_are_taken_come_in_rows(storage, root, monkeypatch):
    """Publishing finds the first; behind it each is looked at before anything is written, until one is free."""
    opened = []
    os_open = os.open

    def noted(path, *args, **more):
        opened.append(path)
        return os_open(path, *args, **more)

    for name in ("x", "y", "z"):
        (root / "a" / name).write_bytes(b"first")
    monkeypatch.setattr(os, "open", noted)
    parts = []
    for name in (b"a/x", b"a/y", b"free", b"a/z", b"other"):
        stored = storage.store_new([new(name)])
        parts.append((stored, sum(part.endswith(b".xpart") for part in opened)))
        opened.clear()
    # Two descriptors of a part where one is made.
    assert parts == [(0, 2), (0, 0), (1, 2), (0, 2), (1, 2)]
    old = dict.fromkeys(("a/x", "a/y", "a/z"), b"first")
    assert files(root) == {**old, "free": b"content", "other": b"content"}


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
@pytest.mark.parametrize("looked", [False, True])
def test_whatever_has_the_name_keeps_it(storage, root, kind, looked):
    """Found before the part is made, or when it is to be published."""
    if looked:
        (root / "taken").write_bytes(b"")
        assert storage.store_new([new(b"taken")]) == 0
        (root / "taken").unlink()
    path = root / "x"
    {"file": path.touch, "directory": path.mkdir, "link": lambda: path.symlink_to("nowhere")}[kind]()
    before = path.lstat()
    assert storage.store_new([new(b"x")]) == 0
    assert os.path.samestat(before, path.lstat())
    assert sorted(os.listdir(root)) == ["a", "x"]


def test_systems_that_cannot_rename_to_a_free_name(storage, root, monkeypatch):
    """By a link, as an upload."""
    monkeypatch.setattr(take_name, "_call", None)
    (root / "taken").touch()
    assert storage.store_new([new(b"x"), new(b"taken")]) == 1
    assert files(root) == {"x": b"content", "taken": b""}
    assert (root / "x").stat().st_nlink == 1


# --- another upload of the same owner finds the part before we have locked it ----------------------


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something happen between making the part and locking it."""
    lock = local_new.lock

    def arrange(happens):
        monkeypatch.setattr(local_new, "lock", lambda fd: (happens(), lock(fd))[1])

    return arrange


def test_it_has_it_locked(storage, root, meanwhile):
    """The part is the upload's now."""
    theirs = []

    def take():
        theirs.append(os.open(part(root, b"x"), os.O_RDWR))
        fcntl.flock(theirs[0], fcntl.LOCK_EX)
        os.write(theirs[0], b"theirs")

    meanwhile(take)
    assert storage.store_new([new(b"x")]) == 0
    assert files(root) == {part(root, b"x").name: b"theirs"}
    os.close(theirs[0])


def test_it_has_published_it(storage, root, meanwhile):
    """An empty file of the same name, which stays empty."""
    meanwhile(lambda: os.rename(part(root, b"x"), root / "x"))
    assert storage.store_new([new(b"x")]) == 0
    assert files(root) == {"x": b""}


def test_it_has_published_it_and_the_next_one_has_begun(storage, root, meanwhile):
    """The part of this name is another file: not a byte goes there, and it stays."""

    def replace():
        os.rename(part(root, b"x"), root / "x")
        part(root, b"x").write_bytes(b"next")

    meanwhile(replace)
    assert storage.store_new([new(b"x")]) == 0
    assert files(root) == {"x": b"", part(root, b"x").name: b"next"}


def test_it_has_dropped_it(storage, root, meanwhile):
    """There is nothing to write to."""
    meanwhile(lambda: os.unlink(part(root, b"x")))
    assert storage.store_new([new(b"x")]) == 0
    assert files(root) == {}


def test_it_is_read_back(storage):
    """By the storage itself."""
    assert storage.store_new([new(b"a/x")]) == 1
    assert get(storage, b"/a/x") == b"content"
    assert storage.stat(VirtualPath((b"a", b"x"))).mtime_ns == TIME
