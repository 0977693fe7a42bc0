"""What happens during a transfer, as events for whoever watches, and the sum of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

import attrs

from twisted_xfer.values import Shown

Kind: TypeAlias = Literal[
    "connected", "started", "progress", "done", "skipped", "would", "failed", "reconnecting"
]


class TransferEvent(NamedTuple):
    """One step. A named tuple because each file has one, which costs half as much so. ``path`` is relative, as on the wire; ``position`` and ``size`` are bytes.

    ``done`` carries the verified ``digest`` and where it is ``stored_as``; ``failed`` and
    ``reconnecting`` the ``error``; ``resumed`` is where a transfer went on from, ``saved`` how much of it did not move: holes, and what compression took away. ``would`` is a dry run's
    answer, ``why`` it is ``store`` or ``replace``; for ``skipped``, ``same`` or ``newer``.
    """

    kind: Kind
    path: bytes = b""
    type: str = "file"
    size: int | None = None
    position: int = 0
    resumed: int = 0
    digest: bytes = b""
    hash: str = ""
    stored_as: bytes = b""
    error: Exception | None = None
    seconds: float = 0.0
    mtime_ns: int | None = None
    mode: int | None = None
    why: str = ""
    saved: int = 0


#: Why a SKIP is no skip: the answers of a dry run.
WOULD: Final = ("store", "replace")


def skip_kind(why: str) -> Kind:
    """What a SKIP is for whoever watches."""
    return "would" if why in WOULD else "skipped"


OnEvent = Callable[[TransferEvent], object]


def ignore(_event: TransferEvent) -> None:
    """For whoever does not watch."""


@attrs.define(repr=False)
class Summary(Shown):
    """What came of it all. ``bytes`` moved over the wire, ``verified`` bytes are known to be stored."""

    files: int = 0
    directories: int = 0
    links: int = 0
    skipped: int = 0
    would: int = 0
    moved: int = 0
    verified: int = 0
    failures: list[tuple[bytes, Exception]] = attrs.field(factory=list)
    #: Names of failures are kept up to MAX_FAILURES, their number always.
    failed: int = 0
    digest: bytes = b""
    hash: str = ""

    def note(self, event: TransferEvent) -> None:
        """Add an event to the sum."""
        kind = event.kind
        if kind == "done":
            entry, position = event.type, event.position
            if entry == "file":
                self.files += 1
                self.moved += max(0, position - event.resumed - event.saved)
                self.verified += position
                self.digest, self.hash = event.digest, event.hash
            elif entry == "dir":
                self.directories += 1
            else:
                self.links += 1
        elif kind == "skipped":
            self.skipped += 1
        elif kind == "would":
            # Nothing moves in a dry run, so the sum is of what would.
            self.would += 1
            self.moved += event.size or 0
        elif kind == "failed":
            self.failed += 1
            if len(self.failures) < MAX_FAILURES and event.error is not None:
                self.failures.append((event.path, event.error))


#: Failures that are kept by name; a tree may have a hundred thousand of them.
MAX_FAILURES = 1000
