"""Which sessions of one user share a client, and with it, maybe, its TLS sessions."""

from __future__ import annotations

import math
from typing import Final

#: How long a session counts after its end, in seconds: a client's ticket may be from it.
MEMORY: Final = 600.0
#: Users remembered before those whose sessions have long ended are dropped.
SWEEP_AT: Final = 1024
#: Sessions of one user remembered; who has more has siblings anyway.
MAX_EACH: Final = 16


class Siblings:
    """Sessions by address and user, as long as they last and for a while after.

    Clients with several connections (rclone) often keep one ticket for all of them, and so offer
    to one session what they got from another. Only logged-in sessions count, so that nobody can
    make somebody else's session look like one of several.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[str, str], dict[str, float]] = {}

    def begin(self, peer: str, username: str, session_id: str, now: float) -> None:
        """A session has logged in."""
        if len(self._ends) >= SWEEP_AT:
            self._sweep(now)
        sessions = self._ends.setdefault((peer, username), {})
        sessions[session_id] = math.inf
        if len(sessions) > MAX_EACH:
            del sessions[next(iter(sessions))]

    def end(self, peer: str, username: str, session_id: str, now: float) -> None:
        """It has ended."""
        sessions = self._ends.get((peer, username))
        if sessions is not None and session_id in sessions:
            sessions[session_id] = now

    def has(self, peer: str, username: str, session_id: str, now: float) -> bool:
        """Whether there is, or was of late, another one."""
        sessions = self._ends.get((peer, username), {})
        return any(end > now - MEMORY for other, end in sessions.items() if other != session_id)

    def _sweep(self, now: float) -> None:
        for key, sessions in list(self._ends.items()):
            if all(end <= now - MEMORY for end in sessions.values()):
                del self._ends[key]
