"""The CODE mechanism: a PAKE (SPAKE2, RFC 9382's family) over a code that people pass on by voice.

Both sides derive a key from the code; each proves it with an HMAC over both HELLOs and the TLS
session's exporter (RFC 9266), so that whoever sits between them has one guess and is then noticed.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from twisted_xfer.errors import LoginFailed
from twisted_xfer.interfaces import RandomBytes

#: Letters and digits that nobody takes for one another: 5 bits each.
ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
#: Nine of them are 44 bits; one guess is all that anybody has.
GROUPS: Final = 3
_CALLER: Final = b"xfer caller"
_LISTENER: Final = b"xfer listener"


def make_code(random: RandomBytes) -> str:
    """A fresh code, such as ``k7m-2xq-9fd``."""
    letters: list[str] = []
    while len(letters) < GROUPS * 3:
        letters.extend(ALPHABET[byte & 31] for byte in random(16) if byte & 31 < len(ALPHABET))
    return "-".join("".join(letters[at : at + 3]) for at in range(0, GROUPS * 3, 3))


def normal(code: str) -> bytes:
    """A code as people type it: case, blanks and dashes do not count."""
    return "".join(letter for letter in code.lower() if letter.isalnum()).encode("utf-8")


class Pairing:
    """One side of one exchange. Each method may be called once.

    ``binding`` is what both ends of this very connection see alike, and nobody between them does.
    """

    def __init__(self, code: str, binding: bytes, random: RandomBytes, *, caller: bool) -> None:
        # It computes its group when it is imported, which nobody needs who has no code.
        from spake2 import SPAKE2_A, SPAKE2_B

        kind = SPAKE2_A if caller else SPAKE2_B
        self._spake: Any = kind(normal(code), idA=_CALLER, idB=_LISTENER, entropy_f=random)
        self._binding = binding
        self._key = b""
        self.message: bytes = self._spake.start()

    def receive(self, message: bytes) -> None:
        """The other side's message. Raises LoginFailed when it is none."""
        from spake2 import SPAKEError

        try:
            shared: bytes = self._spake.finish(message)
        except (SPAKEError, ValueError, AssertionError, IndexError, TypeError):
            # The library checks group elements by several kinds of exceptions.
            raise LoginFailed from None
        self._key = hmac.digest(shared, b"xfer pairing 1" + self._binding, "sha256")

    def proof(self, of: bytes = _CALLER) -> bytes:
        """What shows that we know the key."""
        return hmac.digest(self._key, of, "sha256")

    def listener_proof(self) -> bytes:
        """The listener's, to be sent only after the caller's was right."""
        return self.proof(_LISTENER)

    def check(self, proof: bytes) -> None:
        """The caller's proof. Raises LoginFailed."""
        if not self._key or not hmac.compare_digest(proof, self.proof()):
            raise LoginFailed

    def check_listener(self, proof: bytes) -> None:
        """The listener's proof. Raises LoginFailed."""
        if not self._key or not hmac.compare_digest(proof, self.listener_proof()):
            raise LoginFailed


def binding_of(hellos: list[bytes], exporter: bytes) -> bytes:
    """What both sides of one connection have in common: the HELLOs, and the TLS session if there is one."""
    return hello_digest(hellos) + hashlib.sha256(exporter).digest()


def hello_digest(hellos: list[bytes]) -> bytes:
    """SHA-256 of both HELLO payloads, each behind its length: a downgrade changes it."""
    digest = hashlib.sha256()
    for hello in hellos:
        digest.update(len(hello).to_bytes(4, "big") + hello)
    return digest.digest()
