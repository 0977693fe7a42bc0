"""What may come after what: the handshake, and the life of one entry, as tables."""

from __future__ import annotations

import enum
from typing import Final

from twisted_xfer.sansio import Transitions


class Phase(enum.StrEnum):
    """The life of a connection."""

    OPENING = "opening"
    GREETED = "greeted"
    SELECTING = "selecting"
    SELECTED = "selected"
    ASKED = "asked"
    CHALLENGED = "challenged"
    READY = "ready"


class Step(enum.StrEnum):
    """The messages of the handshake. Who sends which is fixed: see CALLER_STEPS."""

    CALLER_HELLO = "caller's HELLO"
    LISTENER_HELLO = "listener's HELLO"
    SELECT = "SELECT"
    AUTH = "AUTH"
    CHALLENGE = "CHALLENGE"
    RESPONSE = "RESPONSE"
    AUTHENTICATED = "AUTHENTICATED"


#: One attempt at a login a connection: an ERROR ends it.
HANDSHAKE: Final[Transitions[Phase, Step]] = Transitions(
    {
        Phase.OPENING: {Step.CALLER_HELLO: Phase.GREETED},
        Phase.GREETED: {Step.LISTENER_HELLO: Phase.SELECTING},
        Phase.SELECTING: {Step.SELECT: Phase.SELECTED},
        Phase.SELECTED: {Step.AUTH: Phase.ASKED},
        Phase.ASKED: {Step.CHALLENGE: Phase.CHALLENGED, Step.AUTHENTICATED: Phase.READY},
        Phase.CHALLENGED: {Step.RESPONSE: Phase.ASKED},
        Phase.READY: {},
    }
)
CALLER_STEPS: Final = frozenset({Step.CALLER_HELLO, Step.AUTH, Step.RESPONSE})


class EntryState(enum.StrEnum):
    """The life of one entry."""

    OFFERED = "offered"
    INLINED = "inlined"
    TAKEN = "taken"
    MOVING = "moving"
    ENDED = "ended"
    FAILED = "failed"
    CLOSED = "closed"


class Act(enum.StrEnum):
    """What happens to an entry. FAIL is an ERROR that names it."""

    TAKE = "TAKE"
    SKIP = "SKIP"
    REFUSE = "REFUSE"
    FAIL = "ERROR"
    DONE = "DONE"
    INLINE = "INLINE"
    RESTART = "RESTART"
    DATA = "DATA"
    HOLE = "HOLE"
    SEGMENT = "SEGMENT"
    END = "END"
    ABORT = "ABORT"


_S, _A = EntryState, Act

#: FAILED: the receiver gave the entry up while its bytes were under way, which are dropped until the
#: sender says END or ABORT. DONE for an entry that was never taken: a directory or a link.
ENTRY: Final[Transitions[EntryState, Act]] = Transitions(
    {
        _S.OFFERED: {
            _A.TAKE: _S.TAKEN, _A.SKIP: _S.CLOSED, _A.REFUSE: _S.CLOSED, _A.FAIL: _S.CLOSED,
            _A.DONE: _S.CLOSED, _A.ABORT: _S.CLOSED,
        },
        _S.INLINED: {_A.INLINE: _S.ENDED},
        _S.TAKEN: {
            _A.RESTART: _S.MOVING, _A.DATA: _S.MOVING, _A.HOLE: _S.MOVING, _A.SEGMENT: _S.MOVING,
            _A.END: _S.ENDED,
            _A.ABORT: _S.CLOSED, _A.FAIL: _S.FAILED,
        },
        _S.MOVING: {
            _A.DATA: _S.MOVING, _A.HOLE: _S.MOVING, _A.SEGMENT: _S.MOVING, _A.END: _S.ENDED, _A.ABORT: _S.CLOSED,
            _A.FAIL: _S.FAILED,
        },
        _S.ENDED: {_A.DONE: _S.CLOSED, _A.SKIP: _S.CLOSED, _A.REFUSE: _S.CLOSED, _A.FAIL: _S.CLOSED},
        _S.FAILED: {
            _A.RESTART: _S.FAILED, _A.DATA: _S.FAILED, _A.HOLE: _S.FAILED, _A.SEGMENT: _S.FAILED,
            _A.END: _S.CLOSED,
            _A.ABORT: _S.CLOSED,
        },
        _S.CLOSED: {},
    }
)  # fmt: skip
