"""A connection that was dialled, and is talked to by a coroutine."""

from __future__ import annotations

from typing import Final

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import (
    IHandshakeListener,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from twisted_xfer.errors import ConnectionLost, TimedOut
from twisted_xfer.streams.drain import Queued, kernel_queue
from twisted_xfer.streams.stream import Reader, WireStream

#: Seconds that a server has to answer in TLS. One without TLS may wait in silence for the rest of what it
#: takes for a request.
HANDSHAKE: Final = 10.0


@implementer(IHandshakeListener)
class ClientStream(WireStream):
    """One connection of a client. Close it in a ``finally``."""

    def __init__(
        self, reader: Reader, clock: IReactorTime, idle: float, queued: Queued = kernel_queue
    ) -> None:
        super().__init__(clock, idle, queued)
        self.reader = reader
        self._shaken = False

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._shaken = True
        self._wake_up()

    async def secured(self, seconds: float) -> None:
        """Wait for TLS.

        Raises:
            TimedOut, ConnectionLost: the other side did not answer in it within ``seconds``, or at all.
        """
        late = self.clock.callLater(seconds, self._silent)
        while not self._shaken and self.lost is None:
            self._wake = Deferred()
            await self._wake
        if late.active():
            late.cancel()
        if self.timed_out:
            raise TimedOut(detail="no answer in TLS: it may be a port without")
        if self.lost is not None:
            error = self.gone()
            if isinstance(self.lost.value, TLSError):
                raise error
            raise ConnectionLost(detail=f"{error.detail} before TLS was there: it may be a port without")

    async def closed(self) -> None:
        """Close in order; done when the connection is down, so when all that was written is sent."""
        if self.lost is None:
            self.transport.loseConnection()
        while self.lost is None:
            self._wake = Deferred()
            await self._wake

    def leave(self) -> None:
        """The way out of a conversation: cut what is still up."""
        if self.lost is None and self.transport is not None:
            self.transport.abortConnection()


async def dial(
    endpoint: IStreamClientEndpoint,
    reader: Reader,
    clock: IReactorTime,
    within: float,
    queued: Queued = kernel_queue,
) -> ClientStream:
    """A connection to ``endpoint``, TLS included if it has that, which silence of ``within`` seconds ends.

    Raises:
        TimedOut, ConnectionLost: there is none.
    """
    stream = ClientStream(reader, clock, within, queued)
    connecting: Deferred[ClientStream] = connectProtocol(endpoint, stream)  # type: ignore[no-untyped-call]
    deadline = clock.callLater(within, connecting.cancel)
    try:
        stream = await connecting
    except Exception as error:
        raise (
            TimedOut(detail="no connection") if not deadline.active() else ConnectionLost(detail=str(error))
        ) from error
    finally:
        if deadline.active():
            deadline.cancel()
    if ISSLTransport.providedBy(stream.transport):
        await stream.secured(min(within, HANDSHAKE))
    return stream
