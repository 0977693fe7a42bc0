"""Which entries of a tree are to be sent: filters, and what the tree itself wants to be ignored."""

from __future__ import annotations

import os
import stat
from typing import Final

import attrs

from twisted_xfer.protocols.xfer.patterns import MAX_FILE, Patterns, parse_file, parse_patterns
from twisted_xfer.values import Value

IGNORE_FILE: Final = b".gitignore"
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
#: How far up a repository's own directory is looked for.
MAX_UP: Final = 64


def _parsed(lines: tuple[bytes, ...]) -> Patterns:
    return parse_patterns(lines)


@attrs.frozen(eq=False, repr=False)
class Chosen(Value):
    """Filters of a tree: patterns as in ``.gitignore``, of names at any depth, or of paths from the top.

    What matches ``exclude`` is left out with all below. With ``include`` only what matches it is taken,
    with all below; directories on the way are. ``gitignore`` heeds the tree's own files of this name,
    and those above it up to the repository's top.
    """

    exclude: tuple[bytes, ...] = ()
    include: tuple[bytes, ...] = ()
    gitignore: bool = False
    excluded: Patterns = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _parsed(self.exclude), takes_self=True)
    )
    included: Patterns = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _parsed(self.include), takes_self=True)
    )

    def takes(self, parts: tuple[bytes, ...], *, directory: bool = False) -> bool:
        """Whether an entry is to be looked at: sent itself, or a directory to look into."""
        return not self.excluded.verdict(parts, directory)

    def names(self, parts: tuple[bytes, ...], *, directory: bool = False) -> bool:
        """Whether an entry is wanted for its own sake, with all below if it is a directory."""
        return not self.include or bool(self.included.verdict(parts, directory))


EVERYTHING: Final = Chosen()


@attrs.frozen(eq=False, repr=False)
class Ignored(Value):
    """What the ``.gitignore`` files above a place want ignored: (depth of the file, patterns), outermost first."""

    files: tuple[tuple[int, Patterns], ...] = ()
    #: Names between the outermost file and the tree's own top.
    above: tuple[bytes, ...] = ()

    def within(self, path: bytes, depth: int) -> Ignored:
        """The same in the directory ``path``, which is ``depth`` below the tree's top."""
        found = _read(os.path.join(path, IGNORE_FILE))
        if found is None or not found.rules:
            return self
        return attrs.evolve(self, files=(*self.files, (len(self.above) + depth, found)))

    def ignores(self, parts: tuple[bytes, ...], *, directory: bool) -> bool:
        """Whether the entry ``parts`` below the tree's top is: the innermost file that says something counts."""
        full = (*self.above, *parts)
        for depth, patterns in reversed(self.files):
            verdict = patterns.verdict(full[depth:], directory)
            if verdict is not None:
                return verdict
        return False


def ignored_above(path: bytes) -> Ignored:
    """What is ignored in the directory ``path`` because of files above it, if it is in a repository."""
    top = here = os.path.realpath(path)
    for _ in range(MAX_UP):
        if os.path.lexists(os.path.join(top, b".git")):
            break
        parent = os.path.dirname(top)
        if parent == top:
            return Ignored()
        top = parent
    else:
        return Ignored()
    above = tuple(part for part in here[len(top) :].split(b"/") if part)
    everywhere = _read(os.path.join(top, b".git/info/exclude"))
    found = Ignored(((0, everywhere),) if everywhere is not None else (), above)
    for depth in range(len(above)):
        place = os.path.join(top, *above[:depth])
        found = found.within(place, depth - len(above))
    return found


def _read(path: bytes) -> Patterns | None:
    """The patterns of a plain file; None where there is none, or it is far too long."""
    try:
        fd = os.open(path, _READ | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            return None
        content = b""
        while len(content) <= MAX_FILE and (more := os.read(fd, MAX_FILE)):
            content += more
        return parse_file(content)
    except OSError:
        return None
    finally:
        os.close(fd)
