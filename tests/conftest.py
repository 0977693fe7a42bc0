"""What holds for every test."""

from __future__ import annotations

import functools
import gc
from importlib import metadata

import pytest
from hypothesis import settings

# The same examples on every run and no judgement by the clock: a failure is a fact about the code.
settings.register_profile("xfer", derandomize=True, deadline=None)
settings.load_profile("xfer")

# pytest asks for Twisted's version before each test, and each time its metadata is parsed: a millisecond.
metadata.version = functools.cache(metadata.version)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what is loaded by now out of collections: tests that ask for one would pay for all of it, each time."""
    gc.collect()
    gc.freeze()
