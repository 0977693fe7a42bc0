"""Connections that send an answer in the turn of the reactor in which it was made, in clear and in TLS."""

from __future__ import annotations

import socket
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.interfaces import IPromptTransport
from twisted_xfer.runtime.prompt_tls import PromptTLS

#: Keeps last words back until the end of the connection joins them in one segment; Linux has it.
_MORE: Final = getattr(socket, "MSG_MORE", 0)

#: Its methods have no types.
_Descriptor: Final[Any] = FileDescriptor


@implementer(IPromptTransport)
class PromptServer(tcp.Server):
    """Twisted's server transport, which also has ``send`` and ``finish``, and TLS without a layer for it.

    Bounded: one read is at most Twisted's ``bufferSize``; what waits to be sent is bounded by who
    writes, whom Twisted's producers tell.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol: Any,
        address: IPv4Address | IPv6Address,
        port: Any,
        number: int,
        reactor: Any,
    ) -> None:
        # Twisted's Server makes up names here that few ever read.
        tcp.Connection.__init__(self, sock, protocol, reactor)
        self._address = address
        self.server = port
        self.client = (address.host, address.port)
        self.sessionno = number
        self.hostname = address.host
        self._tls: PromptTLS | None = None
        self.reactor.addReader(self)
        self.connected = 1

    def __repr__(self) -> str:
        return f"<{self._owner} #{self.sessionno} of {self.hostname}>"

    def logPrefix(self) -> str:
        """As Twisted's, made when somebody asks."""
        return f"{self._owner},{self.sessionno},{self.hostname}"

    @property
    def _owner(self) -> str:
        # Twisted takes the protocol away when the connection is lost.
        return type(getattr(self, "protocol", None)).__name__

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The other end's address."""
        return self._address

    # --- reading -------------------------------------------------------------------------------

    def doRead(self) -> Exception | None:  # type: ignore[override]  # TLS has more reasons
        """Called by the reactor: take what has come; the reason when it was the last."""
        if self._tls is not None:
            return self._tls.receive()
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def readConnectionLost(self, reason: Failure) -> None:
        """The client has ended its half: all, for a protocol that says nothing of halves.

        Twisted asks for an adapter, which costs as much as five commands.
        """
        if IHalfCloseableProtocol.providedBy(self.protocol):
            super().readConnectionLost(reason)
        else:
            self.connectionLost(reason)

    # --- writing -------------------------------------------------------------------------------

    def finish(self, last: bytes) -> None:
        """See IPromptTransport. In TLS close_notify goes with it, and the client's is not waited for (RFC 8446 section 6.1)."""
        tls = self._tls
        taken = self.send(last, _MORE) if tls is None else tls.established and tls.finish(last)
        if not taken:
            super().loseConnection()  # type: ignore[no-untyped-call]
            return
        # The kernel has all that was said: there is nothing to wait for in another turn. Twisted
        # shuts down before it closes: a close alone would drop the last words together with
        # what the client has sent behind its QUIT.
        self.connectionLost(connectionDone)

    def send(self, data: bytes, flags: int = 0) -> bool:
        """See IPromptTransport. ``flags`` are the system's, for what goes out in clear."""
        if not self.connected:
            return True
        if self.TLS:
            # Twisted's own, started by somebody who knows nothing of ours.
            self.write(data)  # type: ignore[no-untyped-call]
            return False
        if self.dataBuffer or self._tempDataLen:
            _Descriptor.write(self, data)
            return False
        if not data:
            return True
        if self._tls is not None:
            sent = self._tls.write(data)
            if not isinstance(sent, int):
                # Broken: the reactor finds out when it reads.
                return False
        else:
            try:
                sent = self.socket.send(data, flags)
            except OSError:
                # Full, or broken, which the reactor finds out as well.
                sent = 0
        if sent == len(data):
            return True
        _Descriptor.write(self, data[sent:])
        return False

    def writeSomeData(self, data: bytes) -> int | Exception:  # type: ignore[override]  # the same
        """Called with what waits: bytes taken, or why none will be."""
        return super().writeSomeData(data) if self._tls is None else self._tls.write(data)

    def _postLoseConnection(self) -> Exception:
        """Called when all that was written is sent, and the connection is to be closed: why it ends."""
        if self._tls is not None:
            self._tls.end()
        return main.CONNECTION_DONE

    def loseConnection(self) -> None:
        """Close behind what was written."""
        if self._tls is None:
            super().loseConnection()  # type: ignore[no-untyped-call]
        else:
            self.finish(b"")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        # OpenSSL would go on with the number of the descriptor, which may be another connection's.
        tls, self._tls = self._tls, None
        if tls is not None:
            tls.lost()
        super().connectionLost(reason)

    # --- TLS -----------------------------------------------------------------------------------

    def secure(self, connection: SSL.Connection) -> None:
        """Go over to TLS: ``connection`` is over this socket, and becomes the server's end.

        A client that has not even taken what was said in clear is cut off.
        """
        if self.dataBuffer or self._tempDataLen:
            self.abortConnection()  # type: ignore[no-untyped-call]
        else:
            self._tls = PromptTLS(self, connection)
            # Whoever asks ISSLTransport whether content may go past it is told the truth from now on.
            # Twisted declares that for each connection anew, which costs more than a command.
            self.__class__ = SecurePromptServer

    def forget_tls(self) -> None:
        """Go on in clear."""
        self._tls = None
        self.__class__ = PromptServer

    @property
    def tls(self) -> PromptTLS | None:
        """TLS, from the moment in which it begins."""
        return self._tls


@implementer(ISSLTransport)
class SecurePromptServer(PromptServer):
    """One that has gone over to TLS."""

    def getPeerCertificate(self) -> Any:
        """The client's as pyOpenSSL's, or None."""
        return None if self._tls is None else self._tls.connection.get_peer_certificate()


def address_of(family: int, address: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """What ``socket.accept`` answers, as Twisted has it."""
    return (IPv4Address if family == socket.AF_INET else IPv6Address)("TCP", *address)
