"""The walk: where it ends, what it costs, and its bounds."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer import errors
from twisted_xfer.paths import MAX_DEPTH, VirtualPath
from twisted_xfer.storage import jail
from twisted_xfer.storage.errnos import _TABLE, translate
from twisted_xfer.storage.jail import MAX_HOPS, MAX_STEPS, Anchor, open_anchor, release, walk


@pytest.fixture
def root(tmp_path):
    """A root descriptor, and a check that the walk leaves no other behind."""
    anchor = open_anchor(os.fsencode(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    yield anchor.fd
    assert len(os.listdir("/proc/self/fd")) == before


def ends_at(root: int, path: bytes, policy="inside", follow=True) -> tuple[int, bytes]:
    """Inode of the directory where the walk ends, and the last name."""
    directory, name = walk(root, VirtualPath.parse(path).parts, policy, follow)
    inode = os.fstat(directory).st_ino
    release(root, directory)
    return inode, name


def test_one_component_needs_no_system_call(root, monkeypatch):
    """The commonest path, a name in the root, costs a tuple."""

    def forbidden(*_, **__):
        raise AssertionError("a system call")

    for call in ("open", "readlink", "stat", "close"):
        monkeypatch.setattr(os, call, forbidden)
    assert walk(root, (b"name",), "inside", follow=False) == (root, b"name")
    assert walk(root, (), "inside", follow=True) == (root, b".")
    release(root, root)


def test_links_end_where_they_say(root, tmp_path):
    """Relative, absolute, upward beyond the root, to a directory itself, and dangling."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    here = os.stat(tmp_path).st_ino
    inode_a, inode_b = os.stat(tmp_path / "a").st_ino, os.stat(tmp_path / "a" / "b").st_ino
    for name, text in {
        "rel": "a/b/file",
        "abs": "/a/b/file",
        "up": "../../../a/b/file",
        "dots": "./a/.//b/../b/file",
        "dir": "a/b",
        "slash": "/a/b/",
        "top": "/",
        "above": "..",
        "back": "a/b/..",
        "dangling": "a/none",
    }.items():
        os.symlink(text, tmp_path / name)
    for name in (b"rel", b"abs", b"up", b"dots"):
        assert ends_at(root, name) == (inode_b, b"file")
    assert ends_at(root, b"dir") == ends_at(root, b"slash") == (inode_a, b"b")
    assert ends_at(root, b"dir/x") == (inode_b, b"x")
    assert ends_at(root, b"top") == ends_at(root, b"above") == (here, b".")
    assert ends_at(root, b"back") == (inode_a, b".")
    assert ends_at(root, b"dangling") == (inode_a, b"none")
    assert ends_at(root, b"rel", follow=False) == (here, b"rel")


def test_hops_are_bounded(root, tmp_path):
    """MAX_HOPS links in a row are followed, one more is not."""
    (tmp_path / "l0").mkdir()
    for number in range(1, MAX_HOPS + 2):
        os.symlink(f"l{number - 1}", tmp_path / f"l{number}")
    assert ends_at(root, b"l%d" % MAX_HOPS)[1] == b"l0"
    with pytest.raises(errors.ForbiddenPath):
        walk(root, (b"l%d" % (MAX_HOPS + 1),), "inside", follow=True)
    assert ends_at(root, b"l%d" % (MAX_HOPS - 1), policy="follow")[1] == b"l0"
    with pytest.raises(errors.ForbiddenPath):
        walk(root, (b"l%d" % (MAX_HOPS + 1),), "follow", follow=True)


