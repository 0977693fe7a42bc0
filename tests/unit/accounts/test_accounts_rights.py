"""Rights as text, and by path."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.accounts import rights as module
from twisted_xfer.accounts.rights import PathPattern, PathRights, match_name, parse_rights
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, Right
from twisted_xfer.paths import MAX_PATH, VirtualPath


def at(text):
    return VirtualPath.parse(text.encode())


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        ("read", READ_ONLY),
        ("read-only", READ_ONLY),
        ("all", ALL_RIGHTS),
        ("Read-Write", ALL_RIGHTS),
        ("none", frozenset()),
        ("", frozenset()),
        ("list,read,write", {Right.LIST, Right.READ, Right.WRITE}),
        ("read, write", {Right.READ, Right.WRITE}),
        (["delete", "drop"], {Right.DELETE, Right.WRITE}),
        (["read"], READ_ONLY),
        ([], frozenset()),
    ],
)
def test_parse(text, rights):
    """Presets, names, and lists of both."""
    assert parse_rights(text) == rights


@pytest.mark.parametrize("value", ["wrte", ["read", "x"], 7, None])
def test_parse_refuses(value):
    """The error names key, value, file and remedy."""
    with pytest.raises(ConfigError) as caught:
        parse_rights(value, key="users.a.rights", file="u.toml")
    assert (caught.value.key, caught.value.file) == ("users.a.rights", "u.toml")
    assert caught.value.remedy


def test_words_are_bounded():
    """The limit is good, one more is not."""
    assert parse_rights(["list"] * module.MAX_WORDS) == {Right.LIST}
    with pytest.raises(ConfigError):
        parse_rights(["list"] * (module.MAX_WORDS + 1))


@pytest.mark.parametrize(
    ("pattern", "path", "good"),
    [
        ("/pub", "/pub", True),
        ("/pub", "/pub/a", False),
        ("/pub/*", "/pub/a", True),
        ("/pub/*", "/pub/a/b", False),
        ("/pub/**", "/pub/a/b", True),
        ("/pub/**", "/pub", True),
        ("/pub/**", "/public", False),
        ("**/*.exe", "/a/b/c.exe", True),
        ("**/*.exe", "/c.exe", True),
        ("**/*.exe", "/c.exe/d", False),
        ("/a/**/z", "/a/z", True),
        ("/a/**/z", "/a/b/c/z", True),
        ("/a/**/**/z", "/a/z", True),
        ("/", "/", True),
        ("/", "/a", False),
        ("**", "/", True),
        ("/a?c", "/abc", True),
        ("/a?c", "/ac", False),
    ],
)
def test_pattern(pattern, path, good):
    """Stars within a name, double stars across names; a directory is guarded with its contents."""
    assert PathPattern(pattern).matches(at(path)) is good


@given(
    st.lists(st.sampled_from([b"a", b"b", b"*", b"?"]), max_size=8),
    st.lists(st.sampled_from("ab"), max_size=8),
)
@settings(derandomize=True, deadline=None)
def test_name_matching_agrees_with_a_regular_expression(pattern, name):
    """Our linear matcher says what a backtracking one says."""
    import re

    text = b"".join(pattern)
    known = re.fullmatch(text.replace(b"*", b"[ab]*").replace(b"?", b"[ab]"), "".join(name).encode())
    assert match_name(text, "".join(name).encode()) is (known is not None)


def test_hostile_pattern_ends():
    """What makes backtracking matchers run for years ends at once."""
    assert match_name(b"*a" * 60 + b"b", b"a" * 255) is False
    deep = VirtualPath((b"a",) * 128)
    assert PathPattern("**/a/" * 20 + "b").matches(deep) is False


def test_last_match_wins():
    """Rules narrow and widen in their order; without one the base holds."""
    rights = PathRights(READ_ONLY, [("/in/**", ALL_RIGHTS), ("/in/old/**", frozenset())])
    assert rights.at(at("/x")) == READ_ONLY
    assert rights.at(at("/in/x")) == ALL_RIGHTS
    assert rights.at(at("/in/old/x")) == frozenset()
    assert rights.varied
    assert not PathRights(READ_ONLY).varied


def test_throughout_looks_below():
    """A directory over a guarded place has no more rights than that place, except for loose names."""
    rights = PathRights(ALL_RIGHTS, [("/a/secret/**", frozenset()), ("**/*.exe", frozenset())])
    assert rights.throughout(at("/a")) == frozenset()
    assert rights.throughout(at("/a/secret")) == frozenset()
    assert rights.throughout(at("/b")) == ALL_RIGHTS


@given(
    st.lists(st.sampled_from(["a", "b", "*", "**", "a*"]), max_size=6),
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4),
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4),
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3),
)
@settings(derandomize=True, deadline=None, max_examples=500)
def test_what_may_come_next_agrees_with_what_matches(pattern, one, other, below):
    """It says what matches, what covers all below, what is named below, and where nothing changes by a move."""
    compiled = PathPattern("/".join(pattern))
    paths = [at("/".join(place)) for place in (one, other)]
    there = [at("/".join([*place, *below])) for place in (one, other)]
    after = [compiled.after(path) for path in paths]
    matched = [compiled.matches(path) for path in there]
    if compiled.covers(after[0]):
        assert matched[0]
    if after[0] == after[1]:
        assert matched[0] == matched[1]
    elif below and matched[0] != matched[1]:
        assert any(map(compiled.names_below, after))
    assert compiled.matches(paths[0]) is (len(compiled._parts) in after[0])


def test_patterns_are_bounded():
    """Number and length at the limit, and one past."""
    PathRights(ALL_RIGHTS, [("/a", READ_ONLY)] * module.MAX_PATTERNS)
    with pytest.raises(ConfigError):
        PathRights(ALL_RIGHTS, [("/a", READ_ONLY)] * (module.MAX_PATTERNS + 1))
    PathPattern("a" * MAX_PATH)
    with pytest.raises(ConfigError):
        PathPattern("a" * (MAX_PATH + 1))
