"""Patterns of names and paths, as git writes them in ``.gitignore``: for that file, and for filters.

Bytes, not text: ``?`` is one byte, as for git. Each entry is asked about by itself while a tree is walked
from its top, so what is below a directory that was left out is never asked about, as with git.

A peer may send patterns, and a tree from elsewhere may hold them: stars are matched without going back
(atomic groups), ``**`` with one step back at most, so the work is bounded by pattern times name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from twisted_xfer.values import Value

#: Longer ones are no pattern that anybody wrote; a path is at most as long.
MAX_PATTERN: Final = 4096
#: Beyond this a .gitignore is none; each of its lines is tried for each name.
MAX_FILE: Final = 1024 * 1024

_CLASSES: Final = {
    b"alnum": b"a-zA-Z0-9", b"alpha": b"a-zA-Z", b"blank": b" \\t", b"cntrl": b"\\x00-\\x1f\\x7f", b"digit": b"0-9",
    b"graph": b"\\x21-\\x7e", b"lower": b"a-z", b"print": b"\\x20-\\x7e",
    b"punct": b"\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e", b"space": b" \\t\\n\\r\\f\\v", b"upper": b"A-Z",
    b"xdigit": b"0-9a-fA-F",
}  # fmt: skip


@attrs.frozen(eq=False, repr=False)
class Rule(Value):
    """One pattern: ``steps`` are its components, None for ``**``.

    One component matches at any depth unless it is ``anchored``.
    """

    negated: bool
    directories: bool
    anchored: bool
    steps: tuple[re.Pattern[bytes] | None, ...]

    def matches(self, parts: tuple[bytes, ...], directory: bool) -> bool:
        """Whether the entry itself is meant, not what it is in."""
        if self.directories and not directory:
            return False
        if not self.anchored:
            step = self.steps[0]
            return step is None or step.match(parts[-1]) is not None
        return _match_path(self.steps, parts)


def _match_path(steps: tuple[re.Pattern[bytes] | None, ...], parts: tuple[bytes, ...]) -> bool:
    """Components against components; the last ``**`` met takes one more each time the rest does not fit."""
    step = part = 0
    back: tuple[int, int] | None = None
    while part < len(parts):
        if step < len(steps):
            wanted = steps[step]
            if wanted is None:
                if step == len(steps) - 1:
                    return True
                back = (step + 1, part)
                step += 1
                continue
            if wanted.match(parts[part]):
                step, part = step + 1, part + 1
                continue
        if back is None:
            return False
        step, part = back[0], back[1] + 1
        back = (step, part)
    # A ** at the end wants something below, and nothing is left.
    return step == len(steps)


@attrs.frozen(eq=False, repr=False)
class Patterns(Value):
    """Patterns in order; the last that matches counts."""

    rules: tuple[Rule, ...] = ()

    def verdict(self, parts: tuple[bytes, ...], directory: bool) -> bool | None:
        """True: matched, False: matched by one with ``!``, None: by none."""
        for rule in reversed(self.rules):
            if rule.matches(parts, directory):
                return not rule.negated
        return None


def parse_patterns(lines: Iterable[bytes], *, file: bool = False) -> Patterns:
    """Patterns, one each; in a ``file`` there may be comments, and blanks at a line's end."""
    rules = []
    for line in lines:
        if file and line[:1] == b"#":
            continue
        rule = _parse(_without_blanks(line.removesuffix(b"\r")) if file else line)
        if rule is not None:
            rules.append(rule)
    return Patterns(tuple(rules))


def parse_file(content: bytes) -> Patterns:
    """The patterns of a ``.gitignore``."""
    return parse_patterns(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), file=True)


def _without_blanks(line: bytes) -> bytes:
    """Without blanks at the end, unless a backslash keeps one."""
    kept = line.rstrip(b" ")
    slashes = len(kept) - len(kept.rstrip(b"\\"))
    return kept + b" " if slashes % 2 and len(line) > len(kept) else kept


def _parse(text: bytes) -> Rule | None:
    """None for what is no pattern, or can match nothing."""
    negated = text[:1] == b"!"
    text = text[negated:]
    directories = text[-1:] == b"/"
    if directories:
        text = text[:-1]
    anchored = b"/" in text
    text = text.removeprefix(b"/")
    if not text or len(text) > MAX_PATTERN or b"\0" in text:
        return None
    steps: list[re.Pattern[bytes] | None] = []
    for component in _components(text):
        if anchored and len(component) > 1 and not component.strip(b"*"):
            if not steps or steps[-1] is not None:
                steps.append(None)
            continue
        step = compile_component(component)
        if step is None:
            return None
        steps.append(step)
    return Rule(negated, directories, anchored, tuple(steps))


def _components(text: bytes) -> list[bytes]:
    """The parts between slashes; one within brackets is none, one behind a backslash is."""
    found, start, at = [], 0, 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"[":
            bracket = _bracket(text, at + 1)
            at = len(text) if bracket is None else bracket[1]
        elif byte == b"/" or text[at : at + 2] == b"\\/":
            found.append(text[start:at])
            at = start = at + (1 if byte == b"/" else 2)
        else:
            at += 2 if byte == b"\\" else 1
    return [*found, text[start:]]


def compile_component(pattern: bytes) -> re.Pattern[bytes] | None:
    """A regular expression for one component; None if it can match nothing."""
    pieces = [b""]
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
        elif byte == b"?":
            pieces[-1] += b"."
        elif byte == b"[":
            found = _bracket(pattern, at)
            if found is None:
                return None
            pieces[-1] += found[0]
            at = found[1]
        elif byte == b"\\":
            if at == len(pattern):
                return None
            pieces[-1] += re.escape(pattern[at : at + 1])
            at += 1
        else:
            pieces[-1] += re.escape(byte)
    if not pattern:
        return None
    expression = pieces[0]
    for piece in pieces[1:-1]:
        # The first place is as good as any later one: what follows may then begin with a star.
        expression += b"(?>.*?" + piece + b")"
    if len(pieces) > 1:
        expression += b".*" + pieces[-1]
    return re.compile(expression + rb"\Z", re.DOTALL)


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """``[...]`` from behind its ``[``: the expression and where it ends; None where it does not end."""
    negated = pattern[at : at + 1] in {b"!", b"^"}
    at += negated
    inside, first = [], True
    while True:
        byte = pattern[at : at + 1]
        if not byte:
            return None
        if byte == b"]" and not first:
            break
        first = False
        if byte == b"[" and pattern[at + 1 : at + 2] == b":":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                return None
            if pattern[end - 1 : end] == b":" and end - 1 >= at + 2:
                members = _CLASSES.get(pattern[at + 2 : end - 1])
                if members is None:
                    return None
                inside.append(members)
                at = end + 1
                continue
        if byte == b"\\":
            at += 1
            byte = pattern[at : at + 1]
            if not byte:
                return None
        at += 1
        last = pattern[at + 1 : at + 2]
        if pattern[at : at + 1] == b"-" and last and last != b"]":
            at += 2
            if last == b"\\":
                last = pattern[at : at + 1]
                at += 1
                if not last:
                    return None
            # Of a range that runs backwards git takes the first for itself.
            inside.append(re.escape(byte) + (b"-" + re.escape(last) if byte <= last else b""))
        else:
            inside.append(re.escape(byte))
    members = b"".join(inside)
    if not members:
        return (b"." if negated else b"(?!)"), at + 1
    return b"[" + (b"^" if negated else b"") + members + b"]", at + 1
