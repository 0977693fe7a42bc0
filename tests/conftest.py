"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# The same examples on every run and no judgement by the clock: a failure is a fact about the code.
settings.register_profile("xfer", derandomize=True, deadline=None)
settings.load_profile("xfer")
