"""Lending the line below a connection to a thread, and waiting for it to take more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from twisted_xfer.protocols.xfer.line import Line, PlainLine, socket_of


class Layer:
    """A transport that is the protocol of another one, ``raw``, and knows a line through both: TLS."""

    raw: Any
    #: A thread has the line.
    lent: bool

    def line(self) -> Line | None:
        """For a thread, while this is paused; None before the layer is there."""
        raise NotImplementedError


@implementer(IPullProducer)
class _Drain:
    """Registered while all that was written leaves: a transport asks a pull producer for more only then."""

    def __init__(self, connection: Lending) -> None:
        self._connection = connection
        self._begun = False

    def resumeProducing(self) -> None:
        """Once when it is registered, once when everything has left."""
        if self._begun:
            self._connection.drain_over(registered=True)
        self._begun = True

    def stopProducing(self) -> None:
        """The connection is going away."""
        self._connection.drain_over(registered=False)


class Lending:
    """The part of a Connection that knows sockets; over other transports nothing is ever lent.

    While a thread has the line nothing is read, and what is to be sent is held: control frames,
    which those who send many wait for with ``writable``.
    """

    transport: Any
    link: Any

    def __init__(self) -> None:
        self.closed = False
        self.lent = False
        self._closing = False
        self._full = False
        self._line: Line | None = None
        self._held: list[bytes] = []
        self._waiting: list[Deferred[None]] = []
        self._drain: _Drain | None = None

    def resumeProducing(self) -> None:
        """There is room again."""
        raise NotImplementedError

    def line_is_back(self) -> None:
        """Go on with what waited while a thread had the line."""
        raise NotImplementedError

    # --- waiting ---------------------------------------------------------------------------

    def waiter(self) -> Deferred[None]:
        """Fires when there is room again, or never will be."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def wake(self) -> None:
        """Fire every waiter."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def write_pieces(self, pieces: Sequence[bytes]) -> None:
        """Send bytes, now or when the line is back."""
        if self.lent:
            self._held.extend(pieces)
        else:
            self.transport.writeSequence(pieces)

    @property
    def _raw(self) -> Any:
        """The TCP transport."""
        return self.transport.raw if isinstance(self.transport, Layer) else self.transport

    def drained(self) -> Deferred[None]:
        """Fires when all that was written has left and the socket takes more (or it never will).

        Before others hear that there is room, who would write at once: a thread that has the line
        then must be the only one.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.insert(0, waiter)
        if self._drain is None:
            raw = self._raw
            self._full = True
            drain = self._drain = _Drain(self)
            raw.unregisterProducer()
            raw.registerProducer(drain, False)
            if self._drain is drain:
                raw.startWriting()
        return waiter

    def drain_over(self, *, registered: bool) -> None:
        """Called by the drain."""
        self._drain = None
        if registered and not self._closing:
            raw = self._raw
            raw.unregisterProducer()
            raw.registerProducer(self, True)
        self.resumeProducing()

    # --- lending ---------------------------------------------------------------------------

    @property
    def can_lend(self) -> bool:
        """Whether there is a line to lend, now."""
        return not (self.closed or self._closing or self.lent) and self._find_line() is not None

    def _find_line(self) -> Line | None:
        if self._line is None:
            if isinstance(self.transport, Layer):
                self._line = self.transport.line()
            else:
                sock = socket_of(self.transport)
                self._line = None if sock is None else PlainLine(sock)
        return self._line

    def lend_line(self) -> Line | None:
        """Give the line away until ``take_line_back``; None when there is none.

        Everything written before must have left, if the borrower is to write.
        """
        if not self.can_lend:
            return None
        IPushProducer(self.transport).pauseProducing()
        self.lent = self._full = True
        if isinstance(self.transport, Layer):
            self.transport.lent = True
        return self._line

    def take_line_back(self, rest: bytes = b"") -> None:
        """The thread is done; ``rest`` is what it could not send, the end of a frame."""
        line = self._line
        self.lent = self._full = False
        transport = self.transport
        if self.closed or line is None:
            self._held.clear()
            self.forget_line()
            return
        taken = line.rest()
        if isinstance(transport, Layer):
            transport.lent = False
        if taken:
            self._raw.write(taken)
        held, self._held = self._held, []
        transport.writeSequence([rest, *held] if rest else held)
        self.wake()
        self.line_is_back()

    def forget_line(self) -> None:
        """Close its descriptor, unless a thread is using it."""
        if not self.lent and self._line is not None:
            self._line.close()
            self._line = None
