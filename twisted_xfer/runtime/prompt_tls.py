"""The TLS of a server's connection whose answers are short: OpenSSL on the descriptor itself.

Twisted's startTLS makes a factory, a protocol and an interface declaration for each connection,
copies each record through memory twice, and sends it a turn of the reactor later: half of what a
session in TLS cost.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final, Protocol

from OpenSSL import SSL
from twisted.internet import error, main
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.python.failure import Failure

from twisted_xfer.runtime.dial import DescriptorReactor
from twisted_xfer.runtime.tls_binding import read_one_record
from twisted_xfer.runtime.tls_records import RECORD, records

#: Seconds that a client has to take an alert and to close.
ALERT_SECONDS: Final = 2.0
#: Bytes that are encrypted in one go, before others have their turn.
MOST: Final = 8 * RECORD
#: Keeps segments back; Linux has it.
_CORK: Final[int | None] = getattr(socket, "TCP_CORK", None)


class Carrier(Protocol):
    """The connection below."""

    protocol: Any
    reactor: Any
    socket: socket.socket

    def send(self, data: bytes) -> bool:
        """See IPromptTransport."""
        ...

    def abortConnection(self) -> None:
        """Cut."""

    def connectionLost(self, reason: Failure) -> None:
        """End it for good."""

    def forget_tls(self) -> None:
        """Go on in clear."""


class PromptTLS:
    """The server's end of TLS over ``carrier``, by ``connection``, which is over the carrier's socket.

    In TLS 1.3 the session tickets follow the handshake: they are held back until the first answer,
    which saves two segments, and every client has read them when it has read that. The kernel
    does not hold them longer than 200 ms.

    Bounded: one record is decrypted for each time that the reactor finds something to read.
    """

    __slots__ = ("_carrier", "_corked", "_deadline", "_early", "_ended", "_ending", "_failure", "_greeted", "_leaving", "_records", "connection", "established")  # fmt: skip

    def __init__(self, carrier: Carrier, connection: SSL.Connection) -> None:
        self._carrier = carrier
        self.connection = connection
        self._records = records(connection)
        self.established = False
        #: The client's first words have come.
        self._greeted = False
        self._corked = False
        #: What is written leaves together with close_notify and the end.
        self._ending = False
        #: We have said close_notify.
        self._ended = False
        self._leaving = False
        #: Why the handshake failed.
        self._failure: SSL.Error | None = None
        self._deadline: IDelayedCall | None = None
        self._early: list[bytes] = []
        connection.set_accept_state()
        read_one_record(connection)

    # --- reading -------------------------------------------------------------------------------

    def receive(self) -> Exception | None:
        """There is something to read: take it; the reason when it ends the connection."""
        if self._failure is not None:
            return self._drop()
        try:
            if not self.established:
                return self._shake()
            data = self._records.read()
        except SSL.Error as failure:
            # Also a client that asks for new keys and does not read (WantWriteError): it gets neither.
            return failure
        if data is None:
            return None
        if not data:
            return self._closed()
        if self._leaving:
            # Nothing but close_notify may come; a command here was sent before the reply to CCC.
            return error.ConnectionAborted()
        self._carrier.protocol.dataReceived(data)
        return None

    def _shake(self) -> Exception | None:
        """Go on with the handshake; the reason when it fails and nobody can be told."""
        if self._greeted:
            # This may be the last step.
            self._cork()
        self._greeted = True
        try:
            self.established = self._records.shake()
        except SSL.Error as failure:
            self._uncork()
            return self._refuse(failure)
        if not self.established:
            self._uncork()
            return None
        if self.connection.get_protocol_version() < SSL.TLS1_3_VERSION:
            # The client waits for our last flight.
            self._uncork()
        early, self._early = self._early, []
        if early:
            self._carrier.send(b"".join(early))
        protocol = self._carrier.protocol
        if IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        return None

    def _refuse(self, failure: SSL.Error) -> Exception | None:
        """OpenSSL has sent an alert: let it arrive.

        In TLS 1.3 a client whose certificate is refused takes its handshake for done, and sends on.
        Left unread that would turn the end into a reset, which overtakes the alert.
        """
        try:
            self._carrier.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return failure
        self._failure = failure
        lost = self._carrier.connectionLost
        self._deadline = self._carrier.reactor.callLater(ALERT_SECONDS, lost, Failure(failure))  # type: ignore[no-untyped-call]
        return None

    def _drop(self) -> Exception | None:
        """Read and forget; the reason when the client has gone."""
        try:
            gone = not self._carrier.socket.recv(RECORD)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        return self._failure if gone else None

    def _closed(self) -> Exception | None:
        """The client has said close_notify."""
        self.end()
        if not self._leaving:
            return main.CONNECTION_DONE
        self.lost()
        self._carrier.forget_tls()
        return None

    # --- writing -------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int | Exception:
        """Bytes taken; they are kept before the handshake is done, and dropped after close_notify."""
        if not self.established:
            self._early.append(bytes(data))
            return len(data)
        if self._ended:
            return len(data)
        sent = 0
        try:
            if len(data) <= RECORD:
                sent = self._records.write(data)
            else:
                sent = self._write_long(memoryview(data)[:MOST])
        except (SSL.WantWriteError, SSL.WantReadError):
            # OpenSSL wants the same bytes once more, or these and more: whoever keeps them sees to it.
            pass
        except SSL.Error as failure:
            return failure
        if self._corked and not self._ending:
            self._uncork()
        return sent

    def _write_long(self, view: memoryview) -> int:
        """Bytes taken. Raises SSL.Error, WantWriteError when it is none."""
        sent = 0
        while sent < len(view):
            try:
                sent += self._records.write(view[sent : sent + RECORD])
            except SSL.WantWriteError:
                if not sent:
                    raise
                break
        return sent

    def finish(self, last: bytes) -> bool:
        """Send ``last`` and close_notify; False when the socket did not take ``last``.

        When it did, both wait for the end of the connection, which joins them in one segment.
        """
        self._cork()
        self._ending = True
        if self._carrier.send(last):
            self.end()
            return True
        self._ending = False
        self._uncork()
        return False

    def end(self) -> None:
        """Say close_notify, once, as far as the socket takes it."""
        if not self._ended and self.established:
            self._ended = True
            with contextlib.suppress(SSL.Error):
                self.connection.shutdown()

    def leave(self, clock: DescriptorReactor, timeout: float) -> None:
        """Go back to clear once the client has said close_notify; cut when it does not within ``timeout`` seconds."""
        self._leaving = True
        if timeout:
            self._deadline = clock.callLater(timeout, self._carrier.abortConnection)

    def lost(self) -> None:
        """The connection is gone, or in clear again."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _cork(self) -> None:
        if _CORK is not None and not self._corked:
            self._corked = True
            self._carrier.socket.setsockopt(socket.IPPROTO_TCP, _CORK, 1)

    def _uncork(self) -> None:
        if _CORK is not None and self._corked:
            self._corked = False
            self._carrier.socket.setsockopt(socket.IPPROTO_TCP, _CORK, 0)
