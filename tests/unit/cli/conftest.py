"""What the tests of several commands begin with."""

from __future__ import annotations

import pytest

from twisted_xfer.accounts import passwords


@pytest.fixture
def cheap_passwords(monkeypatch):
    """Hashes and verifiers cost next to nothing, and ``XFER_PASSWORD`` is what they are of."""
    cheap = passwords.argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr("twisted_xfer.sansio.scram.Verifier.of.__func__.__defaults__", (4096,))
    monkeypatch.setenv("XFER_PASSWORD", "s3cret")
