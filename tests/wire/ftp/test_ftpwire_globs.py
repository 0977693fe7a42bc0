"""Flags and patterns of listings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire.globs import MAX_PATTERN, Glob, parse_list_argument, split_glob


@pytest.mark.parametrize(
    ("argument", "flags", "path"),
    [
        (b"", "", b""),
        (b"a b ", "", b"a b "),
        (b"-la", "al", b""),
        (b"-a -l", "al", b""),
        (b"-la  a b ", "al", b"a b "),
        (b"-1", "1", b""),
        (b"-L x", "L", b"x"),
        (b"-", "", b"-"),
        (b"-lz", "", b"-lz"),
        (b"-file", "", b"-file"),
        (b"-l -file", "l", b"-file"),
        (b"-- -l", "", b"-l"),
        (b"-l -- -a b", "l", b"-a b"),
        (b"--", "", b""),
        (b"./-l", "", b"./-l"),
        (b"-\xff", "", b"-\xff"),
    ],
)
def test_flags(argument, flags, path):
    """Flags go as far as ls would take them; everything else is a path."""
    found = parse_list_argument(argument)
    assert (found.flags, found.path) == (frozenset(flags), path)
    assert found.hidden == ("a" in flags)


def test_hidden_by_either_letter():
    """-A shows hidden names too."""
    assert parse_list_argument(b"-A").hidden


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", None),
        (b"a/b", None),
        (b"*.txt", (b"", b"*.txt")),
        (b"/a/b?", (b"/a/", b"b?")),
        (b"*/b", None),
        (b"/[ab]", (b"/", b"[ab]")),
        (b"a]", None),
    ],
)
def test_split(path, expected):
    """Only the last component is a pattern."""
    assert split_glob(path) == expected


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"*", [b"a", b"a b", b"\xff\n", b""], [b".a"]),
        (b".*", [b".a", b"."], [b"a"]),
        (b"*.txt", [b"a.txt", b"a.txt.txt"], [b"a.txt.gz", b"atxt", b".txt"]),
        (b"a*b*c", [b"abc", b"aXbXc", b"abcbc"], [b"ab", b"acb", b"abcd"]),
        (b"a**c", [b"ac", b"abc"], [b"a"]),
        (b"*ab*ab*", [b"abab", b"xabyabz"], [b"ab", b"aab"]),
        (b"?", [b"a", b"\xff", b"\n"], [b"", b"aa", b"."]),
        (b"[a-c]", [b"a", b"b", b"c"], [b"d", b"-"]),
        (b"[!a-c]", [b"d", b"-"], [b"a", b""]),
        (b"[^a]x", [b"bx"], [b"ax", b"x"]),
        (b"[]a]", [b"]", b"a"], [b"b"]),
        (b"[!]]", [b"a"], [b"]"]),
        (b"[a-]", [b"a", b"-"], [b"b"]),
        (b"[c-a]", [], [b"a", b"b", b"c"]),
        (b"[\\d]", [b"\\", b"d"], [b"1"]),
        (b"[a", [b"[a"], [b"a"]),
        (b"[]", [b"[]"], [b""]),
        (b"\\*", [b"*"], [b"a", b"\\*"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a.b+(c)", [b"a.b+(c)"], [b"axb+(c)"]),
        (b"plain", [b"plain"], [b"plainer", b"lain"]),
        (b"\xd0*", [b"\xd0\xb8"], [b"\xd1"]),
    ],
)
def test_patterns(pattern, yes, no):
    """What shells match, byte by byte."""
    glob = Glob(pattern)
    assert [name for name in yes if not glob.match(name)] == []
    assert [name for name in no if glob.match(name)] == []


def test_pattern_limit_and_one_past():
    """Patterns are as long as names."""
    assert Glob(b"a" * MAX_PATTERN).match(b"a" * MAX_PATTERN)
    with pytest.raises(RemoteProtocolError):
        Glob(b"a" * (MAX_PATTERN + 1))


def test_patterns_made_to_blow_up():
    """The classic traps for backtracking end; were they exponential, this would hang."""
    name = b"a" * 255
    assert not Glob(b"*a" * 127).match(b"a" * 254 + b"b")
    assert not Glob((b"*" + b"?" * 4) * 50).match(b"a" * 199)
    assert not Glob(b"a*" * 127 + b"b").match(name)
    assert not Glob(b"*[!b]" * 50 + b"b").match(name)


def simple(pattern, name):
    """Matching by the definition, for patterns of letters, ? and *."""
    reach = {0}
    for char in pattern:
        if char == ord("*"):
            reach = {end for start in reach for end in range(start, len(name) + 1)}
        else:
            reach = {at + 1 for at in reach if at < len(name) and (char in (ord("?"), name[at]))}
    return len(name) in reach


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text("ab*?", max_size=10), st.text("ab", max_size=12))
def test_same_as_the_definition(pattern, name):
    """Leftmost matching finds exactly what trying everything finds."""
    assert Glob(pattern.encode()).match(name.encode()) == simple(pattern.encode(), name.encode())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.one_of(st.binary(max_size=30), st.text("[]!^-a*?\\", max_size=30).map(str.encode)),
    st.binary(max_size=20),
)
def test_any_pattern_compiles(pattern, name):
    """No pattern is an error of the regular expression compiler."""
    assert Glob(pattern).match(name) in {True, False}
