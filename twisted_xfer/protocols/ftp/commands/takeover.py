"""Going on with an upload whose connection has died without a word."""

from __future__ import annotations

from typing import Final

from twisted.internet.task import deferLater

from twisted_xfer.errors import Cancelled
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.commands.access import ANONYMOUS_NAMES
from twisted_xfer.protocols.ftp.session import FTPSession

#: Seconds without a byte after which an upload makes way for its own account: TCP sends again within a
#: second on any usable path, and whoever resumes has given the first connection up.
STANDSTILL: Final = 2.0


async def taken_over(session: FTPSession, path: VirtualPath) -> bool:
    """Whether an upload that held ``path`` has made way, so that opening it may be tried once more.

    When a client's network goes away nothing tells us: its upload stands still until the stall
    timeout, and would keep the part from the client, who is back long before and wants to go on
    with it. Another upload of the same account that does move is left alone. Anonymous users are
    not one account.
    """
    username = session.user().username
    if username.lower() in ANONYMOUS_NAMES:
        return False
    for other in session.channel.others():
        transfer = other.transfer
        if transfer is None or other.uploading != path or other.user().username != username:
            continue
        moved = transfer.transferred
        await deferLater(session.host.clock, STANDSTILL)
        if other.transfer is transfer:
            if transfer.transferred != moved:
                return False
            transfer.cancel(Cancelled(None, "its account goes on with it in another session"))
        return not session.closed
    return False
