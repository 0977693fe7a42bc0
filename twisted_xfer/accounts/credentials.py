"""Credentials that carry the facts of their connection."""

from __future__ import annotations

import hmac

from twisted.cred.credentials import Anonymous, UsernamePassword

from twisted_xfer.interfaces import LoginContext


class PeerPassword(UsernamePassword):
    """A user name and a password as a peer sent them.

    Any strcred checker takes it. The password is in no representation of it, and is compared in
    a time that does not tell how much of it was right.
    """

    def __init__(self, username: bytes, password: bytes, context: LoginContext) -> None:
        super().__init__(username, password)
        self.context = context

    def checkPassword(self, password: bytes) -> bool:
        """Whether ``password``, as a checker knows it, is the one that was sent."""
        return hmac.compare_digest(self.password, password)

    def __repr__(self) -> str:
        return f"<PeerPassword {self.username!r}>"


class PeerAnonymous(Anonymous):
    """Nobody in particular, from a known connection."""

    def __init__(self, context: LoginContext) -> None:
        self.context = context

    def __repr__(self) -> str:
        return "<PeerAnonymous>"
