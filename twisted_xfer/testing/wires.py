"""Drive a pure wire reader in every way that a network can.

A reader takes bytes by ``receive_data`` and gives events by a second method that answers None
when it needs more, or raises RemoteProtocolError. However the same bytes are cut, the events
must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted_xfer.errors import RemoteProtocolError

#: More events than any input of a test has: a reader that never answers None is a failure, not a hang.
MAX_EVENTS: Final = 100_000


class Reader(Protocol):
    """What can be driven."""

    def receive_data(self, data: bytes, /) -> None:
        """Take bytes."""
        ...


def pull_into(events: list[Any], pull: Callable[[], Any]) -> None:
    """Append every event that is there; what came before an error is kept.

    Raises:
        AssertionError: there is no end of them.
    """
    while (event := pull()) is not None:
        events.append(event)
        if len(events) > MAX_EVENTS:
            raise AssertionError("the reader gives events for ever")


def drive(make: Callable[[], Reader], pull: str, chunks: Sequence[bytes]) -> list[Any]:
    """The events of a fresh reader for ``chunks``; a RemoteProtocolError is the last of them.

    ``pull`` names the method that gives events. Errors are put in as ``("error", detail)``.
    """
    reader = make()
    events: list[Any] = []
    try:
        for chunk in chunks:
            reader.receive_data(chunk)
            pull_into(events, getattr(reader, pull))
    except RemoteProtocolError as error:
        events.append(("error", error.detail))
    return events


def drive_three_ways(
    make: Callable[[], Reader], pull: str, data: bytes, *, trailing: bytes = b"", after: Sequence[Any] = ()
) -> list[Any]:
    """The events for ``data``, the same in one piece, byte by byte, and with ``trailing`` behind it.

    ``after`` are the events that ``trailing`` alone gives.

    Raises:
        AssertionError: the events depend on how the bytes were cut.
    """
    whole = drive(make, pull, [data])
    single = drive(make, pull, [data[at : at + 1] for at in range(len(data))])
    if single != whole:
        raise AssertionError(f"byte by byte gives {single!r}, in one piece {whole!r}")
    if trailing:
        followed = drive(make, pull, [data + trailing])
        if followed != [*whole, *after]:
            raise AssertionError(f"with trailing bytes gives {followed!r}, not {[*whole, *after]!r}")
    return whole
