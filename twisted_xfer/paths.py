"""Virtual paths: what a client names, as bytes, below the root of its account.

A name is bytes and stays bytes; charsets are a matter of the protocol that speaks to the
client. ``..`` is resolved here, lexically, so that no storage ever sees it.
"""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import NameInvalid

#: Linux PATH_MAX; also what other FTP servers take at most.
MAX_PATH: Final = 4096
#: NAME_MAX of every Linux file system in use.
MAX_NAME: Final = 255
#: Deeper trees are legal on disk but never meant; a bound keeps the walk of the jail short.
MAX_DEPTH: Final = 128
#: As numbers: to look for a byte that is given as bytes costs nine times as much.
_NUL: Final = 0
_SLASH: Final = ord("/")


class VirtualPath:
    """An absolute path of byte names below an account's root. Immutable and hashable."""

    __slots__ = ("parts",)

    parts: tuple[bytes, ...]

    def __init__(self, parts: tuple[bytes, ...] = ()) -> None:
        self.parts = parts

    @classmethod
    def parse(cls, raw: bytes, base: VirtualPath | None = None) -> VirtualPath:
        """Read a client's path, relative to ``base`` unless it starts with ``/``.

        Raises:
            NameInvalid: NUL, a path over MAX_PATH, a name over MAX_NAME or a depth over MAX_DEPTH.
        """
        if len(raw) > MAX_PATH:
            raise NameInvalid(raw[:80], "path too long", limit=MAX_PATH)
        if _NUL in raw:
            raise NameInvalid(raw[:80], "NUL in path")
        parts = [] if base is None or raw[:1] == b"/" else list(base.parts)
        for part in raw.split(b"/"):
            if part in {b"", b"."}:
                continue
            if part == b"..":
                if parts:
                    parts.pop()
                continue
            if len(part) > MAX_NAME:
                raise NameInvalid(raw[:80], "name too long", limit=MAX_NAME)
            parts.append(part)
        if len(parts) > MAX_DEPTH:
            raise NameInvalid(raw[:80], "path too deep", limit=MAX_DEPTH)
        return cls(tuple(parts))

    def child(self, name: bytes) -> VirtualPath:
        """The entry ``name`` of this directory.

        Raises:
            NameInvalid: when ``name`` is not one plain component.
        """
        if name in {b"", b".", b".."} or _SLASH in name or _NUL in name or len(name) > MAX_NAME:
            raise NameInvalid(name[:80], "not a plain name")
        return VirtualPath((*self.parts, name))

    @property
    def name(self) -> bytes:
        """The last component; empty for the root."""
        return self.parts[-1] if self.parts else b""

    @property
    def parent(self) -> VirtualPath:
        """The directory above; the root is its own parent."""
        return VirtualPath(self.parts[:-1])

    def is_within(self, other: VirtualPath) -> bool:
        """Whether this path is ``other`` or below it."""
        return self.parts[: len(other.parts)] == other.parts

    def __bytes__(self) -> bytes:
        return b"/" + b"/".join(self.parts)

    def __repr__(self) -> str:
        return f"VirtualPath({bytes(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VirtualPath) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


ROOT: Final = VirtualPath()
