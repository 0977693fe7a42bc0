"""Pushing a file to a script's receiver, or to ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
)
from zope.interface import directlyProvides

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.interfaces import Eventually, ILimiter
from twisted_xfer.protocols.push.wire import header
from twisted_xfer.streams import Queued, dial, kernel_queue

#: Seconds of silence after which a receiver is given up.
WITHIN: Final = 30.0


class _Silence:
    """The reader of a side to which nothing is ever said."""

    def __init__(self) -> None:
        self._spoken = False

    def receive_data(self, data: bytes) -> None:
        """Remember that there was something."""
        self._spoken = True

    def next_event(self) -> None:
        """There are none. Raises RemoteProtocolError when something was said."""
        if self._spoken:
            raise RemoteProtocolError(detail="a receiver says nothing")


async def send(
    endpoint: IStreamClientEndpoint,
    name: bytes,
    size: int,
    read: Callable[[int], Eventually[bytes]],
    clock: IReactorTime,
    *,
    within: float = WITHIN,
    progress: Callable[[int], object] | None = None,
    limiter: ILimiter | None = None,
    queued: Queued = kernel_queue,
) -> None:
    """Push ``size`` bytes from ``read`` as ``name``.

    The header goes out alone, so that a receiver that takes one read for it works. There is no
    answer but the receiver's close, which comes in order once it has read to the end; our own
    server resets the connection when it has not stored the file. In TLS the close says nothing.

    Raises:
        LocalProtocolError: ``name`` cannot be pushed.
        SourceChanged: ``read`` gave fewer bytes than ``size``.
        TimedOut, ConnectionLost: no connection, nothing moved for ``within`` seconds, or it broke.
    """
    first = header(name, size)
    stream = await dial(endpoint, _Silence(), clock, within, queued)
    # Otherwise the receiver's close would end our own sending without a word.
    directlyProvides(stream, IHalfCloseableProtocol)
    try:
        await stream.write_alone(first)
        await stream.send_bytes(read, size, limiter, progress)
        if ISSLTransport.providedBy(stream.transport):
            # Scripts end TLS without close_notify, which looks like a reset: no receipt is to be had.
            await stream.closed()
            if stream.timed_out:
                raise stream.gone()
            return
        stream.transport.loseWriteConnection()
        while stream.lost is None and not stream.finished:
            await stream.next_event()
        if not stream.ended_cleanly:
            raise stream.gone()
    finally:
        stream.leave()
