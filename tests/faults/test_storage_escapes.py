"""Ways out of the jail, each of which must end inside or in ForbiddenPath."""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial

import pytest

from twisted_xfer.errors import ForbiddenPath, NotFound, XferError
from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage import jail
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.storage_checks import entries, fails_with, get, path_of, put


@pytest.fixture
def yard(tmp_path):
    """A jail, and a secret outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "jail" / "etc").mkdir(parents=True)
    (tmp_path / "jail" / "etc" / "motd").write_bytes(b"inside")
    return tmp_path


ESCAPES = {
    "absolute": lambda yard: f"{yard}/outside/secret",
    "relative": lambda yard: "../outside/secret",
    "far": lambda yard: "../" * 60 + f"{yard}/outside/secret",
    "mixed": lambda yard: f"etc/.././/{'../' * 9}{yard}/outside/secret",
    "proc": lambda yard: f"/proc/self/root{yard}/outside/secret",
}


@pytest.mark.parametrize("kind", ESCAPES)
@pytest.mark.parametrize("through", ["file", "directory", "chain"])
@pytest.mark.parametrize("policy", ["inside", "none"])
def test_no_operation_leaves_the_root(yard, kind, through, policy):
    """No operation through a link sees, changes or makes anything outside."""
    root = yard / "jail"
    text = ESCAPES[kind](yard)
    if through == "directory":
        os.symlink(os.path.dirname(text), root / "link")
        path = path_of(b"/link/secret")
    elif through == "chain":
        os.symlink(text, root / "second")
        os.symlink("/second", root / "first")
        os.symlink("first", root / "link")
        path = path_of(b"/link")
    else:
        os.symlink(text, root / "link")
        path = path_of(b"/link")
    storage = LocalStorage(str(root), symlinks=policy)
    kinds = (NotFound, ForbiddenPath)
    for call in (
        lambda: storage.stat(path),
        lambda: storage.open_read(path),
        lambda: storage.list(path),
        lambda: storage.set_mode(path, 0o777),
        lambda: storage.set_times(path, 0),
        lambda: put(storage, bytes(path.child(b"new")), b"x"),
        lambda: storage.make_directory(path.child(b"new")),
    ):
        with pytest.raises(kinds):
            call()
    for call in (lambda: storage.open_write(path, WriteIntent()).abort(), lambda: storage.remove(path)):
        with contextlib.suppress(*kinds):
            call()
    entries(storage)
    storage.close()
    assert os.listdir(yard / "outside") == ["secret"]
    assert (yard / "outside" / "secret").read_bytes() == b"secret"
    assert (yard / "outside" / "secret").stat().st_mode & 0o777 != 0o777
    assert sorted(os.listdir(yard)) == ["jail", "outside"]


def test_links_lead_inside_as_if_the_root_were_slash(yard):
    """``/etc`` in a link is the account's, not the system's, and shows as what it leads to."""
    root = yard / "jail"
    os.symlink("/etc/motd", root / "absolute")
    os.symlink("../../etc", root / "etc" / "loop-free")
    storage = LocalStorage(str(root))
    assert get(storage, b"/absolute") == b"inside"
    assert get(storage, b"/etc/loop-free/motd") == b"inside"
    shown = entries(storage)
    assert (shown[b"absolute"].kind, shown[b"absolute"].size) == ("file", 6)
    put(storage, b"/absolute", b"written through")
    assert os.readlink(root / "absolute") == "/etc/motd"
    assert (root / "etc" / "motd").read_bytes() == b"written through"
    storage.remove(path_of(b"/absolute"))
    assert (root / "etc" / "motd").exists()
    storage.close()


@pytest.mark.parametrize("policy", ["inside", "follow"])
def test_loops_end(yard, policy):
    """Links in a circle are refused by every operation that would follow them."""
    root = yard / "jail"
    os.symlink("b", root / "a")
    os.symlink("a", root / "b")
    os.symlink("self/x", root / "self")
    storage = LocalStorage(str(root), symlinks=policy)
    for path in map(path_of, (b"/a", b"/a/x", b"/self", b"/self/y")):
        fails_with(ForbiddenPath, partial(storage.stat, path))
        fails_with(ForbiddenPath, partial(storage.open_read, path))
    shown = entries(storage)
    assert (shown[b"a"].kind, shown[b"a"].target) == ("symlink", b"b")
    storage.remove(path_of(b"/a"))
    storage.close()


def test_policy_none_lists_but_does_not_follow(yard):
    """A link shows as itself and can be removed; nothing goes through it."""
    root = yard / "jail"
    os.symlink("etc", root / "link")
    storage = LocalStorage(str(root), symlinks="none")
    assert entries(storage)[b"link"].kind == "symlink"
    fails_with(ForbiddenPath, lambda: storage.stat(path_of(b"/link")))
    fails_with(ForbiddenPath, lambda: storage.open_read(path_of(b"/link/motd")))
    fails_with(ForbiddenPath, lambda: storage.open_write(path_of(b"/link"), WriteIntent()))
    storage.remove(path_of(b"/link"))
    assert sorted(entries(storage)) == [b"etc"]
    storage.close()


def test_policy_follow_leaves_links_to_the_kernel(yard):
    """A trusted tree may have links that lead out; parts lie beside what they lead to."""
    root = yard / "jail"
    os.symlink("../outside", root / "out")
    os.symlink(f"{yard}/outside/secret", root / "file")
    os.symlink("/", root / "top")
    storage = LocalStorage(str(root), symlinks="follow")
    assert get(storage, b"/out/secret") == b"secret"
    assert get(storage, b"/file") == b"secret"
    assert storage.stat(path_of(b"/top")).kind == "dir"
    assert entries(storage, b"/out").keys() == {b"secret"}
    assert entries(storage)[b"file"].size == 6
    put(storage, b"/file", b"replaced")
    assert (yard / "outside" / "secret").read_bytes() == b"replaced"
    assert os.path.islink(root / "file")
    storage.close()


def test_a_directory_swapped_between_two_steps(yard, monkeypatch):
    """What was opened stays what it was, when its name becomes a link in the middle of a walk."""
    root = yard / "jail"
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "e" / "secret").write_bytes(b"mine")
    real_open = os.open

    def swapping_open(path, flags, mode=0o777, *, dir_fd=None):
        fd = real_open(path, flags, mode, dir_fd=dir_fd)
        if path == b"e" and not os.path.islink(root / "d"):
            os.rename(root / "d" / "e", root / "moved")
            os.symlink(yard / "outside", root / "d" / "e")
            os.rename(root / "d", root / "old")
            os.symlink(yard / "outside", root / "d")
        return fd

    storage = LocalStorage(str(root))
    monkeypatch.setattr(jail.os, "open", swapping_open)
    upload = storage.open_write(path_of(b"/d/e/new"), WriteIntent())
    upload.write(b"x")
    upload.commit()
    assert sorted(os.listdir(root / "moved")) == ["new", "secret"]
    assert os.listdir(yard / "outside") == ["secret"]
    storage.close()


def test_a_file_swapped_for_a_link_after_the_look(yard, monkeypatch):
    """A name that turns into a link after its lstat is not followed out."""
    root = yard / "jail"
    (root / "f").write_bytes(b"mine")
    storage = LocalStorage(str(root))
    real_stat = os.stat

    def swapping_stat(path, **options):
        status = real_stat(path, **options)
        if path == b"f":
            os.unlink(root / "f")
            os.symlink(yard / "outside" / "secret", root / "f")
        return status

    monkeypatch.setattr(os, "stat", swapping_stat)
    upload = storage.open_write(path_of(b"/f"), WriteIntent())
    monkeypatch.undo()
    upload.write(b"x")
    upload.commit()
    assert (root / "f").read_bytes() == b"x"
    assert (yard / "outside" / "secret").read_bytes() == b"secret"
    storage.close()


def test_a_race_of_renames_never_wins(yard):
    """While another thread swaps a directory and a link, each answer is ours or an error."""
    root = yard / "jail"
    (root / "d").mkdir()
    (root / "d" / "secret").write_bytes(b"mine")
    os.symlink(yard / "outside", root / "evil")
    stop = threading.Event()

    def swap():
        for _ in range(20_000):
            if stop.is_set():
                return
            os.rename(root / "d", root / "tmp")
            os.rename(root / "evil", root / "d")
            os.rename(root / "d", root / "evil")
            os.rename(root / "tmp", root / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    storage = LocalStorage(str(root))
    seen = set()
    try:
        for number in range(1500):
            try:
                seen.add(get(storage, b"/d/secret"))
                put(storage, b"/d/n%d" % (number % 7), b"x")
            except XferError as error:
                seen.add(error.code)
    finally:
        stop.set()
        thread.join(30)
        storage.close()
    assert b"mine" in seen
    assert b"secret" not in seen
    assert os.listdir(yard / "outside") == ["secret"]


def test_devices_fifos_and_sockets_are_never_opened(yard):
    """Neither read nor written, and no wait for the other end of a FIFO."""
    import socket

    from twisted_xfer.errors import NotAFile

    root = yard / "jail"
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "sock"))
    names = {b"/fifo": "fifo", b"/sock": "socket"}
    try:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
        names[b"/null"] = "char"
    except PermissionError:
        assert os.geteuid() != 0
    for uploads in ("staged", "in-place"):
        storage = LocalStorage(str(root), uploads=uploads)
        for raw, kind in names.items():
            fails_with(NotAFile, partial(storage.open_read, path_of(raw)))
            fails_with(NotAFile, partial(storage.open_write, path_of(raw), WriteIntent()))
            assert storage.stat(path_of(raw)).kind == kind
        storage.close()
    assert sorted(os.listdir(root)) == sorted([os.fsdecode(raw[1:]) for raw in names] + ["etc"])


def test_parts_cannot_be_reached_through_links(yard):
    """A link to a part is as missing as the part."""
    root = yard / "jail"
    (root / ".a.0123456789abcdef.xpart").write_bytes(b"bob's")
    os.symlink(".a.0123456789abcdef.xpart", root / "link")
    storage = LocalStorage(str(root))
    fails_with(NotFound, lambda: storage.open_read(path_of(b"/link")))
    fails_with(NotFound, lambda: storage.stat(path_of(b"/link")))
    fails_with(NotFound, lambda: storage.open_write(path_of(b"/link"), WriteIntent()))
    assert entries(storage)[b"link"].kind == "symlink"
    storage.close()


def test_deep_and_long_paths(yard):
    """The deepest path that a VirtualPath can be works, descriptors stay bounded."""
    storage = LocalStorage(str(yard / "jail"))
    parts = (b"d",) * 128
    for depth in range(1, 128):
        storage.make_directory(VirtualPath(parts[:depth]))
    before = len(os.listdir("/proc/self/fd"))
    put(storage, bytes(VirtualPath(parts)), b"deep")
    assert get(storage, bytes(VirtualPath(parts))) == b"deep"
    assert len(os.listdir("/proc/self/fd")) == before
    storage.close()
