"""Names of parts, and their expiry."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import MAX_NAME
from twisted_xfer.storage import parts
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.parts import MAX_STEM, is_part_name, part_name, sweep_parts, target_of
from twisted_xfer.testing.storage_checks import path_of, put, put_part

FILE_NAMES = st.binary(min_size=1, max_size=MAX_NAME).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=20), FILE_NAMES)
def test_part_names(owner, name):
    """Any name has a part that fits, is recognised, and leads its owner, and nobody else, back."""
    part = part_name(owner, name)
    assert len(part) <= MAX_NAME
    assert b"/" not in part
    assert is_part_name(part)
    assert part_name(owner, name) == part
    assert target_of(part, owner) == (name if len(name) <= MAX_STEM else None)
    assert target_of(part, owner + b"x") is None


def test_longest_stem():
    """A name of MAX_STEM bytes is whole in its part's name, which is then as long as a name may be."""
    assert len(part_name(b"", b"n" * MAX_STEM)) == MAX_NAME
    assert target_of(part_name(b"", b"n" * MAX_STEM), b"") == b"n" * MAX_STEM
    assert target_of(part_name(b"", b"n" * (MAX_STEM + 1)), b"") is None


@pytest.mark.parametrize(
    "name",
    [
        b"a.xpart",
        b".a.xpart",
        b".a.0123456789abcde.xpart",
        b".a.0123456789abcdeF.xpart",
        b".a.0123456789abcdef.xpart2",
    ],
)
def test_other_names_are_not_reserved(name):
    """Only the exact pattern is taken from clients."""
    assert not is_part_name(name)
    assert target_of(name, b"") is None


def test_the_pattern_holds_for_newlines():
    """A newline in a name does not smuggle a part past the pattern, nor one behind it into it."""
    assert is_part_name(part_name(b"o", b"a\nb"))
    assert not is_part_name(part_name(b"o", b"a") + b"\n")


def age(root, seconds, now):
    """Make every part below ``root`` that old."""
    for directory, _, files in os.walk(root):
        for name in files:
            if name.endswith(".xpart"):
                os.utime(os.path.join(directory, name), (now - seconds, now - seconds))


def test_sweep_removes_what_is_old(tmp_path):
    """At the age limit and past it parts go, before it they stay; files and links stay."""
    storage = LocalStorage(str(tmp_path))
    storage.make_directory(path_of(b"/d"))
    put(storage, b"/d/file.xpart", b"file")
    put_part(storage, b"/d/a", b"part")
    put_part(storage, b"/b", b"12")
    os.symlink("d", tmp_path / "link")
    storage.close()
    age(tmp_path, 100, 10_000)
    assert sweep_parts(os.fsencode(tmp_path), 101, 10_000)[:2] == (0, 0)
    swept = sweep_parts(os.fsencode(tmp_path), 100, 10_000)
    assert swept == (2, 6, 5, True)
    assert sorted(os.listdir(tmp_path / "d")) == ["file.xpart"]


def test_sweep_leaves_uploads_under_way(tmp_path):
    """A locked part stays however old it is, and is swept by descriptor too once it is free."""
    storage = LocalStorage(str(tmp_path))
    upload = storage.open_write(path_of(b"/a"), WriteIntent())
    upload.write(b"x")
    age(tmp_path, 1000, 10_000)
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert sweep_parts(root, 10, 10_000).removed == 0
        upload.suspend()
        assert sweep_parts(root, 10, 10_000).removed == 1
    finally:
        os.close(root)
    storage.close()


def test_sweep_is_bounded(tmp_path):
    """It looks at no more entries than asked, says so, and leaves no descriptor."""
    for number in range(5):
        (tmp_path / f"f{number}").touch()
    before = len(os.listdir("/proc/self/fd"))
    assert sweep_parts(os.fsencode(tmp_path), 0, 0, limit=5) == (0, 0, 5, True)
    assert sweep_parts(os.fsencode(tmp_path), 0, 0, limit=4) == (0, 0, 4, False)
    assert len(os.listdir("/proc/self/fd")) == before


def test_sweep_passes_over_what_it_cannot_open(tmp_path, monkeypatch):
    """A directory that vanishes or refuses, and a part that is no file, are no reason to stop."""
    (tmp_path / "gone").mkdir()
    os.mkfifo(tmp_path / ".a.0123456789abcdef.xpart")
    (tmp_path / ".b.0123456789abcdef.xpart").touch()
    real_open = os.open

    def refusing_open(path, flags, mode=0o777, *, dir_fd=None):
        if path == "gone":
            raise PermissionError
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(parts.os, "open", refusing_open)
    swept = sweep_parts(os.fsencode(tmp_path), 0, 2**40)
    assert (swept.removed, swept.complete) == (1, True)


def test_keys_without_extended_attributes(tmp_path, monkeypatch):
    """Where no key can be kept, a part with a key is begun anew, never trusted."""

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    for call in ("setxattr", "getxattr", "removexattr"):
        monkeypatch.setattr(os, call, unsupported)
    storage = LocalStorage(str(tmp_path))
    put_part(storage, b"/a", b"0123", WriteIntent(key="k"))
    upload = storage.open_write(path_of(b"/a"), WriteIntent(append=True, key="k"))
    assert upload.offset == 0
    upload.abort()
    put_part(storage, b"/a", b"0123")
    assert storage.open_write(path_of(b"/a"), WriteIntent(append=True)).offset == 4
    storage.close()


def test_the_key_does_not_stay_with_the_file(tmp_path):
    """What is published carries no attribute of ours."""
    storage = LocalStorage(str(tmp_path))
    put(storage, b"/a", b"x", WriteIntent(key="k"))
    assert os.listxattr(tmp_path / "a") == []
    storage.close()
