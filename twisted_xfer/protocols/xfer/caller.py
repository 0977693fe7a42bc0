"""The caller's end of one connection: trust, handshake, login; then whatever role is given to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import Cancelled, LoginFailed, RemoteProtocolError, TimedOut, XferError
from twisted_xfer.interfaces import RandomBytes
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import HASHES
from twisted_xfer.protocols.xfer.errormap import from_peer
from twisted_xfer.protocols.xfer.joining import JOIN, Ticket
from twisted_xfer.protocols.xfer.mechanisms import (
    ANONYMOUS,
    BY_PASSWORD,
    CODE,
    EXTERNAL,
    TOKEN,
    is_near,
)
from twisted_xfer.protocols.xfer.mechanisms.caller import Exchange, choose
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire.link import FEATURES, NONE, ZSTD, Event, check_select
from twisted_xfer.protocols.xfer.wire.messages import (
    NONCE_SIZE,
    Auth,
    Authenticated,
    Challenge,
    Error,
    Hello,
    Response,
    Select,
)
from twisted_xfer.values import Value

#: Seconds from the connection until the login is answered.
LOGIN_SECONDS: Final = 30.0
AGENT: Final = "twisted-xfer"


class CannotConnect(XferError):
    """There is nobody who speaks the protocol there."""

    code = "cannot_connect"


class UntrustedKey(XferError):
    """The peer's key is not the one that was expected, or nobody vouches for it.

    ``subject`` is its digest, or None where authorities were to vouch for a certificate and do not.
    """

    code = "untrusted_key"


class LoginImpossible(XferError):
    """The peer offers no mechanism that we have what it takes for."""

    code = "login_impossible"


@attrs.frozen(eq=False, repr=False)
class Target(Value):
    """Where to, and as whom. ``path`` (bytes or text) is below the account's root, without a slash at its ends.

    ``pin`` is the SHA-256 of the peer's public key in hexadecimal, if it is known.
    """

    host: str
    port: int = 5001
    path: bytes = attrs.field(default=b"", converter=os.fsencode)
    username: str = ""
    pin: str = ""

    @property
    def place(self) -> str:
        """Host and port, as pins are kept by."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def trust_nobody(_place: str, _digest: str) -> bool:
    """For whoever gave neither a pin, a CA, a code nor somebody to ask."""
    return False


@attrs.frozen(eq=False, repr=False)
class Login(Value):
    """How to log in, and whom to trust.

    ``plain`` speaks without TLS. ``compress`` offers compression, ``auto`` only to other machines.
    ``ca`` is PEM text of authorities. Else the peer's key is taken if
    the target's pin is its digest, if a pairing ``code`` is used, or if ``trust(place, digest)``
    says so. Without a code or a ``token`` the best of ``mechanisms`` that the listener offers is taken:
    the ``certificate`` (PEM text, ``key`` being its key, if that is not in it too) where there is no
    password, a proof of the ``password`` (SCRAM), and the password itself only through TLS or within the machine.
    """

    username: str = ""
    password: str = attrs.field(default="", repr=False)
    code: str = attrs.field(default="", repr=False)
    token: str = attrs.field(default="", repr=False)
    certificate: str = attrs.field(default="", repr=False)
    key: str = attrs.field(default="", repr=False)
    mechanisms: tuple[str, ...] = (CODE, TOKEN, EXTERNAL, *BY_PASSWORD, ANONYMOUS)
    plain: bool = False
    ca: str = ""
    trust: Callable[[str, str], bool] = trust_nobody
    hashes: tuple[str, ...] = HASHES
    window: int = 64
    compress: Literal["auto", "on", "off"] = "auto"
    salted: dict[tuple[str, bytes, int], bytes] = attrs.field(
        factory=dict, init=False, repr=False, eq=False, hash=False
    )


