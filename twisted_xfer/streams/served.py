"""A connection that was accepted: counted, timed, told as events, and logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from twisted_xfer.errors import LoginRefused, XferError
from twisted_xfer.interfaces import Eventually, IAvatar, IHost, ILease, LoginContext
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.streams.stream import WireStream


class ServedStream(WireStream):
    """One connection of a server. Subclasses set ``reader`` and write ``serve``.

    Attributes:
        host, peer, session: see IHost and LoginContext.
        avatar: who is logged in, or None; logged out when ``serve`` is done.
        end: the reason that connection.close gives when the peer did not just hang up.
    """

    def __init__(self, host: IHost, name: str, peer: str, lease: ILease, idle: float) -> None:
        super().__init__(host.clock, idle)
        self.host = host
        self.name = name
        self.peer = peer
        self.session = host.new_session_id()
        self.avatar: IAvatar | None = None
        self.end = "lost"
        self._lease = lease
        self._opened = host.clock.seconds()

    async def serve(self) -> None:
        """Talk until the end. XferErrors that get out close the connection."""
        raise NotImplementedError

    # --- the transport's calls -------------------------------------------------------------

    def connectionMade(self) -> None:
        """Begin to serve."""
        super().connectionMade()
        self.emit("connection.open", local=address(self.transport.getHost()))
        at_once = getattr(self.transport, "setTcpNoDelay", None)
        if at_once is not None:
            at_once(True)
        Deferred.fromCoroutine(self._serve())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give everything back."""
        super().connectionLost(reason)
        self._lease.release()
        end = "idle" if self.timed_out else "closed" if self.ended_cleanly else self.end
        self.emit("connection.close", reason=end, seconds=self.clock.seconds() - self._opened)

    # --- for the coroutine -----------------------------------------------------------------

    def emit(self, event_id: str, **fields: Any) -> None:
        """Tell an event of this session."""
        self.host.events.emit(event_id, protocol=self.name, session=self.session, peer=self.peer, **fields)

    def context(self) -> LoginContext:
        """The facts for a login."""
        return LoginContext(
            self.name,
            self.session,
            self.peer,
            address(self.transport.getHost()),
            ISSLTransport.providedBy(self.transport),
        )

    async def log_in(self, credentials: object) -> IAvatar:
        """Log in with ``credentials``; who was logged in before is logged out.

        Raises:
            XferError: see ILogin.
        """
        return await self._enter(self.host.login.login(credentials, self.context()))

    async def log_in_as(self, username: str) -> IAvatar:
        """Log in as the account that the operator gave to the listener.

        Raises:
            XferError: see ILogin; LoginRefused without an account.
        """
        if not username:
            raise LoginRefused(detail="the listener names no account")
        return await self._enter(self.host.login.trusted(username, self.context()))

    async def _enter(self, answer: Eventually[IAvatar]) -> IAvatar:
        self.log_out()
        avatar: IAvatar = await self.wait(Deferred.fromCoroutine(resolve(answer)))
        self.avatar = avatar
        return avatar

    def log_out(self) -> None:
        """Let go of the avatar, if there is one."""
        avatar, self.avatar = self.avatar, None
        if avatar is not None:
            avatar.logout()

    async def _serve(self) -> None:
        try:
            await self.serve()
        except CancelledError:
            self.end = "lost"
        except XferError as error:
            self.end = error.code
            self.host.log.info("{name}: {error}", name=self.name, error=str(error))
        except Exception:  # noqa: BLE001 - a bug, or a stranger's storage, ends one session only
            self.end = "failed"
            self.host.log.failure("{name}: a session failed", name=self.name)
        # Not in a finally: a coroutine that is thrown away at the end of the process must do nothing.
        self.log_out()
        if self.lost is None:
            # A transport with a producer may wait for it before it closes.
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class ServedFactory(Factory):
    """Accepts connections within the daemon's limits; ``make(peer, lease)`` gives the protocol."""

    noisy = False

    def __init__(self, host: IHost, name: str, make: Callable[[str, ILease], ServedStream]) -> None:
        self._host = host
        self._name = name
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> ServedStream | None:
        """A protocol, or None to close the connection at once: too many, or banned."""
        peer = address(addr)
        try:
            lease = self._host.limits.admit(peer)
        except XferError as error:
            self._host.events.emit("connection.refused", protocol=self._name, peer=peer, code=error.code)
            return None
        return self._make(peer, lease)


def address(addr: object) -> str:
    """The IP address of a Twisted address; empty for UNIX sockets, which have none."""
    return str(getattr(addr, "host", ""))
