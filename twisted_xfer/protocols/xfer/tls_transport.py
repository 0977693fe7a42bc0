"""TLS between a TCP transport and a connection, for less than Twisted's own costs.

Twisted hands plaintext out in pieces of 32 KiB and takes it in many small steps: 6 s/GiB for both
ends were measured. Here records are decrypted into one buffer, and content goes past it, see line.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.protocols.xfer.lending import Layer
from twisted_xfer.protocols.xfer.line import socket_of
from twisted_xfer.protocols.xfer.secure_line import SecureLine
from twisted_xfer.protocols.xfer.tls_records import RECORD

#: What is handed to the connection at once.
PLAINTEXT: Final = 128 * 1024
#: What is encrypted at a time, and as records.
SLICE: Final = 64 * 1024
FLIGHT: Final = 2 * SLICE


class _NoFactory:
    """Twisted's creators ask the factory that a protocol is of for more names of ALPN: none of ours has any."""

    wrappedFactory: Final = None


@implementer(ISSLTransport, IPushProducer)
class TLSTransport(Layer):
    """The transport of ``protocol``, and the protocol of ``raw``, which is one that is connected.

    ``make`` is a method of one of Twisted's creators.

    Bounded: what ``raw`` reads at once, and what ``protocol`` writes, which its producer bounds.
    """

    factory: Final = _NoFactory()

    def __init__(
        self, raw: Any, protocol: Any, make: Callable[[Any], SSL.Connection], *, server: bool
    ) -> None:
        self.raw = raw
        self._protocol = protocol
        tls = self._tls = make(self)
        self._buffer = memoryview(bytearray(PLAINTEXT))
        self._early: list[bytes] = []
        self._established = self._paused = self._pumping = self._closing = self._ended = False
        self._failure: Failure | None = None
        #: A thread has the line, and OpenSSL with it.
        self.lent = False
        self._line: SecureLine | None = None
        if server:
            tls.set_accept_state()
        else:
            tls.set_connect_state()

    def begin(self, data: bytes = b"") -> None:
        """Take ``raw`` over; ``data`` has come from it already."""
        self.raw.protocol = self
        if data:
            self.dataReceived(data)
        else:
            self._pump()

    def getPeer(self) -> Any:
        """The other end's address."""
        return self.raw.getPeer()

    def getHost(self) -> Any:
        """Our own address."""
        return self.raw.getHost()

    def getTcpNoDelay(self) -> bool:
        """Of the TCP connection."""
        return bool(self.raw.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """For the TCP connection."""
        self.raw.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Of the TCP connection."""
        return bool(self.raw.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """For the TCP connection."""
        self.raw.setTcpKeepAlive(enabled)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Whoever is to be told when records pile up."""
        self.raw.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Nobody is to be told any more."""
        self.raw.unregisterProducer()

    # --- the protocol of the raw transport ---------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Records."""
        self._tls.bio_write(data)
        self._pump()

    def connectionLost(self, reason: Failure) -> None:
        """The TCP connection is gone."""
        if self._ended:
            reason = Failure(ConnectionDone())  # type: ignore[no-untyped-call]
        self._protocol.connectionLost(self._failure or reason)

    def _pump(self) -> None:
        """Go on with whatever can be gone on with."""
        if self._pumping:
            return
        self._pumping = True
        try:
            if not self._established and not self._shake():
                return
            while not self._paused and not self._ended:
                count = self._fill()
                if count and not self._closing:
                    self._protocol.dataReceived(bytes(self._buffer[:count]))
                elif not count:
                    break
        except SSL.Error as error:
            self._fail(error)
        finally:
            self._pumping = False
        if not self.lent:
            self._flush()

    def _shake(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return False
        self._established = True
        self._flush()
        early, self._early = self._early, []
        self.writeSequence(early)
        if IHandshakeListener.providedBy(self._protocol):
            self._protocol.handshakeCompleted()
        if self._closing:
            self._shut()
        return True

    def _fill(self) -> int:
        """Decrypt into the buffer; 0 when there is nothing for now, or never again."""
        total = 0
        try:
            while total < PLAINTEXT:
                total += self._tls.recv_into(self._buffer[total:], min(RECORD, PLAINTEXT - total))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            if total:
                # What came before is handed out first; the next look finds the end again.
                return total
            self._ended = True
            self._shut()
            self._leave()
        return total

    def _fail(self, error: SSL.Error) -> None:
        """TLS is broken: say so to the peer if OpenSSL has words for it, and cut."""
        if self._failure is None:
            self._failure = Failure(error)  # type: ignore[no-untyped-call]
        self._flush()
        if self._established:
            self.raw.abortConnection()
        else:
            self._leave()

    def _leave(self) -> None:
        """Close the TCP connection behind what was written, whoever still wants to produce."""
        self.raw.unregisterProducer()
        self.raw.loseConnection()

    def failVerification(self, reason: Failure) -> None:
        """Called by Twisted's check of a server's name: it is another's certificate."""
        self._failure = reason
        self.raw.abortConnection()

    # --- the transport of the protocol ---------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        self.writeSequence([data])

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """Encrypt and send."""
        if not self._established:
            self._early.extend(pieces)
            return
        if self._closing:
            return
        try:
            for data in pieces:
                view = memoryview(data)
                while view:
                    view = view[self._tls.send(view[:SLICE]) :]
                    self._flush()
        except SSL.Error as error:
            self._fail(error)

    def _flush(self) -> None:
        more = True
        while more:
            try:
                records = self._tls.bio_read(FLIGHT)
            except SSL.Error:
                # Nothing there, which is a WantReadError.
                return
            # Asking once more in vain would cost an exception.
            more = len(records) == FLIGHT
            self.raw.write(records)

    def loseConnection(self) -> None:
        """Say close_notify behind all that was written, and wait for the peer's.

        What it still sends is read and dropped: left unread it would turn the end into a reset that
        may overtake what we said last.
        """
        if not self._closing:
            self._closing = True
            if self._established:
                self._shut()
            else:
                self._leave()

    def loseWriteConnection(self) -> None:
        """Whole connections end here: a half in TLS is not told from one that was cut."""
        self.loseConnection()

    def _shut(self) -> None:
        try:
            self._tls.shutdown()
        except SSL.Error:
            self._leave()
            return
        self._flush()

    def abortConnection(self) -> None:
        """Cut."""
        self.raw.abortConnection()

    def pauseProducing(self) -> None:
        """Hand out no more for now."""
        self._paused = True
        self.raw.pauseProducing()

    def stopProducing(self) -> None:
        """Cut."""
        self.abortConnection()

    def resumeProducing(self) -> None:
        """Hand out again, first what was decrypted already."""
        self._paused = False
        self._pump()
        if not self._paused:
            self.raw.resumeProducing()

    def getHandle(self) -> SSL.Connection:
        """The TLS connection."""
        return self._tls

    def getPeerCertificate(self) -> Any:
        """The peer's certificate as pyOpenSSL's, or None."""
        return self._tls.get_peer_certificate()

    def line(self) -> SecureLine | None:
        """For a thread, while this is paused."""
        if self._line is None and self._established:
            sock = socket_of(self.raw)
            self._line = None if sock is None else SecureLine(sock, self._tls)
        return self._line
