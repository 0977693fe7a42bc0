"""Tokens: random secrets that stand for an account, with less rights and for a while."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import attrs

from twisted_xfer.errors import Busy, LoginFailed, LoginRefused, StorageFailure
from twisted_xfer.interfaces import Account, QuotaScope, RandomBytes, Right

#: What every token begins with, so that scanners for leaked secrets can know it.
PREFIX: Final = "xfer_"
#: 256 random bits: nothing to guess, so that one fast hash is enough.
TOKEN_BYTES: Final = 32
TOKEN_LENGTH: Final = len(PREFIX) + 43
KEY_BYTES: Final = 32
#: Tokens of one user: more are a list that nobody keeps.
MAX_TOKENS: Final = 100
#: The file of tokens that were used up: its lines are those of tokens that there are.
MAX_SPENT: Final = 8 << 20


class Token(NamedTuple):
    """A token as it is stored. ``digest`` is its keyed hash in hex; the token itself is nowhere.

    ``path`` is the directory of the account that it is good for; ``rights`` are the most that it
    gives, None for the account's; ``size`` are the bytes that may be below its path; ``expires`` is in
    Unix seconds; ``once``: for one login.
    """

    name: str
    digest: str
    path: str = "/"
    rights: frozenset[Right] | None = None
    size: int | None = None
    expires: float | None = None
    once: bool = False

    def __repr__(self) -> str:
        return f"<Token {self.name!r}>"

    def account(self, account: Account) -> Account:
        """What ``account`` may do by this token: never more than by its password."""
        narrowed = account if self.rights is None else _narrowed(account, self.rights)
        scopes = account.quota_scopes
        if self.size is not None:
            scopes += (QuotaScope(f"/token/{self.digest[:32]}", self.size, below=self.path),)
        ends = [moment for moment in (account.expires, self.expires) if moment is not None]
        return attrs.evolve(
            narrowed,
            within="" if self.path == "/" else self.path,
            quota_scopes=scopes,
            expires=min(ends, default=None),
        )


def _narrowed(account: Account, rights: frozenset[Right]) -> Account:
    paths = tuple((pattern, allowed & rights) for pattern, allowed in account.path_rights)
    return attrs.evolve(account, rights=account.rights & rights, path_rights=paths)


def make_token(random: RandomBytes) -> str:
    """A fresh token, to be shown once."""
    return PREFIX + base64.urlsafe_b64encode(random(TOKEN_BYTES)).decode().rstrip("=")


def looks_like_token(raw: bytes) -> bool:
    """Whether ``raw`` has the form of one."""
    if len(raw) != TOKEN_LENGTH or not raw.startswith(PREFIX.encode()):
        return False
    try:
        return len(base64.b64decode(raw[len(PREFIX) :] + b"=", b"-_", validate=True)) == TOKEN_BYTES
    except binascii.Error:
        return False


def token_digest(key: bytes, token: bytes) -> str:
    """The hash that is stored, under the key of its file: hashes of other files are worth nothing in it."""
    return hmac.digest(key, b"xfer token 1" + token, "sha256").hex()


class Owned(NamedTuple):
    """A token and whose it is."""

    username: str
    token: Token


class SpentTokens:
    """The tokens for one login that had it: one digest a line in a file that all workers share.

    What is in it is bounded by the tokens that there are: others are dropped when one is added.

    Raises:
        StorageFailure: the file cannot be kept. Busy: somebody else keeps it locked.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def spend(self, digest: str, known: Callable[[str], bool]) -> None:
        """Use up the token of ``digest``; ``known`` tells which of the others there still are.

        Raises:
            LoginFailed: it was used up before.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with open(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lines = file.read(MAX_SPENT).decode("ascii", "replace").split()
                if digest in lines:
                    raise LoginFailed
                kept = [line for line in lines if known(line)]
                text = "".join(f"{line}\n" for line in [*kept, digest]).encode("ascii")
                # Longer first: a crash in between leaves no line out.
                file.seek(0)
                file.write(text)
                file.truncate(len(text))
                os.fsync(file.fileno())
        except BlockingIOError:
            raise Busy(self.path, "tokens are being spent") from None
        except OSError as error:
            raise StorageFailure(self.path, error.strerror or "", errno=error.errno) from error


def find_token(
    digests: Mapping[str, Owned], key: bytes, token: bytes, account: bytes, now: float
) -> Owned | None:
    """Whose token it is; None for nobody's, and for another's than that account's.

    Raises:
        LoginRefused: it has expired.
    """
    if not key or not looks_like_token(token):
        return None
    # The digest is keyed, so that what a look into the table costs tells nothing of its keys.
    owned = digests.get(token_digest(key, token))
    if owned is None or (account and owned.username.encode("utf-8", "surrogateescape") != account):
        return None
    if owned.token.expires is not None and now >= owned.token.expires:
        raise LoginRefused(owned.username, f"token {owned.token.name} expired")
    return owned


def content_key(parts: list[str]) -> bytes:
    """A key for a file that has none: out of its own secrets, the same in every worker until an edit."""
    return hashlib.sha256(b"\0".join(part.encode() for part in ["xfer key 1", *sorted(parts)])).digest()