@implementer(IHandshakeListener)
class Caller(Connection):
    """One connection to a listener.

    Attributes:
        ready: fires with this when the login was good; fails with what prevented it.
        over: fires with None after ``finish``, or with the error that ended the connection before.
    """

    def __init__(
        self,
        clock: Any,
        target: Target,
        login: Login,
        role: Literal["send", "receive"],
        random: RandomBytes,
        joins: Ticket | None = None,
    ) -> None:
        super().__init__("caller", clock)
        self.target = target
        self.ready: Deferred[Caller] = Deferred()
        self.over: Deferred[XferError | None] = Deferred()
        self.select: Select | None = None
        self._options = login
        self._role = role
        self._random = random
        self._hello: Hello | None = None
        self._listener: Hello | None = None
        self._exchange: Exchange | None = None
        self._joins = joins
        #: What further connections join this session with, if the listener takes any.
        self.ticket: Ticket | None = None
        self._finished = False
        self._met = False
        self._deadline: IDelayedCall | None = None

    # --- the life of the connection ----------------------------------------------------------

    def connectionMade(self) -> None:
        """In plain we begin now, else when TLS is there."""
        super().connectionMade()
        self._deadline = self.clock.callLater(LOGIN_SECONDS, self._too_late)
        if self._options.plain:
            self._begin()

    def handshakeCompleted(self) -> None:
        """TLS is there: look at the key before anything is said."""
        try:
            self._check_key()
        except XferError as error:
            self.cut(error)
            return
        self._begin()

    def _check_key(self) -> None:
        from twisted_xfer.protocols.xfer.secure import key_digest

        options = self._options
        transport: Any = self.transport
        digest = key_digest(transport.getPeerCertificate())
        if self.target.pin:
            # Whatever else was given: this key and no other.
            if digest != self.target.pin.lower():
                raise UntrustedKey(digest, "not the key that was given")
        elif options.ca or options.code:
            # The chain was verified, or the code will be: it is bound to this TLS session.
            return
        elif not options.trust(self.target.place, digest):
            raise UntrustedKey(digest, self.target.place)

    def _begin(self) -> None:
        self._met = True
        options = self._options
        hello = Hello(
            nonce=self._random(NONCE_SIZE),
            role=self._role,
            agent=AGENT,
            features=FEATURES,
            compressions=self._compressions(),
            hashes=options.hashes,
            window=options.window,
        )
        self._hello = hello
        self.send(hello)

    def _compressions(self) -> tuple[str, ...]:
        """Within the machine nothing is gained by packing, unless it is asked for."""
        transport: Any = self.transport
        near = is_near(str(getattr(transport.getPeer(), "host", "")))
        return (ZSTD, NONE) if self._options.compress in ({"on"} if near else {"on", "auto"}) else (NONE,)

    def _too_late(self) -> None:
        self._deadline = None
        if self._listener is not None:
            self.cut(TimedOut(None, "no answer to the login"))
            return
        # Not a word: another try would meet the same silence.
        why = "nobody answers who speaks xfer" if self._met else "nobody answers in TLS there"
        self.cut(CannotConnect(self.target.place, why))

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def finish(self) -> None:
        """All is done: close in peace."""
        self._finished = True
        self.close()

    def let_go(self) -> None:
        """Nobody waits for it any more: close now what is still open."""
        if not self.closed:
            self.cut(Cancelled())

    def remote_error(self, error: Error) -> None:
        """The listener ends it."""
        self.reason = from_peer(error)
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell a certificate that the authorities do not vouch for from a line that broke."""
        if self.reason is None and not self._met:
            self.reason = self._why_unmet(reason.value)
        super().connectionLost(reason)

    def _why_unmet(self, reason: object) -> XferError:
        """Why there was no TLS; in clear we have met from the beginning."""
        from twisted_xfer.protocols.xfer.refusing import why_unmet
        from twisted_xfer.protocols.xfer.secure import is_unverified

        if is_unverified(reason):
            return UntrustedKey(None, "the authorities do not vouch for its certificate and its name")
        return CannotConnect(self.target.place, why_unmet(reason))

    def ended(self, error: XferError) -> None:
        """Tell whoever waits."""
        self._stop_deadline()
        if not self.ready.called:
            self.ready.errback(error)
        self.over.callback(None if self._finished else error)

    # --- the handshake -----------------------------------------------------------------------

    def handshake(self, event: Event) -> None:
        """HELLO, SELECT, CHALLENGE and AUTHENTICATED; their order was checked."""
        if isinstance(event, Hello):
            self._listener = event
        elif isinstance(event, Select):
            self._selected(event)
        elif isinstance(event, Challenge) and self._exchange is not None:
            self.pause()
            answer = self._exchange.challenged(event.data, self.clock)
            answer.addCallbacks(self._answer, self._cannot_answer)
        elif isinstance(event, Authenticated):
            self._authenticated(event)
        else:
            raise RemoteProtocolError(detail="out of order")

    def _selected(self, select: Select) -> None:
        hello, listener = self._hello, self._listener
        if hello is None or listener is None:
            raise RemoteProtocolError(detail="out of order")
        check_select(select, hello, listener)
        self.select = select
        self.link.selected(select)
        self._log_in(listener.mechanisms)

    def _answer(self, data: bytes) -> None:
        self.send(Response(data=data))
        self.resume()

    def _cannot_answer(self, failure: Failure) -> None:
        error = failure.value
        self.fail(error if isinstance(error, XferError) else LoginFailed(None, "no answer to the challenge"))

    def _log_in(self, offered: tuple[str, ...]) -> None:
        options = self._options
        if self._joins is not None:
            hellos = self.link.hellos
            proof = self._joins.proof(hellos, self._exporter())
            digest = hello_digest(hellos)
            self.send(Auth(mechanism=JOIN, hello_digest=digest, username=self._joins.session, data=proof))
            return
        username = options.username or self.target.username
        transport: Any = self.transport
        near = is_near(str(getattr(transport.getPeer(), "host", "")))
        mechanism = choose(options, username, offered, secure=self.secure, near=near)
        if mechanism is None:
            raise LoginImpossible(self.target.place, ", ".join(offered) or "no mechanism is offered")
        self._exchange = Exchange(
            mechanism,
            options,
            username,
            hellos=self.link.hellos,
            digest=hello_digest(self.link.hellos),
            channel=self._exporter(),
            offered=offered,
            random=self._random,
        )
        self.send(self._exchange.auth)

    def _exporter(self) -> bytes:
        """What only the two ends of the TLS session know; empty without TLS."""
        if not self.secure:
            return b""
        from twisted_xfer.protocols.xfer.secure import exporter_of

        return exporter_of(self.transport)

    def _authenticated(self, answer: Authenticated) -> None:
        if answer.hello_digest != hello_digest(self.link.hellos):
            raise RemoteProtocolError(detail="the HELLOs were changed on the way")
        if self._exchange is not None:
            self._exchange.check(answer.data)
        if self._joins is not None:
            self._joins.check(answer.data, self.link.hellos, self._exporter())
        elif answer.join:
            self.ticket = Ticket(answer.session, answer.join)
        self._stop_deadline()
        self.ready.callback(self)
