"""Which sessions of one user share a client, and with it, maybe, its TLS sessions."""

from __future__ import annotations

import math
from typing import Final

from twisted.internet.defer import Deferred

#: How long a session counts after its end for those that begin later, in seconds: a client's
#: ticket may be from it.
MEMORY: Final = 600.0
#: Users remembered before those whose sessions have long ended are dropped.
SWEEP_AT: Final = 1024
#: Sessions of one user remembered; who has more has siblings anyway.
MAX_EACH: Final = 16


class Siblings:
    """Sessions by address and user, as long as they last and for a while after.

    Clients with several connections (rclone) often keep one ticket for all of them, and so offer
    to one session what they got from another. Only logged-in sessions count, so that nobody can
    make somebody else's session look like one of several. A session in TLS that has not logged in
    yet is a stranger: whose it is, is seen when it logs in.

    Bounded: strangers and waiters by the number of connections, the rest by SWEEP_AT and MAX_EACH.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], dict[str, float]] = {}
        self._strangers: dict[str, set[str]] = {}
        self._waiting: dict[str, list[Deferred[None]]] = {}

    def arrive(self, peer: str, session_id: str) -> None:
        """A control connection is in TLS, so its client has a ticket of it, and nobody has logged in."""
        self._strangers.setdefault(peer, set()).add(session_id)

    def leave(self, peer: str, session_id: str) -> None:
        """It has logged in, or is gone."""
        strangers = self._strangers.get(peer)
        if strangers is None or session_id not in strangers:
            return
        strangers.discard(session_id)
        if not strangers:
            del self._strangers[peer]
        for waiting in self._waiting.pop(peer, []):
            waiting.callback(None)

    def stranger_left(self, peer: str, session_id: str) -> Deferred[None] | None:
        """Fires when a stranger of that address has logged in or gone; None when there is none."""
        if not self._strangers.get(peer, set()) - {session_id}:
            return None
        all_waiting = self._waiting.setdefault(peer, [])
        waiting: Deferred[None] = Deferred(all_waiting.remove)
        all_waiting.append(waiting)
        return waiting

    def begin(self, peer: str, username: str, session_id: str, now: float) -> None:
        """A session has logged in."""
        if len(self._ends) >= SWEEP_AT:
            self._sweep(now)
        sessions = self._ends.setdefault((peer, username), {})
        sessions[session_id] = math.inf
        if len(sessions) > MAX_EACH:
            del sessions[next(iter(sessions))]
        self.leave(peer, session_id)

    def end(self, peer: str, username: str, session_id: str, now: float) -> None:
        """It has ended."""
        sessions = self._ends.get((peer, username))
        if sessions is not None and session_id in sessions:
            sessions[session_id] = now

    def has(self, peer: str, username: str, session_id: str, now: float, since: float = math.inf) -> bool:
        """Whether there is another one, or was of late, or at any time from ``since`` on."""
        sessions = self._ends.get((peer, username), {})
        from_then = min(since, math.nextafter(now - MEMORY, math.inf))
        return any(end >= from_then for other, end in sessions.items() if other != session_id)

    def _sweep(self, now: float) -> None:
        for key, sessions in list(self._ends.items()):
            if all(end <= now - MEMORY for end in sessions.values()):
                del self._ends[key]
