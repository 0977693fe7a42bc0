"""The listener's end: TLS or not by the first byte, handshake, login, then a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from twisted_xfer.errors import (
    ChannelBindingFailed,
    ConnectionLost,
    LoginFailed,
    RemoteProtocolError,
    RightMissing,
    ShuttingDown,
    TimedOut,
    TLSRequired,
    XferError,
)
from twisted_xfer.interfaces import IAvatar, IHost, ILease, LoginContext
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import HASHES
from twisted_xfer.protocols.xfer.joining import JOIN, SECRET_SIZE, Session, enter
from twisted_xfer.protocols.xfer.mechanisms import ANONYMOUS, CODE, SCRAM_PLUS, is_near
from twisted_xfer.protocols.xfer.mechanisms.listener import Facts, ScramProof, credentials_of, offered
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.pairing import Pairing, binding_of, hello_digest
from twisted_xfer.protocols.xfer.placing import Rules
from twisted_xfer.protocols.xfer.receiving import ReceiverRole
from twisted_xfer.protocols.xfer.refusing import turn_away
from twisted_xfer.protocols.xfer.secure import ALPN, HANDSHAKE_BYTE, channel_of, exporter_of
from twisted_xfer.protocols.xfer.serving import ServingRole
from twisted_xfer.protocols.xfer.tls_transport import TLSTransport
from twisted_xfer.protocols.xfer.wire.link import FEATURES, NONE, ZSTD, Event, negotiate
from twisted_xfer.protocols.xfer.wire.link import JOIN as JOIN_FEATURE
from twisted_xfer.protocols.xfer.wire.messages import (
    MAX_WINDOW,
    NONCE_SIZE,
    Auth,
    Authenticated,
    Challenge,
    Hello,
    Response,
    Select,
)

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.factory import XferFactory


class XferServerProtocol(Connection):
    """One caller. It speaks first; what it may do hangs on its HELLO's role and its account."""

    factory: XferFactory

    def __init__(self, host: IHost, options: XferOptions) -> None:
        super().__init__("listener", host.clock)
        self.host = host
        self.options = options
        self.session_id = ""
        self.username = ""
        self.avatar: IAvatar | None = None
        self._peer = self._local = ""
        self._sniffed = False
        self._lease: ILease | None = None
        self._deadline: IDelayedCall | None = None
        self._login: Deferred[None] | None = None
        self._caller: Hello | None = None
        self._select: Select | None = None
        self._pairing: Pairing | None = None
        self._proof: ScramProof | None = None
        self._tls: Any = None
        self._offered: tuple[str, ...] = ()
        self._opened = 0.0
        self._draining = False
        #: What further connections may join, and what this one has joined.
        self.session: Session | None = None
        #: Whether a sender's whole offer was answered here.
        self.complete = False

    # --- the life of the connection ----------------------------------------------------------

    def connectionMade(self) -> None:
        """Admit the caller, and give it a while to log in."""
        transport: Any = self.transport
        self.session_id = self.host.new_session_id()
        self._peer = str(getattr(transport.getPeer(), "host", ""))
        self._local = str(getattr(transport.getHost(), "host", ""))
        self._opened = self.clock.seconds()
        self.factory.add(self)
        super().connectionMade()
        try:
            self._lease = self.host.limits.admit(self._peer)
        except XferError as error:
            self.emit("connection.refused", code=error.code)
            self._sniffed = True
            turn_away(self, error)
            return
        self.emit("connection.open", local=self._local)
        self._deadline = self.clock.callLater(self.options.login_seconds, self._too_late)

    def dataReceived(self, data: bytes) -> None:
        """The first byte tells TLS from plain."""
        if data and not self._sniffed:
            self._sniffed = True
            if data[0] == HANDSHAKE_BYTE and self.host.tls is not None and not self.secure:
                self._start_tls(data)
                return
        super().dataReceived(data)

    def _start_tls(self, data: bytes) -> None:
        tls: Any = self.host.tls
        session: Any = tls.control_session(ALPN)
        self._tls = session
        secure: Any = TLSTransport(self.transport, self, session.creator.serverConnectionForTLS, server=True)
        self.transport = secure
        # What has come already is the beginning of the handshake.
        secure.begin(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell why TLS was refused, if it was."""
        why = self._tls.refusal(reason.value) if self._tls is not None and self._caller is None else ""
        if why:
            self.host.log.info("TLS of {peer} refused: {reason}", peer=self._peer, reason=why)
            self.emit("tls.refused", reason=why)
        super().connectionLost(reason)

    def _too_late(self) -> None:
        self._deadline = None
        self.cut(TimedOut(None, "login took too long"))

    def _stop_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def ended(self, error: XferError) -> None:
        """Everything of the session ends with its connection."""
        self._stop_deadline()
        login, self._login = self._login, None
        if login is not None:
            login.cancel()
        if self._proof is not None:
            self._proof.gone(ConnectionLost())
        avatar, self.avatar = self.avatar, None
        if avatar is not None:
            avatar.logout()
        if self.session is not None:
            self.session.left_by(self)
        self.factory.remove(self)
        if self._lease is not None:
            self._lease.release()
            self.emit("connection.close", reason=error.code, seconds=self.clock.seconds() - self._opened)

    def emit(self, event_id: str, **fields: Any) -> None:
        """An event of this session."""
        if self.host.events.active:
            self.host.events.emit(
                event_id,
                session=self.session_id,
                protocol="xfer",
                username=self.username,
                peer=self._peer,
                **fields,
            )

    def check_idle(self, seconds: float) -> None:
        """Answering pings is not enough: who has an entry open must move it, others must ask something."""
        if self.role is None or self.closed:
            return
        timeouts = self.host.timeouts
        most = timeouts.stall if getattr(self.role, "busy", False) else timeouts.idle
        if most and seconds >= most:
            self.fail(TimedOut(None, "nothing moved"))

    def drain(self) -> None:
        """The daemon stops: who does nothing goes now, others when they are done."""
        self._draining = True
        if self.role is None or not getattr(self.role, "busy", False):
            self.fail(ShuttingDown())

    def finished(self) -> None:
        """The role has nothing to do any more."""
        if self._draining:
            self.fail(ShuttingDown())

    # --- the handshake -----------------------------------------------------------------------

    def handshake(self, event: Event) -> None:
        """HELLO, AUTH and RESPONSE; their order was checked."""
        if isinstance(event, Hello):
            self._greet(event)
        elif isinstance(event, Auth):
            self._authenticate(event)
        elif isinstance(event, Response):
            self._confirm(event)
        else:
            raise RemoteProtocolError(detail="out of order")

    def _facts(self) -> Facts:
        certificate = self._tls.facts if self._tls is not None else None
        return Facts(self.secure, is_near(self._peer), channel_of(self.transport), certificate)

    def _mechanisms(self) -> tuple[str, ...]:
        names: list[str] = []
        if self.options.code:
            names.append(CODE)
        elif self._clear_allowed():
            names.extend(offered(self.host.login, self._facts(), self.options.scram))
        if self.options.anonymous and self.host.login.anonymous:
            names.append(ANONYMOUS)
        return tuple(names)

    def _clear_allowed(self) -> bool:
        """Whether this connection may go on without TLS, or has it."""
        plain = self.options.plain
        near = plain == "loopback" and is_near(self._peer)
        return self.secure or plain == "always" or near

    def _greet(self, caller: Hello) -> None:
        if caller.role not in {"send", "receive"}:
            raise RemoteProtocolError(detail="a caller sends or receives")
        options = self.options
        self._offered = self._mechanisms()
        hello = Hello(
            nonce=self.host.random(NONCE_SIZE),
            agent=self.host.server_name[:64],
            features=FEATURES,
            hashes=HASHES,
            compressions=(ZSTD, NONE) if options.compress else (NONE,),
            mechanisms=self._offered,
            max_data=options.max_data,
            window=min(options.window, MAX_WINDOW),
        )
        self._caller = caller
        self.send(hello)
        if not self._clear_allowed():
            raise TLSRequired
        self._select = negotiate(caller, hello)
        self.link.selected(self._select)
        self.send(self._select)

    def _authenticate(self, auth: Auth) -> None:
        if auth.hello_digest != hello_digest(self.link.hellos):
            raise RemoteProtocolError(detail="the HELLOs were changed on the way")
        if auth.mechanism == JOIN:
            sends = self._caller is not None and self._caller.role == "send"
            session = self.factory.session_of(auth.username) if sends else None
            self._stop_deadline()
            self._begin(*enter(self, session, auth.data))
            return
        if auth.mechanism not in self._offered:
            self.emit("login.failed", code=LoginFailed.code)
            raise LoginFailed
        if auth.mechanism == CODE:
            if not self.factory.code_is_good:
                raise LoginFailed
            if self._caller is None or self._caller.role != "send":
                raise RightMissing(None, "a pairing code is for sending")
            binding = binding_of(self.link.hellos, exporter_of(self.transport))
            self._pairing = Pairing(self.options.code, binding, self.host.random, caller=False)
            self._pairing.receive(auth.data)
            self.send(Challenge(data=self._pairing.message))
            return
        self._pairing = None
        try:
            plus = SCRAM_PLUS in self._offered
            credentials = credentials_of(auth, self._facts(), plus, self.host.random, self._ask)
        except ChannelBindingFailed:
            self.emit("login.failed", code=ChannelBindingFailed.code)
            raise
        self.username = auth.username
        if isinstance(credentials, ScramProof):
            self._proof = credentials
            self.username = credentials.username.decode("utf-8")
        self._log_in(credentials)

    def _ask(self, challenge: bytes) -> None:
        """Let the caller prove itself: its answer may come, and nothing after it."""
        self.send(Challenge(data=challenge))
        self.resume()

    def _confirm(self, response: Response) -> None:
        if self._proof is not None:
            self.pause()
            self._proof.answered(response.data)
            return
        if self._pairing is None or not self.factory.code_is_good:
            raise LoginFailed
        try:
            self._pairing.check(response.data)
        except LoginFailed:
            # Whoever guessed has had the one guess.
            self.factory.code_is_good = False
            self.emit("login.failed", code=LoginFailed.code)
            self.host.log.info("a wrong pairing code came from {peer}: it is void now", peer=self._peer)
            self.factory.on_void(self._peer)
            raise
        self.username = self.options.code_username
        self._log_in(UsernamePassword(self.username.encode(), self.options.code_password.encode()))

    def _log_in(self, credentials: object) -> None:
        certificate = self._tls.facts if self._tls is not None else None
        context = LoginContext("xfer", self.session_id, self._peer, self._local, self.secure, certificate)

        async def ask() -> None:
            avatar = await resolve(self.host.login.login(credentials, context))
            if self._closing:
                avatar.logout()
                return
            self._welcome(avatar)

        # Nothing may come before the answer: what the caller says early waits.
        self.pause()
        self._login = Deferred.fromCoroutine(ask())
        self._login.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        self._login = None
        error = failure.value
        if self.closed:
            return
        if not isinstance(error, XferError):
            self.host.log.failure("a login failed in session {session}", failure, session=self.session_id)
            error = LoginFailed()
        self.fail(error)

    def _welcome(self, avatar: IAvatar) -> None:
        self._stop_deadline()
        self.avatar = avatar
        data = self._pairing.listener_proof() if self._pairing is not None else b""
        if self._proof is not None:
            data = self._proof.final
            if not self.secure:
                self.host.log.info(
                    "{username!r} is in without TLS, from {peer}: the password is safe, what is sent is not",
                    username=avatar.username,
                    peer=self._peer,
                )
        self._begin(avatar, data)
        self._login = None
        self.resume()

    def _begin(self, avatar: IAvatar, data: bytes) -> None:
        """Say that the login was good, and take the role that goes with the caller's."""
        caller, select = self._caller, self._select
        if caller is None or select is None:
            raise RemoteProtocolError(detail="out of order")
        self.username = avatar.username
        secret = b""
        if self.session is None and JOIN_FEATURE in caller.features and caller.role == "send":
            secret = self.host.random(SECRET_SIZE)
            self.session = Session(self, secret, self.options.connections)
        self.send(
            Authenticated(
                username=avatar.username,
                session=self.session_id,
                hello_digest=hello_digest(self.link.hellos),
                data=data,
                join=secret,
            )
        )
        if caller.role == "send":
            rules = Rules(modes=self.options.modes, times=self.options.times, links=self.options.links)
            self.role = ReceiverRole(
                self,
                avatar,
                self.host.blocking,
                window=select.window,
                hash_name=select.hash,
                rules=rules,
                on_event=self.factory.on_event,
                on_finished=self._all_received,
                limiter=avatar.upload_limiter,
            )
        else:
            self.role = ServingRole(self, avatar, self.host.blocking, select, on_finished=self.finished)

    @property
    def peer_address(self) -> str:
        """Where the caller is."""
        return self._peer

    def _all_received(self) -> None:
        # A session is complete when its first connection is: that one is closed last.
        first = self.session is None or self.session.main is self
        self.complete = first and not getattr(self.role, "asked_only", False)
        self.finished()
