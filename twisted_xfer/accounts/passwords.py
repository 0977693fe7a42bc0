"""Password hashes: making, checking, and a short memory of those checked just now."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError, VerificationError

from twisted_xfer.interfaces import RandomBytes

#: RFC 9106 argon2id, in the OWASP setting for servers that check many at once: 19 MiB, two passes,
#: one lane, about 20 ms a check, so that a pool of two threads holds 40 MiB at most.
TIME_COST: Final = 2
MEMORY_KIB: Final = 19_456
LANES: Final = 1
HASH_BYTES: Final = 32
SALT_BYTES: Final = 16

#: What a stored hash may ask for: beyond it one login would take the machine's memory or minutes.
MAX_MEMORY_KIB: Final = 1 << 20
MAX_TIME_COST: Final = 64
MAX_LANES: Final = 64
#: Longest hash text that can be meant.
MAX_HASH_TEXT: Final = 512
#: Longest password that is looked at, in bytes; FTP lines are shorter anyhow.
MAX_PASSWORD: Final = 1024

#: Seconds for which a verified login is remembered: a device that connects for every file pays
#: once a minute, and a removed password is gone soon even if the users file does not say so.
CACHE_SECONDS: Final = 60.0
#: Logins remembered; the oldest go first.
CACHE_ENTRIES: Final = 10_000

_hasher = argon2.PasswordHasher(
    time_cost=TIME_COST,
    memory_cost=MEMORY_KIB,
    parallelism=LANES,
    hash_len=HASH_BYTES,
    salt_len=SALT_BYTES,
)


def hash_password(password: bytes | str, *, salt: bytes | None = None) -> str:
    """The text to store for ``password``; ``salt`` (16 bytes) is random unless given."""
    return _hasher.hash(password, salt=salt)


def verify_password(stored: str, password: bytes) -> bool:
    """Whether ``password`` is the one behind ``stored``. Takes tens of milliseconds: never on the reactor."""
    try:
        return _hasher.verify(stored, password[: MAX_PASSWORD + 1]) and len(password) <= MAX_PASSWORD
    except (VerificationError, InvalidHashError, Argon2Error):
        return False


def is_hash(stored: str) -> bool:
    """Whether ``stored`` is an argon2 hash whose cost can be borne."""
    if len(stored) > MAX_HASH_TEXT:
        return False
    try:
        cost = argon2.extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return False
    return (
        0 < cost.memory_cost <= MAX_MEMORY_KIB
        and 0 < cost.time_cost <= MAX_TIME_COST
        and 0 < cost.parallelism <= MAX_LANES
        and len(stored.split("$")) == 6
    )


def dummy_hash(random: RandomBytes, like: str = "") -> str:
    """A hash that no password has, as costly to check as ``like``: for users who do not exist."""
    head = like.rpartition("$")[0].rpartition("$")[0] if like else ""
    if not head:
        head = f"$argon2id$v=19$m={MEMORY_KIB},t={TIME_COST},p={LANES}"
    salt, digest = (base64.b64encode(random(n)).rstrip(b"=").decode() for n in (SALT_BYTES, HASH_BYTES))
    return f"{head}${salt}${digest}"


class VerifiedLogins:
    """Remembers, for a minute and in memory only, which logins were verified.

    What is kept is an HMAC under a key of this process, over the user, the stored hash and the
    password: no password, nothing that can be tried offline without the key, and a changed hash
    is another entry.

    Args:
        seconds: the clock.
        random: for the key.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        random: RandomBytes,
        *,
        lifetime: float = CACHE_SECONDS,
        entries: int = CACHE_ENTRIES,
    ) -> None:
        self._seconds = seconds
        self._key = random(32)
        self._lifetime = lifetime
        self._most = entries
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def _mark(self, username: str, stored: str, password: bytes) -> bytes:
        name = username.encode("utf-8", "surrogateescape")
        # Names and hashes hold no NUL, so the three cannot run into each other.
        return hmac.digest(self._key, b"\0".join((name, stored.encode(), password)), hashlib.sha256)

    def knows(self, username: str, stored: str, password: bytes) -> bool:
        """Whether exactly this was verified a short while ago."""
        if not self._until or len(password) > MAX_PASSWORD:
            return False
        mark = self._mark(username, stored, password)
        until = self._until.get(mark)
        if until is None:
            return False
        if until <= self._seconds():
            del self._until[mark]
            return False
        return True

    def remember(self, username: str, stored: str, password: bytes) -> None:
        """It was verified just now."""
        mark = self._mark(username, stored, password)
        self._until[mark] = self._seconds() + self._lifetime
        self._until.move_to_end(mark)
        while len(self._until) > self._most:
            self._until.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._until.clear()
