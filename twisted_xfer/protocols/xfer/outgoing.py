"""What a sender has in the air, and how its two loops wait."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from twisted_xfer.errors import XferError
from twisted_xfer.protocols.xfer.bulk import Outflow
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.values import Shown


@attrs.define(eq=False, repr=False)
class Outgoing(Shown):
    """An entry in the air."""

    offer: Offer
    stream: int
    digest: bytes = b""
    #: Bytes that did not move: holes, and what compression took away.
    saved: int = 0
    resumed: int = 0
    failed: XferError | None = None
    #: While a thread sends it.
    flow: Outflow | None = None


class Bell:
    """One waits, somebody else rings."""

    def __init__(self) -> None:
        self._waiter: Deferred[None] | None = None

    def wait(self) -> Deferred[None]:
        """Fires at the next ring."""
        waiter = self._waiter = Deferred()
        return waiter

    def ring(self) -> None:
        """Wake whoever waits; they may wait again at once."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
