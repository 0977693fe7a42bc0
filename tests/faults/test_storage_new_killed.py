"""A process that dies at any step of storing small files at once."""

import os
import resource
import shutil
import signal
import sys
import tempfile

import pytest
from forked import DONE, in_child

from twisted_xfer.interfaces import NewFile
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.parts import is_part_name
from twisted_xfer.testing.storage_checks import put

NAMES = [b"d/one", b"d/two"]
DATA = {b"d/one": b"1" * 5000, b"d/two": b"2" * 7000}
#: Far more than the steps that there are.
MAX_STEPS = 1000
KILLED = 9


@pytest.fixture
def root():
    path = tempfile.mkdtemp(prefix="xfer-faults-")
    os.mkdir(f"{path}/d")
    yield path
    shutil.rmtree(path)


def files():
    return [NewFile(VirtualPath(tuple(name.split(b"/"))), DATA[name], 0o640, 10**18) for name in NAMES]


def store_until(root, step):
    """Store all, and die when so many calls into the system were begun or have ended."""
    storage = LocalStorage(root, owner="alice", umask=0)
    wanted = files()
    left = step

    def count(_frame, event, _argument):
        nonlocal left
        if event in {"c_call", "c_return"}:
            left -= 1
            if not left:
                os._exit(KILLED)

    sys.setprofile(count)
    stored = storage.store_new(wanted)
    sys.setprofile(None)
    assert stored == len(wanted)


def test_killed_at_any_step(root):
    """What has its final name is whole, time and mode too; what is left besides is gone when they are sent again."""
    killed = leftovers = 0
    for step in range(1, MAX_STEPS):
        end = in_child(lambda step=step: store_until(root, step))
        assert end in {DONE, KILLED}
        there = {name: os.path.join(root.encode(), name) for name in NAMES}
        for name, path in there.items():
            if os.path.exists(path):
                status = os.stat(path)
                assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o640, 10**18)
                with open(path, "rb") as stream:
                    assert stream.read() == DATA[name]
        parts = [name for name in os.listdir(f"{root}/d") if is_part_name(name.encode())]
        assert len(parts) <= 1
        leftovers += len(parts)
        storage = LocalStorage(root, owner="alice")
        for new in files():
            if not storage.store_new([new]):
                put(storage, b"/" + b"/".join(new.path.parts), new.data)
        assert sorted(os.listdir(f"{root}/d")) == ["one", "two"]
        for path in there.values():
            os.unlink(path)
        if end == DONE:
            break
        killed += 1
    assert end == DONE
    assert killed > 20
    assert leftovers, "no kill came while a part was there: the test has shown nothing"


def test_a_file_that_may_not_grow(root):
    """At the limit of the file size it is left to an upload, which says so; what fits before it is there."""

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
        assert LocalStorage(root).store_new(files()) == 1
        assert os.listdir(f"{root}/d") == ["one"]

    assert in_child(work) == DONE


@pytest.mark.skipif(os.geteuid() != 0, reason="root may do anything, and become nobody")
def test_a_directory_that_is_read_only(root):
    """Not ours to write to: nothing happens, and nothing is raised."""

    def work():
        os.setuid(65534)
        assert LocalStorage(root).store_new(files()) == 0
        assert os.listdir(f"{root}/d") == []

    os.chmod(root, 0o755)
    assert in_child(work) == DONE


@pytest.mark.skipif(os.geteuid() != 0, reason="root may do anything, and become nobody")
def test_files_that_not_even_we_may_write(root):
    """A mask that takes our own permission to open the part again: the long way is left, and finds nothing in it."""

    def work():
        os.setuid(65534)
        storage = LocalStorage(root, umask=0o222)
        assert storage.store_new(files()) == 0
        assert os.listdir(f"{root}/d") == []
        put(storage, b"/d/one", b"x")
        assert os.listdir(f"{root}/d") == ["one"]

    os.chmod(root, 0o777)
    os.chmod(f"{root}/d", 0o777)
    assert in_child(work) == DONE
