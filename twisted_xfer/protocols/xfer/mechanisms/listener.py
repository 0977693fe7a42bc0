"""The listener's mechanisms: what it offers, and the credentials that a caller's messages make."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Literal

import attrs
from twisted.cred.credentials import Anonymous, IUsernamePassword, UsernamePassword
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from twisted_xfer.errors import LoginFailed, RemoteProtocolError, XferError
from twisted_xfer.interfaces import (
    CertificateFacts,
    ClientCertificate,
    IClientCertificate,
    ILogin,
    IScramProof,
    IToken,
    RandomBytes,
)
from twisted_xfer.protocols.xfer.mechanisms import (
    ANONYMOUS,
    EXTERNAL,
    PLAIN,
    SCRAM,
    SCRAM_PLUS,
    TOKEN,
)
from twisted_xfer.protocols.xfer.wire.messages import Auth
from twisted_xfer.sansio.scram import NONCE_BYTES, Server, Verifier


@implementer(IScramProof)
class ScramProof:
    """One exchange as credentials: a checker asks, the caller answers, the Deferred fires.

    Args:
        exchange: begun by the caller's first message.
        say: sends a challenge.
    """

    def __init__(self, exchange: Server, say: Callable[[bytes], object]) -> None:
        self.username = exchange.username
        #: Our own proof, for the caller, once its was right.
        self.final = b""
        self._exchange = exchange
        self._say = say
        self._asked = False
        self._proved: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"<ScramProof {self.username!r}>"

    def prove(self, verifier: Verifier) -> Deferred[None]:
        """See IScramProof."""
        if self._asked:
            # The caller has had its one try.
            return fail(LoginFailed())
        self._asked = True
        proved = self._proved = Deferred()
        self._say(self._exchange.challenge(verifier))
        return proved

    def answered(self, message: bytes) -> None:
        """The caller's proof."""
        proved, self._proved = self._proved, None
        if proved is None:
            raise RemoteProtocolError(detail="out of order")
        try:
            self.final = self._exchange.finish(message)
        except XferError as error:
            proved.errback(error)
        else:
            proved.callback(None)

    def gone(self, error: XferError) -> None:
        """There will be no answer."""
        proved, self._proved = self._proved, None
        if proved is not None:
            proved.errback(error)


@implementer(IToken)
@attrs.frozen
class TokenCredentials:
    """See IToken."""

    account: bytes
    token: bytes = attrs.field(repr=False)

    @property
    def username(self) -> bytes:
        """For events; a token tells by itself whose it is, but only to who knows it."""
        return self.account or b"(token)"


@attrs.frozen
class Facts:
    """Of one connection. ``channel``: the TLS exporter where SCRAM may be bound to it, else empty.

    ``near``: from this machine. ``certificate``: the client's, verified by TLS.
    """

    secure: bool
    near: bool
    channel: bytes = attrs.field(default=b"", repr=False)
    certificate: CertificateFacts | None = None


def offered(
    login: ILogin, facts: Facts, scram: Literal["auto", "always", "never"] = "auto"
) -> tuple[str, ...]:
    """The mechanisms for whoever has an account, the best first; without TLS none that shows a secret.

    PLAIN is for TLS and for this machine alone, TOKEN and EXTERNAL are for TLS. ``scram``: auto offers it
    where every user with a password has a verifier.
    """
    names: list[str] = []
    if facts.certificate is not None and login.takes(IClientCertificate):
        names.append(EXTERNAL)
    if scram == "always" or (scram == "auto" and login.takes(IScramProof)):
        names.extend([SCRAM_PLUS, SCRAM] if facts.channel else [SCRAM])
    if facts.secure and login.takes(IToken):
        names.append(TOKEN)
    if (facts.secure or facts.near) and login.takes(IUsernamePassword):
        names.append(PLAIN)
    return tuple(names)


def credentials_of(
    auth: Auth, facts: Facts, plus_offered: bool, random: RandomBytes, say: Callable[[bytes], object]
) -> object:
    """The credentials that ``auth`` begins; its mechanism was offered.

    Raises:
        RemoteProtocolError, Unsupported, ChannelBindingFailed: see Server.
    """
    name = auth.username.encode("utf-8", "surrogateescape")
    if auth.mechanism in {SCRAM, SCRAM_PLUS}:
        exchange = Server(
            auth.data,
            base64.b64encode(random(NONCE_BYTES)),
            plus=auth.mechanism == SCRAM_PLUS,
            channel=facts.channel if plus_offered else b"",
            transcript=auth.hello_digest,
        )
        return ScramProof(exchange, say)
    if auth.mechanism == TOKEN:
        return TokenCredentials(name, auth.data)
    if auth.mechanism == EXTERNAL and facts.certificate is not None:
        return ClientCertificate(name, facts.certificate)
    if auth.mechanism == PLAIN:
        return UsernamePassword(name, auth.password.encode("utf-8"))
    if auth.mechanism == ANONYMOUS:
        return Anonymous()
    raise LoginFailed
