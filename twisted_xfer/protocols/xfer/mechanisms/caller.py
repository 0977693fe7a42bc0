"""The caller's mechanisms: which one to take, and its messages."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

from twisted_xfer.errors import LoginFailed, RemoteProtocolError
from twisted_xfer.interfaces import RandomBytes
from twisted_xfer.protocols.xfer.mechanisms import (
    ANONYMOUS,
    BY_PASSWORD,
    CODE,
    EXTERNAL,
    PLAIN,
    SCRAM,
    SCRAM_PLUS,
    TOKEN,
)
from twisted_xfer.protocols.xfer.pairing import Pairing, binding_of
from twisted_xfer.protocols.xfer.wire.messages import Auth
from twisted_xfer.sansio.scram import NONCE_BYTES, Client, salted_password

#: Derived passwords that a Login keeps for reconnections and further connections: one account's, and
#: another after its password was changed.
MAX_SALTED = 4


class LoginLike(Protocol):
    """What is needed of a Login."""

    @property
    def password(self) -> str:
        """The password, or empty."""
        ...

    @property
    def code(self) -> str:
        """The pairing code, or empty."""
        ...

    @property
    def token(self) -> str:
        """The token, or empty."""
        ...

    @property
    def certificate(self) -> str:
        """PEM of the client certificate, or empty."""
        ...

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those that may be taken."""
        ...

    @property
    def salted(self) -> dict[tuple[str, bytes, int], bytes]:
        """What was derived before."""
        ...


def choose(
    login: LoginLike, username: str, offered: tuple[str, ...], *, secure: bool, near: bool
) -> str | None:
    """The best mechanism of those ``offered`` that ``login`` has what it takes for; None if there is none.

    A password is never sent but through TLS or within this machine, nor a token but through TLS,
    whatever is offered.
    """
    usable: list[str] = []
    if login.code:
        usable.append(CODE)
    elif login.token:
        usable.extend([TOKEN] if secure else [])
    elif login.certificate and not login.password:
        usable.extend([EXTERNAL] if secure else [])
    elif username:
        allowed = {SCRAM_PLUS: secure, SCRAM: True, PLAIN: secure or near}
        usable.extend(name for name in BY_PASSWORD if allowed[name])
    else:
        usable.append(ANONYMOUS)
    return next((name for name in usable if name in offered and name in login.mechanisms), None)


class Exchange:
    """One login of a caller. ``auth`` begins it; ``challenged`` answers, ``check`` looks at the listener's proof.

    Args:
        mechanism: what choose() said.
        login, username: what with, as whom.
        digest: of both HELLOs; hellos: their payloads.
        channel: the TLS exporter, empty without TLS.
        offered: what the listener offered.
    """

    def __init__(
        self,
        mechanism: str,
        login: Any,
        username: str,
        *,
        hellos: list[bytes],
        digest: bytes,
        channel: bytes,
        offered: tuple[str, ...],
        random: RandomBytes,
    ) -> None:
        self._login: LoginLike = login
        self._pairing: Pairing | None = None
        self._scram: Client | None = None
        self._proved = False
        data, name, password = b"", "", ""
        if mechanism == CODE:
            self._pairing = Pairing(login.code, binding_of(hellos, channel), random, caller=True)
            data = self._pairing.message
        elif mechanism in {SCRAM, SCRAM_PLUS}:
            plus = mechanism == SCRAM_PLUS
            self._scram = Client(
                username.encode("utf-8"),
                base64.b64encode(random(NONCE_BYTES)),
                channel=channel if plus else b"",
                could_bind=bool(channel) and SCRAM_PLUS not in offered,
                transcript=digest,
            )
            data = self._scram.first
        elif mechanism == TOKEN:
            name, data = username, login.token.encode("utf-8")
        elif mechanism == EXTERNAL:
            name = username
        elif mechanism == PLAIN:
            name, password = username, login.password
        self.auth = Auth(
            mechanism=mechanism, username=name, password=password, data=data, hello_digest=digest
        )

    def challenged(self, data: bytes, reactor: Any) -> Deferred[bytes]:
        """The answer to a challenge; a password is derived in a thread where ``reactor`` has some.

        Fails with RemoteProtocolError or LoginFailed when the challenge is none.
        """
        return maybeDeferred(self._answer, data, reactor)

    def _answer(self, data: bytes, reactor: Any) -> Any:
        if self._pairing is not None:
            self._pairing.receive(data)
            self._proved = True
            return self._pairing.proof()
        if self._scram is None or self._proved:
            raise RemoteProtocolError(detail="out of order")
        self._proved = True
        salt, count = self._scram.challenged(data)
        salted, key = self._login.salted, (self._login.password, salt, count)

        scram = self._scram

        def derived(value: bytes) -> bytes:
            while len(salted) >= MAX_SALTED:
                salted.pop(next(iter(salted)))
            salted[key] = value
            return scram.proof(value)

        if key in salted:
            return scram.proof(salted[key])
        if not IReactorThreads.providedBy(reactor):
            return derived(salted_password(*key))
        return deferToThreadPool(reactor, reactor.getThreadPool(), salted_password, *key).addCallback(derived)

    def check(self, data: bytes) -> None:
        """The listener's own proof, where the mechanism has one.

        Raises:
            LoginFailed: it is wrong, or there was no challenge: the listener is not who it should be.
            RemoteProtocolError: it is none.
        """
        if self._pairing is not None:
            self._pairing.check_listener(data)
        elif self._scram is not None:
            if not self._proved:
                raise LoginFailed(None, "the listener asked for no proof, and gave none")
            self._scram.check(data)
