"""Content of a large file on its way out, where a thread can have the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_xfer.errors import ConnectionLost
from twisted_xfer.interfaces import IHasFileno, IReadFile
from twisted_xfer.protocols.xfer.bulk import PROOFS, Outflow, make_buffer
from twisted_xfer.protocols.xfer.content import AT_ONCE, SEGMENT, Hasher
from twisted_xfer.protocols.xfer.report import TransferEvent
from twisted_xfer.protocols.xfer.wire.frames import Data
from twisted_xfer.protocols.xfer.wire.messages import Segment

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.outgoing import Outgoing
    from twisted_xfer.protocols.xfer.sending import SenderRole


async def send_bulk(
    role: SenderRole, out: Outgoing, file: IReadFile, hasher: Hasher, position: int, until: int | None
) -> int:
    """Send from ``position`` to ``until`` with SEGMENTs between, and answer how far it went; END is not sent.

    Not to the end where the connection has no line, the file no descriptor, or the file or the
    connection ended early. Raises what the receiver or the file made of it.
    """
    size, connection = out.offer.size, role.connection
    bulky = until is not None and until - position > AT_ONCE
    if until is None or not bulky or role.limiter is not None or not IHasFileno.providedBy(file):
        return position
    stream = out.stream
    buffer = make_buffer(secure=connection.secure)
    flow = Outflow(
        IHasFileno(file).fileno(),
        stream,
        hasher,
        position,
        connection.link.max_data,
        buffer,
        connection.clock.seconds,
    )
    while flow.position < until and not flow.short and connection.can_lend:
        await connection.drained()
        if role.gone() or out.failed is not None:
            break
        line = connection.lend_line()
        if line is None:
            break
        before = flow.position
        out.flow = flow
        try:
            await role.blocking.run(
                flow.push, line, min(until, before - before % SEGMENT + SEGMENT * (PROOFS + 1))
            )
        except ConnectionLost:
            # The reactor will find that too, and says what it means.
            break
        finally:
            out.flow = None
            connection.take_line_back(flow.rest())
        if role.gone() or stream not in role.books.open:
            break
        moved = flow.position - before
        file.advance(moved)
        role.books.sent(Data(stream, b""))
        role.books.open[stream].position += moved
        role.tell(TransferEvent("progress", out.offer.path, size=size, position=flow.position))
        if moved and out.failed is None and not flow.position % SEGMENT and flow.said != flow.position:
            segment = Segment(stream=stream, offset=flow.position, digest=hasher.digest())
            role.books.sent(segment)
            connection.send(segment)
    return flow.position
