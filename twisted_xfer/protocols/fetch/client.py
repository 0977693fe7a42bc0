"""Fetching a file from a script's server, or from ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from twisted_xfer.errors import ConnectionLost, DigestMismatch, NotFound, TimedOut, Truncated
from twisted_xfer.interfaces import Eventually, ILimiter
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.fetch.wire import READY, Chunk, Digest, ReplyReader, command
from twisted_xfer.streams import dial

#: Seconds of silence after which a server is given up: scripts answer nothing for a missing file.
WITHIN: Final = 30.0
#: Seconds without a digit after which a size is taken for whole.
QUIET: Final = 0.05
#: What a server of the first version looks like to who waits for a digest.
NO_MD5: Final = "no MD5 came"


async def get(
    endpoint: IStreamClientEndpoint,
    name: bytes,
    write: Callable[[bytes], Eventually[object]],
    clock: IReactorTime,
    *,
    md5: bool = True,
    within: float = WITHIN,
    quiet: float = QUIET,
    progress: Callable[[int, int], object] | None = None,
    limiter: ILimiter | None = None,
) -> int:
    """Fetch ``name`` into ``write``; the size.

    ``md5`` says whether the server is one that sends a digest at the end; ``progress`` is told the
    bytes of each piece and the size.

    Raises:
        LocalProtocolError: a name with blanks.
        NotFound: the server closed instead of answering.
        DigestMismatch: what came is not what the server read.
        Truncated: the connection ended too early.
        TimedOut: no connection, no answer, or with the detail NO_MD5 the whole file and no digest.
        RemoteProtocolError, ConnectionLost: no such server, or no answer.
    """
    asking = command(name)
    reader = ReplyReader(digest=md5)
    stream = await dial(endpoint, reader, clock, within)
    try:
        stream.transport.write(asking)
        while not reader.begun:
            if not await stream.any_bytes():
                raise NotFound(name) if stream.ended_cleanly else stream.gone()
            reader.next_event()
        while await stream.more(quiet):
            reader.next_event()
        size = reader.silence().size
        if stream.lost is not None:
            raise stream.gone()
        stream.transport.write(READY)
        digest = hashlib.md5(usedforsecurity=False)
        received = 0
        while not isinstance(event := await stream.next_event(), Digest):
            if not isinstance(event, Chunk):
                gone = stream.gone()
                if received == size and stream.timed_out:
                    raise TimedOut(name, NO_MD5, transferred=received)
                raise Truncated(name, transferred=received) if isinstance(gone, ConnectionLost) else gone
            digest.update(event.data)
            received += len(event.data)
            await resolve(write(event.data))
            if progress is not None:
                progress(len(event.data), size)
            await stream.paced(len(event.data), limiter)
        if md5 and event.md5 != digest.hexdigest():
            raise DigestMismatch(name, "md5", transferred=received)
        await stream.closed()
        return size
    finally:
        stream.leave()
