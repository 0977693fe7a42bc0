"""A caller's further connections for one session, for files that are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from twisted_xfer.errors import NotFound, XferError
from twisted_xfer.protocols.xfer.attempts import Run
from twisted_xfer.protocols.xfer.caller import Caller
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.joining import Ticket
from twisted_xfer.protocols.xfer.sources import Source
from twisted_xfer.protocols.xfer.spread import Spread

#: More would only wait for one another, whatever the listener allows.
MAX_CONNECTIONS: Final = 64
#: Connections that may meet another process of the listener, beside those that join. Three joins among three
#: processes take six such on average.
MISSES: Final = 16

Begin = Callable[[Caller, Source, Callable[[], object], Spread | None], None]


async def together(run: Run, first: Caller, ticket: Ticket, offers: Source, begin: Begin) -> XferError | None:
    """Send ``offers`` over ``first`` and over further connections that join it; what ended it, or None.

    A connection that cannot join is done without. One that breaks is a reason for another attempt,
    when the others are through. ``first`` is closed last, since the others live by its login.
    """
    spread = Spread(offers)
    shares = [spread.share()]
    others: list[Caller] = []
    waiting = [True]
    overs: list[Deferred[Any]] = []
    errors: list[XferError] = []

    def finish_first() -> None:
        if not waiting[0] and not busy:
            first.finish()

    busy = {first}

    def done(caller: Caller) -> None:
        busy.discard(caller)
        if caller is not first:
            caller.finish()
        finish_first()

    def over(error: XferError | None, caller: Caller) -> None:
        if error is not None:
            errors.append(error)
            spread.broken()
        busy.discard(caller)
        finish_first()

    def run_one(caller: Caller, share: Source) -> None:
        overs.append(caller.over.addCallback(over, caller))
        begin(caller, share, lambda: done(caller), spread)

    run_one(first, shares[0])
    misses = 0
    while len(others) + 1 < min(run.work.connections, MAX_CONNECTIONS):
        if first.closed or first not in busy:
            break
        try:
            other = await run.call("send", ticket)
        except PeerError as error:
            misses += 1
            if error.name == NotFound.code and misses < MISSES:
                # Another process of the listener: it does not know the session.
                continue
            break
        except XferError:
            break
        others.append(other)
        busy.add(other)
        run_one(other, spread.share())
    waiting[0] = False
    finish_first()
    for one in overs:
        await one
    return errors[0] if errors else None
