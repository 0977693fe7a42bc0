"""Exit codes of the command line: stable, for scripts."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """What the process answers."""

    VERIFIED = 0
    OTHER = 1
    USAGE = 2
    SOME_FAILED = 3
    NO_CONNECTION = 4
    AUTHENTICATION = 5
    REFUSED = 6
    STORAGE = 7
    INTEGRITY = 8
    RESUMABLE = 9
    INTERRUPTED = 130
