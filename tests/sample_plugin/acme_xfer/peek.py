"""The ``peek`` protocol: log in, look at directories, leave."""

from collections import deque
from typing import Literal

import attrs
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from zope.interface import implementer

from acme_xfer.peek_wire import END, OK, Reader, Request, TooLong, entries, refusal
from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin, LoginContext
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath

#: Requests that may wait behind the one that runs; with more the connection ends.
MAX_WAITING = 16
BATCH = 100
#: A listing is written without asking whether the peer reads, so it ends somewhere.
MAX_ENTRIES = 10_000


@attrs.frozen
class PeekOptions:
    """``idle``: seconds without a request that end a connection."""

    idle: float = 60.0


class PeekProtocol(Protocol):
    """One connection: requests run one after the other."""

    def __init__(self, host: IHost, peer: str, lease, idle: float) -> None:
        self._host = host
        self._lease = lease
        self._idle = idle
        self._reader = Reader()
        self._waiting: deque[Request] = deque()
        self._busy = False
        self._avatar = None
        self._context = LoginContext("peek", host.new_session_id(), peer)

    def connectionMade(self) -> None:
        self._timer = self._host.clock.callLater(self._idle, self.transport.abortConnection)
        self._emit("connection.open")

    def connectionLost(self, reason=connectionDone) -> None:
        """Give everything back, however it ended."""
        if self._timer.active():
            self._timer.cancel()
        avatar, self._avatar = self._avatar, None
        if avatar is not None:
            avatar.logout()
        self._lease.release()
        self._emit("connection.close", reason=reason.type.__name__)

    def _emit(self, event_id: str, **fields: object) -> None:
        context = self._context
        self._host.events.emit(
            event_id, protocol="peek", session=context.session_id, peer=context.peer, **fields
        )

    def dataReceived(self, data: bytes) -> None:
        self._timer.reset(self._idle)
        try:
            self._waiting.extend(self._reader.feed(data))
        except TooLong:
            self.transport.abortConnection()
            return
        if len(self._waiting) > MAX_WAITING:
            self.transport.abortConnection()
        elif not self._busy:
            self._busy = True
            Deferred.fromCoroutine(self._run()).addErrback(self._broken)

    async def _run(self) -> None:
        """Every request that waits. Errors of the daemon's family have a code to answer with."""
        while self._waiting and self.transport.connected:
            request = self._waiting.popleft()
            try:
                await self._answer(request)
            except XferError as error:
                self.transport.write(refusal(error.code))
        self._busy = False

    def _broken(self, failure) -> None:
        self._host.log.failure("peek failed", failure)
        self.transport.abortConnection()

    async def _answer(self, request: Request) -> None:
        match request:
            case Request(b"HELLO", (name, password)) if self._avatar is None:
                # The one way in: limits, back-off and the checkers of the configuration.
                avatar = await resolve(
                    self._host.login.login(UsernamePassword(name, password), self._context)
                )
                if not self.transport.connected:
                    avatar.logout()
                    return
                self._avatar = avatar
                self.transport.write(OK)
            case Request(b"DIR", arguments) if self._avatar is not None:
                await self._list(self._avatar, VirtualPath.parse(b" ".join(arguments)))
            case Request(b"BYE", ()):
                self.transport.loseConnection()
            case _:
                self.transport.write(refusal("what"))

    async def _list(self, avatar, path: VirtualPath) -> None:
        listing = await resolve(avatar.list(path))
        try:
            for _ in range(MAX_ENTRIES // BATCH):
                batch = await resolve(listing.next_batch(BATCH))
                if not batch:
                    break
                self.transport.write(entries((info.name, info.size) for info in batch))
        finally:
            listing.close()
        self.transport.write(END)


class PeekFactory(Factory):
    """Lets connections in, within the daemon's limits."""

    noisy = False

    def __init__(self, host: IHost, idle: float) -> None:
        self._host = host
        self._idle = idle

    def buildProtocol(self, addr) -> PeekProtocol | None:
        peer = getattr(addr, "host", "")
        try:
            lease = self._host.limits.admit(peer)
        except XferError as error:
            self._host.events.emit("connection.refused", protocol="peek", peer=peer, code=error.code)
            return None
        return PeekProtocol(self._host, peer, lease, self._idle)


@implementer(IProtocolPlugin)
class PeekPlugin:
    """What the daemon sees."""

    name = "peek"
    api_version = API_VERSION
    options = PeekOptions
    needs_account = False

    def describe(self) -> str:
        return "directory listings for terminals"

    def stream_factory(self, options: PeekOptions, host: IHost) -> PeekFactory:
        return PeekFactory(host, options.idle)

    def datagram(self, options: PeekOptions, host: IHost) -> None:
        return None

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """The first request of every client is HELLO."""
        hello = b"HELLO "
        if prefix.startswith(hello):
            return "yes"
        return "more" if hello.startswith(prefix) else "no"


plugin = PeekPlugin()
