"""Patterns as git means them: by hand, and with git itself as the judge."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interop_support import require

from twisted_xfer.protocols.xfer.choosing import Chosen, Ignored, ignored_above
from twisted_xfer.protocols.xfer.patterns import (
    MAX_FILE,
    MAX_PATTERN,
    compile_component,
    parse_file,
    parse_patterns,
)

#: No configuration of whoever runs the tests may have a say.
GIT_ENV = {
    "PATH": os.environ.get("PATH", ""),
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


@pytest.mark.parametrize(
    ("pattern", "path", "directory", "expected"),
    [
        (b"*.o", b"a.o", False, True),
        (b"*.o", b"d/e/a.o", False, True),
        (b"*.o", b"a.oo", False, None),
        (b"!*.o", b"a.o", False, False),
        (b"/a", b"a", False, True),
        (b"/a", b"d/a", False, None),
        (b"d/a", b"d/a", False, True),
        (b"d/a", b"e/d/a", False, None),
        (b"d/", b"d", True, True),
        (b"d/", b"d", False, None),
        (b"d/", b"e/d", True, True),
        (b"**/a", b"a", False, True),
        (b"**/a", b"x/y/a", False, True),
        (b"a/**", b"a/x/y", False, True),
        (b"a/**", b"a", True, None),
        (b"a/**/b", b"a/b", False, True),
        (b"a/**/b", b"a/x/y/b", False, True),
        (b"a/**/b/**/c", b"a/x/b/y/b/c", False, True),
        (b"a/**/b", b"a/x/y", False, None),
        (b"a*/b", b"axx/b", False, True),
        (b"a*b", b"a/b", False, None),
        (b"a?c", b"abc", False, True),
        (b"[a-c]", b"b", False, True),
        (b"[!a-c]", b"b", False, None),
        (b"[^a-c]", b"d", False, True),
        (b"[]]", b"]", False, True),
        (b"[[:digit:]]x", b"7x", False, True),
        (b"[\\]]", b"]", False, True),
        (b"[b-a]", b"b", False, True),
        (b"[b-a]", b"a", False, None),
        (b"[!b-a]", b"b", False, None),
        (b"[a-c-e]", b"-", False, True),
        (b"[a-c-e]", b"d", False, None),
        (b"***/a", b"x/y/a", False, True),
        (b"a/****/b", b"a/x/y/b", False, True),
        (b"a/***b", b"a/x/b", False, None),
        (b"[a", b"[a", False, None),
        (b"\\!a", b"!a", False, True),
        (b"a\\", b"a\\", False, None),
        (b"\xff?", b"\xff\xfe", False, True),
        (b"/", b"a", True, None),
    ],
)
def test_one_pattern(pattern, path, directory, expected):
    """True: matched, False: by one with an exclamation mark, None: not at all."""
    assert parse_patterns([pattern]).verdict(tuple(path.split(b"/")), directory) is expected


def test_lines_of_a_file():
    """Comments, empty lines, CR, blanks at the end and a byte order mark are no part of a pattern."""
    patterns = parse_file(b"\xef\xbb\xbfa\r\n# c\n\n\\#d\nb  \ne\\ \n")
    for name, expected in (
        (b"a", True),
        (b"# c", None),
        (b"#d", True),
        (b"b", True),
        (b"e ", True),
        (b"e", None),
    ):
        assert patterns.verdict((name,), False) is expected


def test_limits_of_a_pattern():
    """At the limit it counts, one past it is none."""
    assert parse_patterns([b"a" * MAX_PATTERN]).rules
    assert not parse_patterns([b"a" * (MAX_PATTERN + 1)]).rules
    assert not parse_patterns([b"a\0b"]).rules


def test_many_stars_take_no_time():
    """A pattern that would have a matcher go back for ever is answered (the test ends)."""
    step = compile_component(b"*a" * 2000 + b"b")
    assert step.match(b"a" * 255) is None
    deep = parse_patterns([b"**/a/" * 60 + b"b"])
    assert deep.verdict((b"a",) * 64, False) is None


def test_include_and_exclude():
    """Exclusion is stronger; without include everything is wanted."""
    chosen = Chosen(exclude=(b"*.tmp",), include=(b"*.py", b"docs/"))
    assert chosen.takes((b"t", b"a.py"))
    assert not chosen.takes((b"t", b"a.tmp"))
    assert chosen.names((b"t", b"a.py"))
    assert not chosen.names((b"t", b"a.txt"))
    assert chosen.names((b"t", b"docs"), directory=True)
    assert Chosen().names((b"anything",))


def _ours(top: Path) -> set[bytes]:
    """What a walk that heeds the files leaves out, with everything below it."""
    left_out = set()

    def below(ignored: Ignored, place: Path, parts: tuple[bytes, ...]) -> None:
        inner = ignored.within(os.fsencode(place), len(parts))
        for child in sorted(place.iterdir()):
            here = (*parts, os.fsencode(child.name))
            if child.name == ".git":
                continue
            directory = child.is_dir() and not child.is_symlink()
            if inner.ignores(here, directory=directory):
                left_out.add(b"/".join(here))
                if directory:
                    left_out.update(os.fsencode(path.relative_to(top)) for path in child.rglob("*"))
            elif directory:
                below(inner, child, here)

    below(ignored_above(os.fsencode(top)), top, ())
    return left_out


def _gits(top: Path) -> set[bytes]:
    """What git says of the same."""
    names = [
        os.fsencode(p.relative_to(top)) for p in top.rglob("*") if ".git" not in p.relative_to(top).parts
    ]
    # check-ignore shows a path that a pattern with ! lets in again: -v tells them apart.
    command = ["git", "check-ignore", "--stdin", "-z", "--no-index", "-v", "--non-matching"]
    done = subprocess.run(
        command, cwd=top, input=b"\0".join(names), capture_output=True, env=GIT_ENV, timeout=60
    )
    assert done.returncode in {0, 1}, done.stderr
    fields = done.stdout.split(b"\0")
    rows = [fields[at : at + 4] for at in range(0, len(fields) - 3, 4)]
    return {path for _source, _line, pattern, path in rows if pattern and pattern[:1] != b"!"}


def _tree(top: Path) -> None:
    subprocess.run(["git", "init", "-q", str(top)], check=True, env=GIT_ENV, timeout=60)
    for one in ("a", "b", "ab", "a b", "[a]", "!a"):
        (top / one).mkdir()
        for two in ("a", "b"):
            (top / one / two).mkdir()
            for three in ("a", "b", "ab", "x.o"):
                (top / one / two / three).write_bytes(b"")
        (top / one / "x.o").write_bytes(b"")
        (top / one / "ab").write_bytes(b"")
    (top / "link").symlink_to("a")
    (top / os.fsdecode(b"\xff\xfe")).write_bytes(b"")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    require("git")
    top = tmp_path_factory.mktemp("git") / "repo"
    _tree(top)
    return top


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "*",
        "**",
        "?",
        "/",
        "/",
        ".",
        "[ab]",
        "[!a]",
        "[a",
        "x.o",
        "!",
        "#",
        "\\",
        "\\a",
        " ",
        "ab",
        "link",
    ]
)
LINES = st.lists(st.lists(PIECES, min_size=1, max_size=6).map("".join), min_size=1, max_size=5)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(top_lines=LINES, inner_lines=LINES)
def test_git_says_the_same(repository, top_lines, inner_lines):
    """Whatever stands in two files above one another, the same entries are left out."""
    (repository / ".gitignore").write_text("\n".join(top_lines))
    (repository / "a/.gitignore").write_text("\n".join(inner_lines))
    assert _ours(repository) == _gits(repository)


def test_files_above_what_is_sent(repository):
    """Also from within: the repository's top and its info/exclude count; outside of one nothing does."""
    (repository / ".gitignore").write_text("/a/b\n*.o\n!x.o\n")
    (repository / ".git/info/exclude").write_text("ab\n")
    (repository / "a/.gitignore").write_text("")
    found = ignored_above(os.fsencode(repository / "a"))
    assert found.ignores((b"b",), directory=True)
    assert not found.ignores((b"a",), directory=True)
    assert found.ignores((b"a", b"ab"), directory=False)
    assert found.ignores((b"y.o",), directory=False)
    assert not found.ignores((b"x.o",), directory=False)
    (repository / ".git/info/exclude").write_text("")
    assert ignored_above(os.fsencode(repository.parent)) == Ignored()


def test_files_that_are_none(tmp_path):
    """Links, pipes and far too long files named .gitignore say nothing."""
    empty = Ignored()
    os.mkfifo(tmp_path / ".gitignore")
    assert empty.within(os.fsencode(tmp_path), 0) == empty
    (tmp_path / ".gitignore").unlink()
    (tmp_path / "other").write_text("*")
    (tmp_path / ".gitignore").symlink_to("other")
    assert empty.within(os.fsencode(tmp_path), 0) == empty
    (tmp_path / ".gitignore").unlink()
    (tmp_path / ".gitignore").write_bytes(b"#" * (MAX_FILE - 2) + b"\na")
    assert empty.within(os.fsencode(tmp_path), 0) != empty
    (tmp_path / ".gitignore").write_bytes(b"#" * (MAX_FILE - 1) + b"\na")
    assert empty.within(os.fsencode(tmp_path), 0) == empty
