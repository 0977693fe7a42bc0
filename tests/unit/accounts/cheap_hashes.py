"""Hashes of passwords that cost next to nothing to check."""

import argon2

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = CHEAP.hash(b"secret")
OTHER = CHEAP.hash(b"changed")
