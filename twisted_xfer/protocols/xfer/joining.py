"""More connections for one session: JOIN, in place of a login.

Whoever logged in got a secret with AUTHENTICATED. A further connection proves that it knows it, bound
to its own HELLOs and its own TLS session, and the listener proves the same: a pairing code that was
spent on the first connection vouches for the others too.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import attrs

from twisted_xfer.errors import ConnectionLost, LoginFailed, NotFound
from twisted_xfer.protocols.xfer.pairing import binding_of
from twisted_xfer.values import Value

if TYPE_CHECKING:
    from twisted_xfer.interfaces import IAvatar
    from twisted_xfer.protocols.xfer.server import XferServerProtocol

#: The mechanism's name in AUTH; it is in no list, for it needs a session.
JOIN: Final = "JOIN"
SECRET_SIZE: Final = 32
_CALLER: Final = b"xfer join caller"
_LISTENER: Final = b"xfer join listener"


@attrs.frozen(eq=False, repr=False)
class Ticket(Value):
    """What a further connection needs: the session's id, and its secret."""

    session: str
    secret: bytes = attrs.field(repr=False)

    def proof(self, hellos: list[bytes], exporter: bytes) -> bytes:
        """The caller's, for a connection with these HELLOs and TLS keys."""
        return hmac.digest(self.secret, _CALLER + binding_of(hellos, exporter), "sha256")

    def answer(self, hellos: list[bytes], exporter: bytes) -> bytes:
        """The listener's."""
        return hmac.digest(self.secret, _LISTENER + binding_of(hellos, exporter), "sha256")

    def check(self, answer: bytes, hellos: list[bytes], exporter: bytes) -> None:
        """Whether it is the same listener. Raises LoginFailed."""
        if not hmac.compare_digest(answer, self.answer(hellos, exporter)):
            raise LoginFailed


class Session:
    """A listener's session that further connections may join, and those that have.

    Bounded: ``most`` connections in all, each with an admission of its own.
    """

    def __init__(self, main: XferServerProtocol, secret: bytes, most: int) -> None:
        self.main = main
        self.ticket = Ticket(main.session_id, secret)
        self.joined: set[XferServerProtocol] = set()
        self._most = most

    def admits(self, other: XferServerProtocol, proof: bytes, exporter: bytes) -> bool:
        """Whether ``other`` may join: it comes from the same address, as safely, and knows the secret."""
        main = self.main
        return (
            hmac.compare_digest(proof, self.ticket.proof(other.link.hellos, exporter))
            and not main.closed
            and main.secure == other.secure
            and main.peer_address == other.peer_address
            and len(self.joined) + 1 < self._most
        )

    def left_by(self, one: XferServerProtocol) -> None:
        """A connection is gone; with the first one, whose login it was, all of them."""
        self.joined.discard(one)
        if one is self.main:
            for other in list(self.joined):
                other.cut(ConnectionLost())


def enter(one: XferServerProtocol, session: Session | None, proof: bytes) -> tuple[IAvatar, bytes]:
    """Let ``one`` join: the account it acts for, and our own proof.

    Raises:
        NotFound: there is no such session, any more or in this process: the next connection may meet it.
        LoginFailed: it may not join that.
    """
    # Callers need the rest of this, and those in clear no OpenSSL.
    from twisted_xfer.protocols.xfer.secure import exporter_of

    exporter = exporter_of(one.transport)
    avatar = session.main.avatar if session is not None else None
    if session is None or avatar is None:
        raise NotFound
    if not session.admits(one, proof, exporter):
        one.emit("login.failed", code=LoginFailed.code)
        raise LoginFailed
    session.joined.add(one)
    one.session = session
    return avatar, session.ticket.answer(one.link.hellos, exporter)
