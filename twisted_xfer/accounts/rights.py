"""Rights: how they are written, and which ones hold at a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import attrs

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, Right, WriteIntent
from twisted_xfer.paths import MAX_PATH, VirtualPath

#: Names for the usual sets, beside the rights' own names.
PRESETS: Final[Mapping[str, frozenset[Right]]] = {
    "none": frozenset(),
    "read": READ_ONLY,
    "read-only": READ_ONLY,
    "read-write": ALL_RIGHTS,
    "all": ALL_RIGHTS,
    # A drop box takes files and shows nothing; what is there cannot be replaced.
    "drop": frozenset({Right.WRITE}),
    # Everything but undoing: for cameras and backups.
    "add": frozenset({Right.LIST, Right.READ, Right.WRITE, Right.MKDIR, Right.UTIME}),
}

#: Patterns of one account: more is a mistake, and each is tried for each verb.
MAX_PATTERNS: Final = 100
#: Rights named in one string: every name a few times over.
MAX_WORDS: Final = 100


def parse_rights(value: object, *, key: str = "rights", file: str = "") -> frozenset[Right]:
    """Rights from a preset (``"read-write"``), names (``"list,read"``) or a list of both.

    Within a list, ``read`` is the right alone when other names stand beside it and the preset
    (list and read) when it stands alone: what people mean by each.

    Raises:
        ConfigError: a name that is neither.
    """
    if isinstance(value, str):
        words = value.replace(",", " ").split()
    elif isinstance(value, Iterable):
        words = [str(word) for word in value]
    else:
        raise ConfigError(key, value=value, file=file, remedy="give a string or a list of rights")
    if len(words) > MAX_WORDS:
        raise ConfigError(key, value=len(words), file=file, remedy=f"name at most {MAX_WORDS} rights")
    if len(words) == 1 and words[0].lower() in PRESETS:
        return PRESETS[words[0].lower()]
    rights: set[Right] = set()
    for word in words:
        name = word.lower()
        if name in _BY_NAME:
            rights.add(_BY_NAME[name])
        elif name in PRESETS:
            rights |= PRESETS[name]
        else:
            known = ", ".join([*_BY_NAME, *(preset for preset in PRESETS if preset not in _BY_NAME)])
            raise ConfigError(key, value=word, file=file, remedy=f"use one of: {known}")
    return frozenset(rights)


_BY_NAME: Final[Mapping[str, Right]] = {right.value: right for right in Right}


_STAR, _ANY = b"*?"


def match_name(pattern: bytes, name: bytes) -> bool:
    """Whether one path component fits ``pattern`` (``*`` and ``?``), in linear space.

    Steps are bounded by ``len(pattern) * len(name)``: after a mismatch only the last star moves.
    """
    at = in_pattern = 0
    star = -1
    resume = 0
    while at < len(name):
        if in_pattern < len(pattern) and pattern[in_pattern] == _STAR:
            star, resume = in_pattern, at
            in_pattern += 1
        elif in_pattern < len(pattern) and pattern[in_pattern] in {_ANY, name[at]}:
            in_pattern += 1
            at += 1
        elif star >= 0:
            resume += 1
            at, in_pattern = resume, star + 1
        else:
            return False
    return all(byte == _STAR for byte in pattern[in_pattern:])


class PathPattern:
    """A pattern over whole paths: ``*`` and ``?`` within a name, ``**`` for any names.

    ``/a/**`` is ``/a`` and all below it, so that a directory is guarded with its contents.
    """

    __slots__ = ("_literal", "_parts")

    def __init__(self, text: str) -> None:
        """Compile ``text``.

        Raises:
            ConfigError: a pattern over MAX_PATH.
        """
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) > MAX_PATH or b"\0" in raw:
            raise ConfigError("path_rights", value=text[:80], remedy=f"use a pattern under {MAX_PATH} bytes")
        parts = [part for part in raw.split(b"/") if part not in {b"", b"."}]
        # Stars beside each other say nothing more than one, and would cost more.
        self._parts = tuple(
            part for i, part in enumerate(parts) if part != b"**" or parts[i - 1 : i] != [b"**"]
        )
        wild = next(
            (i for i, part in enumerate(self._parts) if b"*" in part or b"?" in part), len(self._parts)
        )
        self._literal = self._parts[:wild]

    def matches(self, path: VirtualPath) -> bool:
        """Whether ``path`` fits: at most pattern names times path names (MAX_DEPTH) comparisons."""
        parts, names = self._parts, path.parts
        at = in_pattern = 0
        star = -1
        resume = 0
        while at < len(names):
            if in_pattern < len(parts) and parts[in_pattern] == b"**":
                star, resume = in_pattern, at
                in_pattern += 1
            elif in_pattern < len(parts) and match_name(parts[in_pattern], names[at]):
                in_pattern += 1
                at += 1
            elif star >= 0:
                resume += 1
                at, in_pattern = resume, star + 1
            else:
                return False
        return all(part == b"**" for part in parts[in_pattern:])

    def below(self, path: VirtualPath) -> bool:
        """Whether the place this pattern names lies strictly below ``path``.

        A pattern that starts with a wildcard follows names wherever they are, so it names no place.
        """
        depth = len(path.parts)
        return len(self._literal) > depth and self._literal[:depth] == path.parts

    def after(self, path: VirtualPath) -> frozenset[int]:
        """The components that may come next behind ``path``; the number of them all where nothing need.

        As many steps as matches() at most, times the stars among them. Of two places with the same
        answer all below is the same to the pattern.
        """
        parts = self._parts
        found = self._with_empty({0})
        for name in path.parts:
            step = {i for i in found if i < len(parts) and parts[i] == b"**"}
            step |= {
                i + 1 for i in found if i < len(parts) and parts[i] != b"**" and match_name(parts[i], name)
            }
            found = self._with_empty(step)
            if not found:
                break
        return found

    def _with_empty(self, found: set[int]) -> frozenset[int]:
        """A ``**`` may stand for nothing. No two are beside each other."""
        return frozenset(found | {i + 1 for i in found if self._parts[i : i + 1] == (b"**",)})

    def covers(self, after: frozenset[int]) -> bool:
        """Whether everything below a place with this answer of after() fits."""
        return self._parts[-1:] == (b"**",) and len(self._parts) - 1 in after

    def names_below(self, after: frozenset[int]) -> bool:
        """Whether it names anything below such a place, and not just names wherever they are."""
        anywhere = self._with_empty({0}) if self._parts[:1] == (b"**",) else frozenset()
        return any(i < len(self._parts) for i in after - anywhere)


class PathRights:
    """The rights of one account at each path."""

    __slots__ = ("_rules", "_within", "base")

    def __init__(
        self, base: frozenset[Right], rules: Iterable[tuple[str, frozenset[Right]]] = (), within: str = ""
    ) -> None:
        """``rules`` are (pattern, rights); the last one that matches a path decides.

        There are none outside of the directory ``within``, if it is given.

        Raises:
            ConfigError: over MAX_PATTERNS, or a pattern that cannot be one.
            NameInvalid: ``within`` cannot be a path.
        """
        self.base = base
        self._within = VirtualPath.parse(within.encode("utf-8", "surrogateescape")) if within else None
        self._rules = tuple((PathPattern(pattern), rights) for pattern, rights in rules)
        if len(self._rules) > MAX_PATTERNS:
            raise ConfigError(
                "path_rights", value=len(self._rules), remedy=f"use at most {MAX_PATTERNS} patterns"
            )

    def at(self, path: VirtualPath) -> frozenset[Right]:
        """The rights that hold at ``path``."""
        if self._within is not None and not path.is_within(self._within):
            return frozenset()
        for pattern, rights in reversed(self._rules):
            if pattern.matches(path):
                return rights
        return self.base

    def throughout(self, path: VirtualPath) -> frozenset[Right]:
        """The rights that hold at ``path`` and at every place below that a rule names.

        Moving a directory moves what is below it out of its rules' reach, so a move needs these.
        """
        rights = self.at(path)
        for pattern, below in self._rules:
            if pattern.below(path):
                rights &= below
        return rights

    def lacks_to_move(self, source: VirtualPath, target: VirtualPath) -> tuple[Right, VirtualPath] | None:
        """The right that a directory lacks to move, and where; None where it lacks none.

        It takes rename where a rule, wildcards and all, names something below ``source`` that it does not
        name below ``target``, and write the other way round.
        """
        rules = [
            (pattern, rights, pattern.after(source), pattern.after(target))
            for pattern, rights in reversed(self._rules)
        ]
        for right, path, at_source in ((Right.RENAME, source, True), (Right.WRITE, target, False)):
            for pattern, rights, here, there in rules:
                after = here if at_source else there
                if pattern.covers(after):
                    # What is said before it counts for nothing below.
                    break
                if here != there and right not in rights and pattern.names_below(after):
                    return right, path
        return None

    @property
    def varied(self) -> bool:
        """Whether any path differs from the base."""
        return bool(self._rules) or self._within is not None


def rights_to_write(intent: WriteIntent, published: int | None) -> tuple[Right, ...]:
    """Which rights ``intent`` takes where ``published`` bytes, or nothing, stand already."""
    if published is None or intent.unique:
        return (Right.WRITE,)
    # With a key it goes on with one's own part or begins anew, and never continues what is published.
    if intent.append and not intent.key:
        return (Right.APPEND,)
    if intent.offset and not intent.key:
        return (Right.APPEND,) if intent.offset >= published else (Right.APPEND, Right.OVERWRITE)
    if intent.if_exists != "overwrite":
        # The storage itself refuses or takes another name.
        return (Right.WRITE,)
    return (Right.WRITE, Right.OVERWRITE)


def under_policy(intent: WriteIntent, if_exists: Literal["overwrite", "refuse", "rename"]) -> WriteIntent:
    """``intent`` where the account says what becomes of taken names: a protocol may ask for less, not for more.

    Going on with what is published (APPE, REST) is no replacing, and has rights of its own.
    """
    replaces = intent.if_exists == "overwrite" and not intent.unique
    if not replaces or if_exists == "overwrite" or ((intent.append or intent.offset) and not intent.key):
        return intent
    return attrs.evolve(intent, if_exists=if_exists)
