"""Uploads on a local disk: in place, published without links, and finished in threads."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from twisted_xfer import errors
from twisted_xfer.interfaces import Expected, IBlocking, WriteIntent
from twisted_xfer.paths import MAX_NAME
from twisted_xfer.storage import local_stage, take_name
from twisted_xfer.storage.count import count_tree
from twisted_xfer.storage.digests import copy_prefix, file_digest, make_hasher
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.local_upload import MAX_EXTENSION, numbered
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


@pytest.mark.parametrize("links", [True, False])
def test_publishing_without_a_rename_to_free_names(tmp_path, monkeypatch, links):
    """Where neither it nor link(2) is to be had, refuse and rename still never overwrite."""

    def no_links(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(take_name, "_call", None)
    if not links:
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
        (b"a." + b"x" * MAX_EXTENSION, 1, b"a (1)." + b"x" * MAX_EXTENSION),
        (b"a." + b"x" * (MAX_EXTENSION + 1), 1, b"a." + b"x" * (MAX_EXTENSION + 1) + b" (1)"),
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


def test_an_unlink_that_fails_is_told(tmp_path, monkeypatch):
    """abort() closes the descriptor all the same."""
    before = None
    for uploads in ("staged", "in-place"):
        storage = LocalStorage(str(tmp_path), uploads=uploads)
        before = descriptors()
        upload = storage.open_write(path_of(b"/a"), WriteIntent())

        def failing(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", failing)
            fails_with(errors.ReadOnly, upload.abort)
        assert descriptors() == before
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)


def test_in_place_says_what_stays_and_what_was_there(tmp_path):
    """Quota needs both: the size before, and the bytes that a broken upload leaves under the name."""
    storage = LocalStorage(tmp_path, uploads="in-place")
    (tmp_path / "old").write_bytes(b"0123456789")
    for name, intent, data, end, replaced, kept in [
        (b"/old", WriteIntent(), b"abc", "suspend", 10, 3),
        (b"/old", WriteIntent(append=True), b"de", "abort", 3, 5),
        (b"/new", WriteIntent(), b"abc", "suspend", None, 3),
        (b"/newer", WriteIntent(), b"abc", "abort", None, None),
        (b"/empty", WriteIntent(), b"", "suspend", None, None),
    ]:
        path = path_of(name)
        upload = storage.open_write(path, intent)
        if data:
            upload.write(data)
        getattr(upload, end)()
        assert (upload.replaced, upload.kept) == (replaced, kept), (name, end)
        assert storage.published(path) == kept
    storage.close()


def test_a_link_counts_for_itself_or_for_its_target(tmp_path):
    """Who writes through a link replaces its target; who removes it removes no byte."""
    storage = LocalStorage(tmp_path)
    (tmp_path / "a").write_bytes(b"0123")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "lost").symlink_to("nowhere")
    link, lost = path_of(b"/link"), path_of(b"/lost")
    assert (storage.published(link), storage.published(link, follow=False)) == (4, 0)
    assert (storage.published(lost), storage.published(lost, follow=False)) == (None, 0)
    storage.close()


def test_counting_follows_no_link_and_knows_its_bound(tmp_path):
    """A link is a file of no bytes, a loop is no loop, and more entries than allowed are told."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"0123")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "link").symlink_to("d/file")
    os.mkfifo(tmp_path / "pipe")
    before = descriptors()
    storage = LocalStorage(tmp_path)
    assert storage.count(path_of(b"/")) == (4, 4)
    assert storage.count(path_of(b"/link")) == (0, 1)
    storage.close()
    fd = os.open(tmp_path, os.O_RDONLY)
    assert count_tree(fd, 5) == (4, 4)
    with pytest.raises(errors.StorageFailure):
        count_tree(fd, 4)
    os.close(fd)
    assert descriptors() == before