def test_steps_are_bounded(root, tmp_path):
    """Links that add many components end at MAX_STEPS in all."""
    (tmp_path / "d").mkdir()
    # One step for the link itself, two for each "d/..", one for the last name.
    os.symlink("d/../" * (MAX_STEPS // 2 - 1) + "x", tmp_path / "at")
    os.symlink("../" + "d/../" * (MAX_STEPS // 2 - 1) + "x", tmp_path / "past")
    assert ends_at(root, b"at")[1] == b"x"
    with pytest.raises(errors.ForbiddenPath):
        walk(root, (b"past",), "inside", follow=True)


def test_depth_is_bounded_through_links(root, tmp_path):
    """A link cannot lead deeper than MAX_DEPTH directories."""
    deep = "/".join(["d"] * (MAX_DEPTH + 1))
    os.makedirs(tmp_path / deep)
    os.symlink("/".join(["d"] * MAX_DEPTH) + "/x", tmp_path / "at")
    os.symlink(deep + "/x", tmp_path / "past")
    assert ends_at(root, b"at")[1] == b"x"
    with pytest.raises(errors.NameInvalid):
        walk(root, (b"past",), "inside", follow=True)


def test_policy_none_refuses_any_link(root, tmp_path):
    """In the middle always, at the end when it would be followed."""
    (tmp_path / "d").mkdir()
    os.symlink("d", tmp_path / "link")
    for parts in ((b"link",), (b"link", b"x")):
        with pytest.raises(errors.ForbiddenPath):
            walk(root, parts, "none", follow=True)
    assert walk(root, (b"link",), "none", follow=False) == (root, b"link")


def test_policy_follow(root, tmp_path):
    """The kernel's answer, absolute links and ``..`` included."""
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(outside, tmp_path / "abs")
    os.symlink(outside / "file", tmp_path / "file")
    os.symlink("outside/..", tmp_path / "dots")
    os.symlink("/etc", tmp_path / "etc")
    inode = os.stat(outside).st_ino
    assert ends_at(root, b"abs/x", "follow") == (inode, b"x")
    assert ends_at(root, b"file", "follow") == (inode, b"file")
    assert ends_at(root, b"dots", "follow") == (os.stat(tmp_path).st_ino, b".")
    assert ends_at(root, b"etc", "follow") == (os.stat("/").st_ino, b"etc")
    with pytest.raises(FileNotFoundError):
        walk(root, (b"none", b"x"), "follow", follow=True)


def test_a_link_that_becomes_a_directory_is_an_error(root, tmp_path, monkeypatch):
    """ENOTDIR from the open, and no link any more: the error stands."""
    os.symlink(".", tmp_path / "link")
    monkeypatch.setattr(jail, "read_link", lambda *_: None)
    with pytest.raises(NotADirectoryError):
        walk(root, (b"link", b"x"), "inside", follow=False)


NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "..", ".", "", "deep/../a"]), max_size=6).map("/".join)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.dictionaries(NAMES, TEXTS.filter(bool)), st.lists(NAMES, min_size=1, max_size=4))
def test_any_tree_of_links_ends_below_the_root(links, path):
    """Whatever the links say, the walk ends in a directory of the tree, or with an error, and leaks nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as top:
        os.makedirs(f"{top}/jail/a/b")
        for name, text in links.items():
            if name != "a":
                os.symlink(text, f"{top}/jail/{name}")
        anchor = open_anchor(f"{top}/jail".encode())
        inside = {os.stat(f"{top}/jail/{where}").st_ino for where in (".", "a", "a/b")}
        before = len(os.listdir("/proc/self/fd"))
        try:
            found = ends_at(anchor.fd, "/".join(path).encode())
        except (OSError, errors.ForbiddenPath):
            found = None
        assert found is None or found[0] in inside
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_anchor_closes_with_its_last_holder(tmp_path):
    """The descriptor lives as long as anybody holds the anchor."""
    anchor = open_anchor(os.fsencode(tmp_path))
    fd, other = anchor.fd, anchor
    del anchor
    os.fstat(fd)
    assert isinstance(other, Anchor)
    del other
    with pytest.raises(OSError):
        os.fstat(fd)


@pytest.mark.parametrize("number", sorted(_TABLE))
def test_every_errno_of_the_table(number):
    """Class, subject, detail and field ``errno``."""
    error = translate(OSError(number, os.strerror(number)), VirtualPath((b"a",)))
    assert type(error) is _TABLE[number]
    assert (error.subject, error.detail, error.fields["errno"]) == (b"/a", os.strerror(number), number)


def test_any_other_errno_is_a_failure_of_the_storage():
    """With its number for operators."""
    error = translate(OSError(errno.EIO, "Input/output error"), b"x")
    assert type(error) is errors.StorageFailure
    assert error.fields["errno"] == errno.EIO
    assert translate(OSError("odd"), "x").fields["errno"] == 0


def test_absolute_links_start_again_at_the_root(root, tmp_path):
    """From deep inside, ``/`` is the account's root, and what was open on the way is closed."""
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    os.symlink("/a/x", tmp_path / "a" / "b" / "c" / "link")
    assert ends_at(root, b"a/b/c/link") == (os.stat(tmp_path / "a").st_ino, b"x")


def test_two_first_logins_at_once(tmp_path):
    """Whoever comes second finds the home made and leaves its mode alone; a file in the way is an error."""
    home = os.fsencode(tmp_path / "home")
    os.mkdir(home, 0o711)
    jail.make_directories(home, 0o700)
    assert os.stat(home).st_mode & 0o777 == 0o711
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        jail.make_directories(os.fsencode(tmp_path / "file"), 0o700)


def test_other_errors_of_readlink_are_not_hidden(root):
    """A name that is too long for the disk is no missing link."""
    with pytest.raises(OSError) as caught:
        walk(root, (b"n" * 256,), "inside", follow=True)
    assert caught.value.errno == errno.ENAMETOOLONG
