"""The bytes of a push: ``NAME<SEPARATOR>SIZE``, then SIZE bytes, then the end. Pure.

Nothing marks where SIZE ends and the file begins, and scripts take one ``recv`` for the header. The
size can be told all the same, from the whole: with T bytes after the separator, and k leading digits
taken for SIZE, the number must be T - k. It grows with k and T - k falls, so at most one k fits. What nobody can tell is a sender that ends in order at
the very byte that fits fewer digits: ``60hello`` is also a file ``0hello`` of 6 bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError, Truncated

SEPARATOR: Final = b"<SEPARATOR>"
#: The scripts read at most so many bytes as the header; a longer name never worked.
MAX_HEADER: Final = 4096
#: Digits of 2**63 - 1, the largest file there is.
MAX_DIGITS: Final = 19
#: Bytes that wait in memory while several sizes are still possible. Files up to this size never need
#: to be moved afterwards.
MAX_HELD: Final = 256 * 1024
_DIGITS: Final = b"0123456789"
#: What a client begins with that takes us for a port with TLS (RFC 8446 section 5.1), and no file name
#: that anybody typed. It waits for an answer, so that the rest of a header would never come.
_TLS: Final = (b"\x16\x03\x00", b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03")


class Named(NamedTuple):
    """The sender said which file this is: the path that was typed there, as bytes."""

    name: bytes


class Chunk(NamedTuple):
    """Bytes of the file, in order."""

    data: bytes


class Whole(NamedTuple):
    """The end, and the size fits. ``prefix`` is the beginning of the file, before all chunks."""

    size: int
    prefix: bytes


Event: TypeAlias = Named | Chunk


def plain_name(raw: bytes) -> bytes:
    r"""The last component of a path that was typed on any system: after ``/`` and ``\``.

    Raises:
        RemoteProtocolError: nothing is left of it.
    """
    name = raw.replace(b"\\", b"/").rpartition(b"/")[2]
    if name in {b"", b".", b".."} or b"\0" in name:
        raise RemoteProtocolError(detail="no file name")
    return name


def header(name: bytes, size: int) -> bytes:
    """What a sender begins with.

    Raises:
        LocalProtocolError: a name that the other side could not tell from the size.
    """
    made = name + SEPARATOR + b"%d" % size
    if SEPARATOR in name or not name or len(made) > MAX_HEADER or name.startswith(_TLS):
        raise LocalProtocolError(detail="a name that cannot be pushed")
    return made


class PushReader:
    """The receiver's side: feed with receive_data, pull with next_event until None, then ask end().

    Bounded: MAX_HEADER bytes before the separator, MAX_HELD bytes while the size is open (and one
    read more), nothing else.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._named = False
        self._total = 0
        self._run: bytes | None = None
        #: Sizes that are possible: digits taken, and the bytes after the separator that this implies.
        self._possible: list[tuple[int, int]] = []
        #: Once bytes go out: how many leading digits were left out of them.
        self._start: int | None = None

    @property
    def pending(self) -> int:
        """Bytes that no event was made of yet."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data
        if self._named:
            self._total += len(data)

    def next_event(self) -> Event | None:
        """The next event, or None when it needs more.

        Raises:
            RemoteProtocolError: no header, or more bytes than any size that it may say.
        """
        if not self._named:
            return self._find_name()
        if self._run is None and not self._find_run(ended=False):
            return None
        self._possible = [(k, total) for k, total in self._possible if total >= self._total]
        if not self._possible:
            raise RemoteProtocolError(detail="more bytes than announced")
        if self._start is None:
            if len(self._possible) > 1 and self._total <= MAX_HELD:
                return None
            self._start = self._possible[-1][0]
            del self._buffer[: self._start]
        return self._chunk()

    def end(self) -> tuple[Chunk | None, Whole]:
        """The sender closed in order: the last chunk, if any, and what the file is.

        Raises:
            RemoteProtocolError: before there was a header.
            Truncated: no size fits.
        """
        if not self._named:
            raise RemoteProtocolError(detail="no header")
        if self._run is None:
            self._find_run(ended=True)
        for k, total in self._possible:
            if total == self._total:
                start = k if self._start is None else self._start
                if self._start is None:
                    self._start = k
                    del self._buffer[:k]
                return self._chunk(), Whole(total - k, (self._run or b"")[k:start])
        raise Truncated(detail="no size fits what came", transferred=self._total)

    def _chunk(self) -> Chunk | None:
        if not self._buffer:
            return None
        data = bytes(self._buffer)
        self._buffer.clear()
        return Chunk(data)

    def _find_name(self) -> Named | None:
        """Up to the first separator that a digit follows: one inside a name does no harm then."""
        buffer = self._buffer
        if buffer.startswith(_TLS):
            raise RemoteProtocolError(detail="TLS on a port without")
        at = buffer.find(SEPARATOR)
        while at >= 0 and at + len(SEPARATOR) < len(buffer):
            if buffer[at + len(SEPARATOR)] in _DIGITS:
                break
            at = buffer.find(SEPARATOR, at + 1)
        known = at >= 0 and at + len(SEPARATOR) < len(buffer)
        if (at if known else len(buffer) - len(SEPARATOR)) > MAX_HEADER:
            raise RemoteProtocolError(detail="no header", limit=MAX_HEADER)
        if not known:
            return None
        name = bytes(buffer[:at])
        del buffer[: at + len(SEPARATOR)]
        self._named = True
        self._total = len(buffer)
        return Named(name)

    def _find_run(self, *, ended: bool) -> bool:
        """The leading digits, as many as may be a size; False while more may come."""
        head = bytes(self._buffer[: MAX_DIGITS + 1])
        run = head[: len(head) - len(head.lstrip(_DIGITS))][:MAX_DIGITS]
        if len(run) == len(head) and len(run) < MAX_DIGITS and not ended:
            return False
        self._run = run
        most = 1 if run[:1] == b"0" else len(run)
        self._possible = [(k, int(run[:k]) + k) for k in range(1, most + 1)]
        return True