def test_a_part_that_is_published_already_is_not_gone_on_with(tmp_path):
    """A daemon killed between link and unlink leaves two names of one file: the final one stays as it is."""
    storage = LocalStorage(str(tmp_path), owner="alice")
    put_part(storage, b"/a", b"published")
    (part,) = tmp_path.glob(".a.*.xpart")
    os.link(part, tmp_path / "a")
    upload = storage.open_write(path_of(b"/a"), WriteIntent(if_exists="rename"))
    upload.write(b"next")
    assert (tmp_path / "a").read_bytes() == b"published"
    upload.commit()
    assert (tmp_path / "a (1)").read_bytes() == b"next"
    assert (tmp_path / "a").read_bytes() == b"published"
    assert list(tmp_path.glob(".*")) == []


def test_a_part_that_is_published_already_is_nobodys_file(tmp_path):
    """Moved away since, it does not come back as something to resume."""
    storage = LocalStorage(str(tmp_path), owner="alice")
    put_part(storage, b"/a", b"published")
    (part,) = tmp_path.glob(".a.*.xpart")
    os.link(part, tmp_path / "b")
    fails_with(errors.NotFound, lambda: storage.stat(path_of(b"/a")))
    assert b"a" not in entries(storage)


@pytest.mark.parametrize("policy", ["refuse", "rename"])
def test_a_free_name_is_taken_by_one_rename(tmp_path, monkeypatch, policy):
    """At no moment is there a link, so that a kill leaves the part or the file and watchers see a rename."""
    storage = LocalStorage(str(tmp_path), owner="alice")
    monkeypatch.setattr(os, "link", None)
    upload = storage.open_write(path_of(b"/a"), WriteIntent(if_exists=policy))
    upload.write(b"x")
    upload.commit()
    assert (tmp_path / "a").read_bytes() == b"x"
    late = storage.open_write(path_of(b"/b"), WriteIntent(if_exists=policy))
    late.write(b"late")
    (tmp_path / "b").write_bytes(b"first")
    if policy == "refuse":
        fails_with(errors.AlreadyExists, late.commit)
    else:
        late.commit()
        assert (tmp_path / "b (1)").read_bytes() == b"late"
    assert (tmp_path / "b").read_bytes() == b"first"
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_cannot_be_published_is_not_left_empty(tmp_path, monkeypatch, links):
    """Another error than that it is taken is told, and nothing stays under the name."""
    monkeypatch.setattr(take_name, "_call", None)

    def failing(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    def no_links(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    storage = LocalStorage(str(tmp_path))
    upload = storage.open_write(path_of(b"/a"), WriteIntent(if_exists="refuse"))
    upload.write(b"x")
    monkeypatch.setattr(os, "link", failing if links else no_links)
    monkeypatch.setattr(os, "rename", failing)
    fails_with(errors.StorageFailure, upload.commit)
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == []


def test_systems_that_do_not_know_the_flag_are_told_from_errors(tmp_path, monkeypatch):
    """EINVAL leads to the other way, ENOENT to the caller."""
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        for code, wanted in [(errno.EINVAL, False), (errno.ENOENT, FileNotFoundError)]:

            def answer(*_, code=code):
                ctypes.set_errno(code)
                return -1

            monkeypatch.setattr(take_name, "_call", answer)
            if wanted is False:
                assert take_name.rename_to_free(directory, b"a", b"b") is False
            else:
                with pytest.raises(wanted):
                    take_name.rename_to_free(directory, b"a", b"b")
    finally:
        os.close(directory)


def test_a_file_that_is_written_in_place_keeps_its_name(tmp_path):
    """Not removed, moved or replaced by a move until its upload has ended; then it is."""
    storage = LocalStorage(str(tmp_path), uploads="in-place")
    put(storage, b"/other", b"other")
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"half")
    for call in (
        lambda: storage.remove(path_of(b"/a")),
        lambda: storage.rename(path_of(b"/a"), path_of(b"/b")),
        lambda: storage.rename(path_of(b"/other"), path_of(b"/a")),
    ):
        fails_with(errors.Busy, call)
    assert sorted(entries(storage)) == [b"a", b"other"]
    upload.commit()
    storage.rename(path_of(b"/other"), path_of(b"/a"))
    storage.rename(path_of(b"/a"), path_of(b"/b"))
    storage.remove(path_of(b"/b"))
    assert entries(storage) == {}
    fails_with(errors.NotFound, lambda: storage.remove(path_of(b"/b")))
    os.mkfifo(tmp_path / "fifo")
    storage.remove(path_of(b"/fifo"))
