"""Taking TLS off a transport again: close_notify from both ends, then bytes in clear (RFC 4217 section 12.3)."""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IDelayedCall, IProtocol, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import noLongerProvides

from twisted_xfer.runtime.dial import DescriptorReactor
from twisted_xfer.runtime.prompt import PromptServer

#: Type, version and length of a TLS record.
HEADER: Final = 5
#: The longest one there is, TLS 1.2 with its 2 KiB for ciphers (RFC 5246 section 6.2.3).
MAX_RECORD: Final = HEADER + (1 << 14) + 2048


class Clearing(Protocol):
    """Stands in for the TLS layer of ``transport`` until the client's close_notify has come.

    Records are given to OpenSSL one by one: what follows close_notify is in clear. Anything else
    than close_notify ends the connection, as does the deadline. Bounded: one record is kept.
    """

    def __init__(self, transport: Any, connection: SSL.Connection) -> None:
        self._tcp = transport
        self._connection = connection
        self._buffer = bytearray()
        self._deadline: IDelayedCall | None = None
        self._inner: IProtocol = transport.protocol.wrappedProtocol

    def start(self, clock: DescriptorReactor, timeout: float) -> None:
        """Take the transport over from Twisted's TLS layer."""
        tcp = self._tcp
        tcp.TLS = False
        del tcp.getHandle, tcp.getPeerCertificate
        noLongerProvides(tcp, ISSLTransport)
        tcp.protocol = self
        if timeout:
            self._deadline = clock.callLater(timeout, tcp.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Records, or parts of them."""
        self._buffer += data
        while len(self._buffer) >= HEADER:
            size = HEADER + int.from_bytes(self._buffer[3:HEADER], "big")
            if size > MAX_RECORD:
                self._tcp.abortConnection()
                return
            if len(self._buffer) < size:
                return
            record = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._connection.bio_write(record)
            try:
                self._connection.recv(1)
            except SSL.WantReadError:
                # A record of the protocol itself, such as a key update.
                continue
            except SSL.ZeroReturnError:
                self._clear()
                return
            except SSL.Error:
                pass
            # Nothing but the end may come; a command here was sent before the reply to CCC.
            self._tcp.abortConnection()
            return

    def _clear(self) -> None:
        """Both ends are done with TLS: answer the close_notify, and let the session go on."""
        self._stop()
        tcp, connection = self._tcp, self._connection
        connection.shutdown()
        tcp.write(connection.bio_read(MAX_RECORD))
        tcp.protocol = self._inner
        if self._buffer:
            self._inner.dataReceived(bytes(self._buffer))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client went instead."""
        self._stop()
        self._inner.connectionLost(reason)

    def _stop(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


def leave_tls(transport: Any, clock: DescriptorReactor, timeout: float) -> None:
    """Wait for close_notify on ``transport``, answer it, and go on in clear with the same protocol.

    ``transport`` is one on which TLS was started and all that was to go through TLS was written.
    It is aborted when the client says anything else, or nothing for ``timeout`` seconds (0: no limit).

    Raises:
        TypeError: it is not in TLS.
    """
    layer = transport.protocol
    if isinstance(transport, PromptServer) and transport.tls is not None:
        transport.tls.leave(clock, timeout)
        return
    if not isinstance(layer, TLSMemoryBIOProtocol):
        raise TypeError(f"no TLS on {transport!r}")
    connection: SSL.Connection = layer.getHandle()  # type: ignore[no-untyped-call]
    Clearing(transport, connection).start(clock, timeout)
