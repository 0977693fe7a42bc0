"""Small files of this machine, read in one go."""

import gc
import os

import pytest

from twisted_xfer.errors import IsADirectory, NotAFile, NotFound, PermissionDenied, StorageFailure
from twisted_xfer.protocols.xfer import disk_tree, sources
from twisted_xfer.protocols.xfer.attempts import Below
from twisted_xfer.protocols.xfer.choosing import Chosen
from twisted_xfer.protocols.xfer.disk_tree import DiskSource
from twisted_xfer.protocols.xfer.sources import DiskContent, PipeSource
from twisted_xfer.protocols.xfer.wire.paths import MAX_DEPTH


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "file"
    found.write_bytes(b"content")
    return os.fsencode(found)


@pytest.mark.parametrize(("size", "read"), [(7, 7), (8, 7), (6, 7), (5, 6), (0, 1)])
def test_the_whole_shows_whether_it_is_of_the_size(path, size, read):
    """One byte more than was expected is enough to know, and no more is read."""
    assert DiskContent(path).whole(size) == b"content"[:read]


def test_a_system_that_reads_less_than_it_could(path, monkeypatch):
    """It is asked again, until there is nothing more."""
    asked = []

    def read(fd, size):
        asked.append(size)
        return os_read(fd, min(size, 3))

    os_read = os.read
    monkeypatch.setattr(sources.os, "read", read)
    assert DiskContent(path).whole(7) == b"content"
    assert asked == [8, 5, 2]


@pytest.mark.parametrize("size", [0, 1])
def test_what_is_no_plain_file_is_not_read(tmp_path, size):
    """It may have become something else since it was looked at: a FIFO would be waited for."""
    os.mkfifo(tmp_path / "fifo")
    for name, error in (("gone", NotFound), ("fifo", NotAFile), (".", IsADirectory)):
        with pytest.raises(error):
            DiskContent(os.fsencode(tmp_path / name)).whole(size)


def test_a_disk_that_fails_leaves_nothing_open(path, monkeypatch):
    """The descriptor is closed, whatever the system says."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))

    def read(fd, size):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sources.os, "read", read)
    with pytest.raises(StorageFailure):
        DiskContent(path).whole(1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_stream_that_is_closed():
    """It fails as a disk does, with the system's word."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    offer = PipeSource(read, b"name").next()
    with pytest.raises(StorageFailure, match="Bad file descriptor"):
        offer.open()


def test_a_stream_that_keeps_its_reader_waiting():
    """Nothing yet is not the end; what is there, and the end, come at once."""
    read, write = os.pipe()
    file = PipeSource(read, b"name").next().open()
    os.close(read)
    assert file.read_soon(10) is None
    os.write(write, b"some")
    assert file.read_soon(3) == b"som"
    assert file.offset == 3
    os.close(write)
    assert file.read_soon(10) == b"e"
    assert file.read_soon(10) == b""
    file.close()


def test_a_stream_that_is_a_file(tmp_path):
    """A file has its end at once, as has what holds nothing."""
    for path, content in ((tmp_path / "file", b"some"), (os.devnull, b"")):
        (tmp_path / "file").write_bytes(b"some")
        with open(path, "rb") as stream:
            file = PipeSource(stream.fileno(), b"name").next().open()
        assert file.read_soon(10) == content
        assert file.read_soon(10) == b""
        file.close()


def test_a_directory_that_may_not_be_read(tmp_path, monkeypatch):
    """Is said to be so, as a file is; what is beside it is offered."""
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
    (tmp_path / "open/file").touch()

    def listdir(path):
        if path.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return os_listdir(path)

    os_listdir = os.listdir
    monkeypatch.setattr(disk_tree.os, "listdir", listdir)
    source = DiskSource([os.fsencode(tmp_path)], Chosen())
    found = {offer.path.partition(b"/")[2]: offer.problem for offer in iter(source.next, None)}
    assert isinstance(found.pop(b"closed"), PermissionDenied)
    assert found == dict.fromkeys((b"open", b"open/file", b""))


def test_a_path_that_is_too_deep_only_there(tmp_path):
    """Is told of by the name that it would have had."""
    deep = b"/".join([b"d"] * (MAX_DEPTH - 2))
    (tmp_path / os.fsdecode(deep)).mkdir(parents=True)
    (tmp_path / os.fsdecode(deep) / "file").touch()
    for path, problem in ((b"a/b", NotAFile), (b"a", type(None))):
        source = Below(DiskSource([os.fsencode(tmp_path / "d")]), path)
        first = source.next()
        assert (first.path, type(first.problem)) == (path + b"/" + deep + b"/file", problem)
        source.close()
