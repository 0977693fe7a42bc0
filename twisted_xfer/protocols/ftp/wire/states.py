"""What may follow what: the login order, RNFR before RNTO, REST before a transfer (RFC 959 section 5.4).

Nothing else decides whether a command is legal now, and this file does not know what commands do.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twisted_xfer.protocols.ftp.wire.replies import reply
from twisted_xfer.protocols.ftp.wire.verbs import LoginRule, Verb


class SessionState(enum.StrEnum):
    """How far the login is."""

    NEW = "new"
    NEED_PASSWORD = "need password"  # noqa: S105 - a state, no password
    LOGGED_IN = "logged in"


NOT_LOGGED_IN: Final = reply(530, "Please log in with USER and PASS.")
ALREADY_LOGGED_IN: Final = reply(503, "Already logged in; REIN first.")
NEED_USER: Final = reply(503, "Send USER first.")
NEED_RENAME_FROM: Final = reply(503, "Send RNFR first.")

#: (state, login rule of the verb) to the refusing reply; PASS and RNTO have a rule of their own on top.
LOGIN_ORDER: Final[Mapping[tuple[SessionState, LoginRule], bytes | None]] = MappingProxyType(
    {
        (SessionState.NEW, "any"): None,
        (SessionState.NEW, "before"): None,
        (SessionState.NEW, "after"): NOT_LOGGED_IN,
        (SessionState.NEED_PASSWORD, "any"): None,
        (SessionState.NEED_PASSWORD, "before"): None,
        (SessionState.NEED_PASSWORD, "after"): NOT_LOGGED_IN,
        (SessionState.LOGGED_IN, "any"): None,
        (SessionState.LOGGED_IN, "before"): ALREADY_LOGGED_IN,
        (SessionState.LOGGED_IN, "after"): None,
    }
)

#: RFC 959 wants REST right before the transfer, but clients prepare the data connection in
#: between, and ask for size, time or life; none of these can be confused with a transfer.
KEEPS_RESTART: Final = frozenset(
    {
        *(b"REST", b"RETR", b"STOR", b"APPE", b"STOU", b"PASV", b"EPSV", b"PORT", b"EPRT", b"TYPE", b"MODE"),
        *(b"STRU", b"ALLO", b"SIZE", b"MDTM", b"NOOP", b"STAT", b"PBSZ", b"PROT", b"OPTS", b"FEAT"),
    }
)


class Sequence:
    """The order of one session.

    For each command: ``enter``; then its own code reads what an earlier command left with
    ``take_restart`` or ``take_rename``.
    """

    __slots__ = ("rename_from", "rename_taken", "restart", "state", "taken")

    #: What RNFR named, as the session resolved it; None when no rename is pending.
    rename_from: object | None
    #: What was used up last, for a command that is begun a second time.
    rename_taken: object | None
    #: The offset in bytes that REST set; 0 when none is pending.
    restart: int
    state: SessionState
    #: The offset that was used up last, for a command that is begun a second time.
    taken: int

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As at the start: REIN, AUTH TLS, a failed login."""
        self.state = SessionState.NEW
        self.rename_from = self.rename_taken = None
        self.restart = 0
        self.taken = 0

    def enter(self, verb: Verb) -> bytes | None:
        """``check``, and ``begin`` when that refused nothing."""
        refusal = self.check(verb)
        if refusal is None:
            self.begin(verb)
        return refusal

    def check(self, verb: Verb) -> bytes | None:
        """Whether ``verb`` is legal now: None, or the reply that refuses it. Changes nothing."""
        refusal = LOGIN_ORDER[self.state, verb.login]
        if refusal is not None:
            return refusal
        name = verb.name
        if name == b"PASS" and self.state is not SessionState.NEED_PASSWORD:
            return NEED_USER
        if name == b"RNTO" and self.rename_from is None:
            return NEED_RENAME_FROM
        return None

    def begin(self, verb: Verb) -> None:
        """``verb`` is about to run: forget a rename or a restart that it does not follow up."""
        if self.rename_from is not None and verb.name != b"RNTO":
            self.rename_from = None
        if self.restart and verb.name not in KEEPS_RESTART:
            self.restart = 0

    def take_restart(self) -> int:
        """The pending offset in bytes, which is used up by this."""
        self.taken, self.restart = self.restart, 0
        return self.taken

    def take_rename(self) -> object | None:
        """What RNFR named, which is used up by this."""
        self.rename_taken, self.rename_from = self.rename_from, None
        return self.rename_taken
