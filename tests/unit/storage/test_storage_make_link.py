"""Links that a storage makes: only such as lead nowhere out of its root, however they are followed."""

import os

import pytest
from zope.interface.verify import verifyObject

from twisted_xfer.errors import AlreadyExists, ForbiddenPath, NameInvalid, NotFound, StorageFailure
from twisted_xfer.interfaces import IMakesLinks
from twisted_xfer.paths import VirtualPath
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.threaded import ThreadedStorage


def at(text):
    return VirtualPath(tuple(text.encode().split(b"/")) if text else ())


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root/a/b/c").mkdir(parents=True)
    (tmp_path / "root/file").write_bytes(b"file")
    (tmp_path / "root/up").symlink_to("a/b/c")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("l", b"file"), ("l", b"./file"), ("l", b"missing"), ("l", b"l"), ("l", b"."), ("l", b"a//b/"), ("l", b"up/x"),
        ("a/b/l", b"../../file"), ("a/b/c/l", b"../../.."), ("a/b/c/l", b"../c/../.."[:4] + b"/c"), ("l", b"\xff\xfe"),
        ("a/l", b".../x"),
    ],
)  # fmt: skip
def test_links_within(root, path, target):
    """Made as they are asked for, whether their target is there or not, and never lead out."""
    storage = LocalStorage(root)
    assert storage.make_link(at(path), target, 5_000_000_001) is True
    made = os.path.join(root, path)
    assert os.readlink(os.fsencode(made)) == target
    assert os.lstat(made).st_mtime_ns == 5_000_000_001
    assert os.path.realpath(made).startswith(str(root))
    assert storage.make_link(at(path), target) is False


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("l", b""), ("l", b"/"), ("l", b"/etc/passwd"), ("l", b".."), ("l", b"../secret"), ("l", b"a/../../secret"),
        ("l", b"a/.."), ("a/l", b"../../secret"), ("a/b/c/l", b"../../../../secret"), ("a/l", b"./../../secret"),
        ("l", b"a\0b"), ("a/l", b"up/.."),
    ],
)  # fmt: skip
def test_links_that_might_lead_out(root, path, target):
    """Absolute, too far up, or up again behind a name that could be a link itself."""
    before = sorted(root.rglob("*"))
    with pytest.raises(ForbiddenPath):
        LocalStorage(root).make_link(at(path), target)
    assert sorted(root.rglob("*")) == before


def test_not_through_a_link(root):
    """Where a directory on the way is a link, steps upwards would count from elsewhere."""
    (root / "deep").mkdir()
    (root / "deep/flat").symlink_to("..")
    storage = LocalStorage(root)
    with pytest.raises(ForbiddenPath):
        storage.make_link(at("deep/flat/l"), b"../../secret"[3:])
    assert not (root / "l").is_symlink()


def test_nothing_is_replaced(root):
    """A file, a directory, another link: each stays."""
    storage = LocalStorage(root)
    for name in ("file", "a", "up", ""):
        with pytest.raises(AlreadyExists):
            storage.make_link(at(name), b"elsewhere")
    assert (root / "file").read_bytes() == b"file"
    with pytest.raises(NotFound):
        storage.make_link(at("no/l"), b"x")
    with pytest.raises(NameInvalid):
        storage.make_link(at("." + "f." + "0" * 16 + ".xpart"), b"x")
    with pytest.raises(StorageFailure):
        storage.make_link(at("l"), b"x", 2**100)
    assert not (root / "l").is_symlink()


@pytest.mark.parametrize("policy", ["none", "follow"])
def test_policies_without_links(root, policy):
    """A storage that follows none makes none; nor does one that leaves them to the kernel."""
    with pytest.raises(ForbiddenPath):
        LocalStorage(root, symlinks=policy).make_link(at("l"), b"file")


def test_loops_end(root):
    """Links in a circle are made, and every way through them is an error, not a hang."""
    storage = LocalStorage(root)
    storage.make_link(at("x"), b"y")
    storage.make_link(at("y"), b"x")
    with pytest.raises(ForbiddenPath):
        storage.stat(at("x/file"))


def test_who_can(root):
    """In a thread as well; a storage without links does not claim to have them."""
    storage = LocalStorage(root)
    verifyObject(IMakesLinks, storage)
    threaded = ThreadedStorage(storage, InlineBlocking())
    verifyObject(IMakesLinks, threaded)
    got = []
    threaded.make_link(at("l"), b"file", None).addCallback(got.append)
    assert got == [True]
    memory = MemoryStorage(lambda: 0.0)
    assert not IMakesLinks.providedBy(memory)
    assert not IMakesLinks.providedBy(ThreadedStorage(memory, InlineBlocking()))
