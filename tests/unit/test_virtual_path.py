"""Virtual paths: what a client may name, at each limit and one past it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_xfer.errors import NameInvalid
from twisted_xfer.paths import MAX_DEPTH, MAX_NAME, MAX_PATH, ROOT, VirtualPath


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (b"", ()),
        (b"/", ()),
        (b"//a/./b/", (b"a", b"b")),
        (b"../../a", (b"a",)),
        (b"a/../b", (b"b",)),
        (b"/..", ()),
        (b" ", (b" ",)),
        (b"...", (b"...",)),
        (b"\xff\n", (b"\xff\n",)),
    ],
)
def test_dots_are_resolved_by_their_letters(raw: bytes, parts: tuple[bytes, ...]) -> None:
    """And nothing leads above the root."""
    assert VirtualPath.parse(raw).parts == parts


def test_a_path_is_relative_to_where_the_client_is() -> None:
    """Unless it starts with a slash."""
    here = VirtualPath((b"a", b"b"))
    assert VirtualPath.parse(b"../c", here) == VirtualPath((b"a", b"c"))
    assert VirtualPath.parse(b"/c", here) == VirtualPath((b"c",))
    assert VirtualPath.parse(b"", here) == here


@pytest.mark.parametrize(
    ("longest", "one_more", "why"),
    [
        (b"a/" * 64 + b"./" * (MAX_PATH // 2 - 64), b"/", "path too long"),
        (b"n" * MAX_NAME, b"n", "name too long"),
        (b"d/" * MAX_DEPTH, b"d", "path too deep"),
    ],
)
def test_each_limit_and_one_past_it(longest: bytes, one_more: bytes, why: str) -> None:
    """The longest path, the longest name and the deepest place are legal; one more is not."""
    VirtualPath.parse(longest)
    with pytest.raises(NameInvalid) as caught:
        VirtualPath.parse(longest + one_more)
    assert caught.value.detail == why


def test_the_place_itself_counts_for_the_depth() -> None:
    """A client that goes down step by step comes no deeper than one that jumps."""
    deepest = VirtualPath((b"d",) * MAX_DEPTH)
    assert VirtualPath.parse(b"../e", deepest).parts[-1] == b"e"
    with pytest.raises(NameInvalid):
        VirtualPath.parse(b"e", deepest)


def test_no_name_holds_a_zero() -> None:
    """The kernel would end it there."""
    with pytest.raises(NameInvalid):
        VirtualPath.parse(b"a\0b")


def test_a_child_is_one_plain_name() -> None:
    """Of no more than the longest name's length."""
    assert ROOT.child(b"n" * MAX_NAME).name == b"n" * MAX_NAME
    for name in (b"", b".", b"..", b"a/b", b"a\0", b"n" * (MAX_NAME + 1)):
        with pytest.raises(NameInvalid):
            ROOT.child(name)


def test_what_is_known_of_a_path() -> None:
    """Its name, where it is, what it is within, and its text."""
    path = VirtualPath((b"a", b"b"))
    assert (path.name, path.parent, bytes(path)) == (b"b", VirtualPath((b"a",)), b"/a/b")
    assert (ROOT.name, ROOT.parent, bytes(ROOT)) == (b"", ROOT, b"/")
    assert path.is_within(ROOT)
    assert path.is_within(path)
    assert path.is_within(path.parent)
    assert not path.parent.is_within(path)
    assert not VirtualPath((b"ab",)).is_within(VirtualPath((b"a",)))
    assert repr(path) == "VirtualPath(b'/a/b')"
    assert {path: 1}[VirtualPath((b"a", b"b"))] == 1
    assert path != (b"a", b"b")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_a_path_or_the_error(first: bytes, then: bytes) -> None:
    """What is parsed has plain names only, and its own text means the same path again."""
    try:
        path = VirtualPath.parse(then, VirtualPath.parse(first))
    except NameInvalid:
        return
    assert not {b"", b".", b".."} & set(path.parts)
    assert not any(b"/" in part or b"\0" in part for part in path.parts)
    assert VirtualPath.parse(bytes(path)) == path
