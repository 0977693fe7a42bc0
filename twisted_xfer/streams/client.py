"""A connection that was dialled, and is talked to by a coroutine."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from twisted_xfer.errors import ConnectionLost, TimedOut
from twisted_xfer.streams.drain import Queued, kernel_queue
from twisted_xfer.streams.stream import Reader, WireStream


class ClientStream(WireStream):
    """One connection of a client. Close it in a ``finally``."""

    def __init__(
        self, reader: Reader, clock: IReactorTime, idle: float, queued: Queued = kernel_queue
    ) -> None:
        super().__init__(clock, idle, queued)
        self.reader = reader

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
    """A connection to ``endpoint``, which silence of ``within`` seconds ends.

    Raises:
        TimedOut, ConnectionLost: there is none.
    """
    stream = ClientStream(reader, clock, within, queued)
    connecting: Deferred[ClientStream] = connectProtocol(endpoint, stream)  # type: ignore[no-untyped-call]
    deadline = clock.callLater(within, connecting.cancel)
    try:
        return await connecting
    except Exception as error:
        raise (
            TimedOut(detail="no connection") if not deadline.active() else ConnectionLost(detail=str(error))
        ) from error
    finally:
        if deadline.active():
            deadline.cancel()
