"""Listing arguments: ``-la`` flags in front of a path, and a pattern in its last component.

RFC 959 knows neither; every client sends both.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from twisted_xfer.errors import RemoteProtocolError

#: Letters of ls that clients send. A word with any other letter is a path that begins with a dash.
_FLAGS: Final = frozenset(b"aAlL1CdFhnrRSt")
#: No name is longer than NAME_MAX, so no pattern that is longer can be meant for one.
MAX_PATTERN: Final = 255
_MAGIC: Final = re.compile(rb"[*?\[]")
_ALL_BYTES: Final = frozenset(range(256))


class ListArgument(NamedTuple):
    """What LIST, NLST or STAT is asked for: flag letters, and a path (empty: here), as sent."""

    flags: frozenset[str]
    path: bytes

    @property
    def hidden(self) -> bool:
        """Whether names with a leading dot are wanted by flag."""
        return "a" in self.flags or "A" in self.flags


_NO_FLAGS: Final[frozenset[str]] = frozenset()


def parse_list_argument(argument: bytes) -> ListArgument:
    """Split flags off. ``--`` ends them, so ``-- -l`` and ``./-l`` name a file ``-l``."""
    if argument[:1] != b"-":
        return ListArgument(_NO_FLAGS, argument)
    flags: set[str] = set()
    rest = argument
    # Bounded by the length of the line: each turn takes a word away.
    while rest[:1] == b"-":
        word, _, after = rest.partition(b" ")
        if word == b"--":
            rest = after.lstrip(b" ")
            break
        if len(word) < 2 or not _FLAGS.issuperset(word[1:]):
            break
        flags.update(word[1:].decode("ascii"))
        rest = after.lstrip(b" ")
    return ListArgument(frozenset(flags), rest)


def split_glob(path: bytes) -> tuple[bytes, bytes] | None:
    """``directory/`` (or empty) and the pattern behind it; None when the last component is plain.

    A name may itself hold brackets: whoever lists tries the path as it stands first.
    """
    head, slash, last = path.rpartition(b"/")
    return (head + slash, last) if _MAGIC.search(last) else None


class Glob:
    """A pattern of ``*``, ``?``, ``[a-z]``, ``[!a]``, for byte names; a backslash escapes.

    Between two stars stands a run of fixed length, so the leftmost match of each run is as good as
    any: atomic groups keep the matching at O(name * pattern) whatever a peer sends. A leading dot
    is matched only by a dot, as in a shell.
    """

    __slots__ = ("_dot", "_match")

    def __init__(self, pattern: bytes) -> None:
        """Compile ``pattern``.

        Raises:
            RemoteProtocolError: longer than MAX_PATTERN.
        """
        if len(pattern) > MAX_PATTERN:
            raise RemoteProtocolError(detail="pattern too long")
        self._dot = pattern[:1] == b"."
        first, *runs = _runs(pattern)
        parts = [first]
        if runs:
            parts.extend(b"(?>.*?%b)" % run for run in runs[:-1] if run)
            parts.append(b".*" + runs[-1])
        self._match = re.compile(b"(?s:%b)" % b"".join(parts)).fullmatch

    def match(self, name: bytes) -> bool:
        """Whether ``name``, one component, is meant."""
        return (self._dot or name[:1] != b".") and self._match(name) is not None


def _runs(pattern: bytes) -> list[bytes]:
    """Regular expressions of the pieces between stars."""
    runs: list[bytes] = []
    run: list[bytes] = []
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        at += 1
        if char == b"*":
            runs.append(b"".join(run))
            run = []
        elif char == b"?":
            run.append(b".")
        elif (
            char == b"["
            and (close := pattern.find(b"]", at + 1 + (pattern[at : at + 1] in {b"!", b"^"}))) >= 0
        ):
            run.append(_class(pattern[at:close]))
            at = close + 1
        else:
            if char == b"\\" and at < len(pattern):
                char = pattern[at : at + 1]
                at += 1
            run.append(re.escape(char))
    runs.append(b"".join(run))
    return runs


def _class(body: bytes) -> bytes:
    """A bracket expression, from its own bytes, never handed on as written."""
    negated = body[:1] in {b"!", b"^"}
    if negated:
        body = body[1:]
    chosen: set[int] = set()
    at = 0
    while at < len(body):
        if body[at + 1 : at + 2] == b"-" and at + 2 < len(body):
            chosen.update(range(body[at], body[at + 2] + 1))
            at += 3
        else:
            chosen.add(body[at])
            at += 1
    if negated:
        chosen = set(_ALL_BYTES - chosen)
    if not chosen:
        return b"(?!)"
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(chosen))
