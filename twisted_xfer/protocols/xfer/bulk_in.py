"""Content of a large file on its way in, where a thread can have the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_xfer.interfaces import IHasFileno
from twisted_xfer.protocols.xfer.bulk import Inflow, make_buffer
from twisted_xfer.protocols.xfer.content import AT_ONCE

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.content_in import ContentReceiver
    from twisted_xfer.protocols.xfer.incoming import Incoming
    from twisted_xfer.protocols.xfer.receiving import ReceiverRole


async def receive_bulk(
    role: ReceiverRole, content: ContentReceiver, incoming: Incoming, pieces: list[bytes]
) -> bool:
    """Store ``pieces``, and what comes behind them straight from the line.

    False when that cannot be, and then nothing was done. Fails as the storage does.
    """
    entry, connection = incoming.entry, role.connection
    stream, left = connection.link.content_left()
    upload = incoming.upload
    if (
        stream != entry.stream
        or entry.size is None
        or entry.size <= AT_ONCE
        or role.limiter is not None
        or incoming.queue
        or not IHasFileno.providedBy(upload)
    ):
        return False
    waiting = sum(map(len, pieces))
    behind = entry.size - incoming.position - waiting
    room = upload.reserve(waiting + behind) - waiting if behind > 0 else 0
    if room < left or not connection.can_lend:
        # Near a limit, so that it holds to the byte.
        return False
    one = role.books.open[stream]
    flow = Inflow(
        IHasFileno(upload).fileno(), stream, incoming.hasher, incoming.position, left,
        connection.link.max_data, content.buffer or make_buffer(secure=connection.secure),
        connection.clock.seconds,
    )  # fmt: skip
    content.buffer = flow.buffer
    line = connection.lend_line()
    try:
        await role.blocking.run(flow.pull, line, pieces, room)
    finally:
        upload.advance(flow.position - incoming.position)
        incoming.position = flow.position
        incoming.verified = max(incoming.verified, flow.verified)
        connection.link.content_passed(flow.left)
        one.position += flow.received
        content.settle(waiting)
        if flow.unread:
            connection.link.receive_data(flow.unread)
        connection.take_line_back()
    return True
