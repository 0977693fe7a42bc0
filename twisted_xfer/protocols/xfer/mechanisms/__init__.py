"""The mechanisms of the login, each side's in a module of its own; the pairing code is in ``pairing``."""

from __future__ import annotations

from typing import Final

from twisted_xfer.sansio.scram import PLAIN_NAME, PLUS_NAME

SCRAM_PLUS: Final = PLUS_NAME
SCRAM: Final = PLAIN_NAME
PLAIN: Final = "PLAIN"
TOKEN: Final = "TOKEN"  # noqa: S105 - a name
EXTERNAL: Final = "EXTERNAL"
CODE: Final = "CODE"
ANONYMOUS: Final = "ANONYMOUS"
#: For a password, the best first: what a caller takes of those that a listener offers.
BY_PASSWORD: Final = (SCRAM_PLUS, SCRAM, PLAIN)
#: How addresses begin whose bytes never leave the machine; IPv6 has but one of its own.
_LOOPBACK: Final = ("127.", "::ffff:127.")


def is_near(address: str) -> bool:
    """Whether nobody can be between us and ``address``."""
    return address == "::1" or address.startswith(_LOOPBACK)
