"""The digest of what one side has already: in steps, for a file may be large and whoever asked may leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted_xfer.interfaces import IBlocking
from twisted_xfer.protocols.xfer.connection import Connection
from twisted_xfer.protocols.xfer.content import Hasher, make_hasher
from twisted_xfer.protocols.xfer.holes import hash_range

#: One step of a thread, behind which others have their turn. A peer may make a sparse part of any size
#: for a few bytes, and leave as soon as it was asked about.
STEP: Final = 64 * 1024 * 1024
#: Bytes of its prefix that a sender is given a second for before it must say something: a slow disk.
PATIENCE: Final = 16 * 1024 * 1024
#: And so many seconds in all, whatever size a peer claims.
MOST_PATIENCE: Final = 3600.0


async def hash_prefix(
    connection: Connection,
    blocking: IBlocking,
    fd: int,
    size: int,
    hash_name: str,
    *,
    wanted: Callable[[], bool],
    on_step: Callable[[int], Any] = lambda _position: None,
) -> Hasher:
    """A hasher that has seen the first ``size`` bytes, or fewer once it is not ``wanted`` any more.

    ``on_step`` is told how far it is. Meanwhile the connection is not idle.

    Raises:
        SourceChanged: there are fewer. StorageFailure: they cannot be read.
    """
    hasher = make_hasher(hash_name)
    position = 0
    while position < size and wanted():
        end = min(position + STEP, size)
        await blocking.run(hash_range, fd, position, end, hasher)
        position = end
        connection.last_moved = connection.clock.seconds()
        on_step(position)
    return hasher


def be_patient(connection: Connection, offset: int) -> None:
    """Let the other side hash its own ``offset`` bytes, of which nothing is heard."""
    seconds = min(offset / PATIENCE, MOST_PATIENCE)
    connection.patient_until = connection.clock.seconds() + seconds
