"""The bytes of the time and echo services. Pure: no sockets and no clock.

Three services that socket tutorials begin with. None has frames: what a reply answers is known only
from what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError

ServiceName: TypeAlias = Literal["time", "echo", "ctime-echo"]

#: The tutorial's servers read at most so many bytes at once, and stamp what they read.
PIECE: Final = 1024
#: ``Thu Jan  1 00:00:00 1970``: C's ctime() without its newline, always 24 bytes.
STAMP_SIZE: Final = 24
#: A greeting is one line; a client takes no more than this for one, whoever sends it.
MAX_GREETING: Final = 1024


def stamp(now: datetime) -> bytes:
    """``now`` as C's ctime() writes it, in English whatever the locale is, without a newline."""
    return now.ctime().encode("ascii")


def _time(_data: bytes, now: datetime) -> bytes:
    return stamp(now) + b"\n"


def _echo(data: bytes, _now: datetime) -> bytes:
    return data


def _ctime_echo(data: bytes, now: datetime) -> bytes:
    return stamp(now) + b" " + data


class Service(NamedTuple):
    """One service.

    ``greets``: on a stream it answers once, on connect, and closes. ``overhead``: by how many bytes
    the answer to a piece is longer than the piece.
    """

    answer: Callable[[bytes, datetime], bytes]
    greets: bool
    overhead: int


SERVICES: Final[dict[ServiceName, Service]] = {
    "time": Service(_time, greets=True, overhead=0),
    "echo": Service(_echo, greets=False, overhead=0),
    "ctime-echo": Service(_ctime_echo, greets=False, overhead=STAMP_SIZE + 1),
}


def pieces(data: bytes) -> list[bytes]:
    """What one read of a stream gave, cut as the tutorial's server would have read it."""
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]


def datagram_answer(service: Service, datagram: bytes, now: datetime) -> bytes:
    """The reply to one datagram, of which at most PIECE bytes count."""
    return service.answer(datagram[:PIECE], now)


class ReplyReader:
    """Collects the reply to one message on a stream.

    The replies carry no length, so their size follows from the message: for the greeting service it
    is whatever comes until the server closes.

    Raises:
        LocalProtocolError: ``message`` is not one that can be asked for: empty for a service that
            answers messages, or longer than one piece.
    """

    def __init__(self, service: Service, message: bytes) -> None:
        if not service.greets and not 0 < len(message) <= PIECE:
            raise LocalProtocolError(detail=f"a message has 1 to {PIECE} bytes", size=len(message))
        self._wanted = None if service.greets else service.overhead + len(message)
        self._received = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Add what came; the whole reply, or None while some is missing.

        Raises:
            RemoteProtocolError: more came than was asked for, or more than MAX_GREETING.
        """
        most = MAX_GREETING if self._wanted is None else self._wanted
        if len(self._received) + len(data) > most:
            raise RemoteProtocolError(detail="the reply is too long", limit=most)
        self._received += data
        return bytes(self._received) if len(self._received) == self._wanted else None

    def end(self) -> bytes:
        """The server closed; the whole reply.

        Raises:
            RemoteProtocolError: some is missing.
        """
        if not self._received or self._wanted not in {None, len(self._received)}:
            raise RemoteProtocolError(detail="the reply is cut short", received=len(self._received))
        return bytes(self._received)
