"""Short commands pay for what they need: most of their time is the import of what moves the bytes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


class _Process:
    """Whether nothing else runs in this one, before the command or behind it."""

    ours = False


@contextmanager
def process() -> Iterator[None]:
    """For the console script, around its command."""
    _Process.ours = True
    try:
        yield
    finally:
        _Process.ours = False
        # What is left goes with the process.
        gc.freeze()


@contextmanager
def imports() -> Iterator[None]:
    """Around imports: what they make stays, and nobody looks for garbage in it, now or later.

    Measured: with ``process`` a fifth of the CPU of ``xfer send`` for one file.
    """
    if not (_Process.ours and gc.isenabled()):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
