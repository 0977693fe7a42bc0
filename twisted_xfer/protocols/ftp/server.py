"""The Twisted side of an FTP server: protocol and factory."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.interfaces import IHost, IPromptTransport, ITLSSession
from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.commands.security import not_secured, secured, start_implicit
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.siblings import Siblings
from twisted_xfer.protocols.ftp.wire.verbs import Verb

#: Computed here, for flags are enumerations: two objects are made for each that is joined.
_LOOK: Final = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
#: Where there are TCP's options and addresses; UNIX sockets have neither.
INTERNET: Final = frozenset({socket.AF_INET, socket.AF_INET6})


def host_of(address: IAddress) -> str:
    """The IP address of a transport's end, as text; empty for what has none (tests, UNIX sockets)."""
    return plain_host(str(getattr(address, "host", "")))


def plain_host(host: str) -> str:
    """``host``; an IPv4 client of a socket for both is to everybody else an IPv4 client."""
    return host.removeprefix("::ffff:") if "." in host else host


def own_host(name: tuple[Any, ...]) -> str:
    """The address of a socket's own name, with the zone of a link-local one, without which nothing can be bound to it."""
    host = plain_host(name[0])
    return f"{host}%{name[3]}" if len(name) > 2 and name[3] else host


def prepare(sock: socket.socket) -> None:
    """Set what control connections need; on a listening socket, for all that it accepts."""
    # Without it a small reply waits for the ACK of the one before: 44 ms a file.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # RFC 959 section 4.1.3 has ABOR come with a Telnet Synch: the urgent byte belongs into the
    # stream, where the wire reader takes it out, or the end of a line is lost.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


@implementer(IHandshakeListener, IPushProducer)
class FTPServerProtocol(Protocol):
    """Moves bytes between a transport and a session."""

    factory: FTPFactory
    session: FTPSession | None = None
    _peek: Callable[[int, int], bytes] | None = None
    _prompt = False
    _produces = False

    def connectionMade(self) -> None:
        """Begin the session."""
        transport = self.transport
        factory = self.factory
        local = ""
        # Our own begin in clear, so that they need not be asked the rest.
        self._prompt = IPromptTransport.providedBy(transport) and self._is_own
        foreign = not self._prompt and ISSLTransport.providedBy(transport)
        if self._prompt or (ITCPTransport.providedBy(transport) and not foreign):
            handle = transport.getHandle()  # type: ignore[union-attr]
            self._peek = handle.recv
            if factory.prepared or handle.family in INTERNET:
                if not factory.prepared:
                    prepare(handle)
                local = factory.local or own_host(handle.getsockname())
        elif transport is not None:
            local = host_of(transport.getHost())
        self.session = FTPSession(
            factory.host,
            factory.options,
            self,
            peer=host_of(transport.getPeer()) if transport is not None else "",
            local=local,
            verbs=factory.verbs,
            handlers=factory.handlers,
            codec=factory.codec,
            siblings=factory.siblings,
        )
        factory.add(self.session)
        if foreign:
            # An endpoint with TLS of its own: its data connections can only be bound by chance.
            self.session.protection.control = True
        # Whoever expects TLS from the first byte is told nothing in clear.
        self.session.protection.silent = factory.implicit
        if not self.session.admit():
            return
        if factory.implicit:
            start_implicit(self.session)
        else:
            self.session.greet()

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        if self.session is not None and self.session.protection.handshaking:
            secured(self.session)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.session is not None:
            self.session.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        session, self.session = self.session, None
        self._peek = None
        if session is not None:
            self.factory.remove(session)
            if session.protection.handshaking:
                not_secured(session, reason.value)
            session.lost(type(reason.value).__name__)

    # --- ControlChannel ------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a reply."""
        transport: Any = self.transport
        if transport is None or (self._prompt and transport.send(data)):
            return
        if not self._produces:
            # From here on the transport tells when it holds more than the client takes.
            self._produces = True
            transport.registerProducer(self, True)
        if not self._prompt:
            transport.write(data)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: replies wait, and so do the commands that make them."""
        if self.session is not None:
            self.session.hold(held=True)

    def resumeProducing(self) -> None:
        """The client took what there was."""
        if self.session is not None:
            self.session.hold(held=False)

    def stopProducing(self) -> None:
        """The connection is going; connectionLost says the rest."""

    @property
    def peer_gone(self) -> bool:
        """Whether the peer has closed; bytes that wait to be read hide it."""
        try:
            return self._peek is not None and self._peek(1, _LOOK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reclaim_ports(self) -> None:
        """Have the listener's other sessions give back what they only keep."""
        for session in self.factory.sessions:
            session.data.release_lingering()

    def others(self) -> list[FTPSession]:
        """The listener's other sessions."""
        return [session for session in self.factory.sessions if session is not self.session]

    @property
    def can_start_tls(self) -> bool:
        """Whether this transport can."""
        return ITLSTransport.providedBy(self.transport) and self._is_own

    @property
    def _is_own(self) -> bool:
        """Whether the transport is no wrapping of one (``haproxy:``).

        A wrapping has all methods of what it wraps, but they go past it, and nobody is told when TLS is up.
        """
        return getattr(self.transport, "protocol", self) is self

    def start_tls(self, tls: ITLSSession) -> None:
        """Go over to TLS."""
        tls.start(self.transport)

    def leave_tls(self, tls: ITLSSession, timeout: float) -> None:
        """Go back to clear."""
        self._produce_no_more()
        tls.leave(self.transport, timeout)

    def close(self, last: bytes) -> None:
        """Send the last reply, and close after what was sent."""
        transport: Any = self.transport
        if transport is None:
            return
        # The transport does not close before its producer has ended.
        self._produce_no_more()
        if self._prompt:
            transport.finish(last)
        else:
            transport.write(last)
            transport.loseConnection()

    def _produce_no_more(self) -> None:
        if self._produces and self.transport is not None:
            self._produces = False
            self.transport.unregisterProducer()  # type: ignore[attr-defined]

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def pause(self) -> None:
        """Stop reading."""
        producer = IPushProducer(self.transport, None)
        if producer is not None:
            producer.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        producer = IPushProducer(self.transport, None)
        if producer is not None:
            producer.resumeProducing()

    def later(self, call: Callable[[], None]) -> None:
        """Call in a later turn of the reactor."""
        self.factory.host.clock.callLater(0, call)


class FTPFactory(Factory):
    """Builds one session a connection, and watches the deadlines of all."""

    noisy = False

    def __init__(
        self,
        host: IHost,
        options: FTPOptions,
        verbs: Mapping[bytes, Verb],
        handlers: Mapping[bytes, Handler],
        *,
        implicit: bool = False,
    ) -> None:
        self.implicit = implicit
        #: Connections come with their socket options set.
        self.prepared = False
        #: The one address that connections come to; empty when there may be several.
        self.local = ""
        self.host = host
        self.options = (
            options if options.banner else attrs.evolve(options, banner=f"{host.server_name} ready.")
        )
        self.verbs = verbs
        self.handlers = handlers
        self.codec = NameCodec(options.charset)
        self.sessions: set[FTPSession] = set()
        self.siblings = Siblings()
        self._drained: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A protocol for a new connection."""
        protocol = FTPServerProtocol()
        protocol.factory = self
        return protocol

    def listening(self, sock: socket.socket) -> None:
        """Connections will come from ``sock``: set its options once, and not for each of them."""
        if sock.family in INTERNET and sys.platform == "linux":
            # Other systems do not hand all of them on.
            prepare(sock)
            self.prepared = True
        address = sock.getsockname()
        if sock.family == socket.AF_INET and address[0] != "0.0.0.0":  # noqa: S104 - asked, not bound
            self.local = address[0]

    def add(self, session: FTPSession) -> None:
        """A session began."""
        self.sessions.add(session)
        if len(self.sessions) == 1:
            self.host.rounds.join(self._check_deadlines)

    def remove(self, session: FTPSession) -> None:
        """A session ended."""
        self.sessions.discard(session)
        if not self.sessions:
            self.host.rounds.leave(self._check_deadlines)
            if self._drained is not None:
                drained, self._drained = self._drained, None
                drained.callback(None)

    def _check_deadlines(self, now: float) -> None:
        for session in list(self.sessions):
            session.check_deadline(now)

    def drain(self) -> Deferred[None]:
        """Tell idle sessions to go, let transfers end; fires when nobody is left. Cancelled: it waits no longer."""
        if not self.sessions:
            return succeed(None)
        self._drained = Deferred(self._hurry)
        drained = self._drained
        for session in list(self.sessions):
            session.drain()
        return drained

    def _hurry(self, drained: Deferred[None]) -> None:
        for session in list(self.sessions):
            session.hurry()
        if self._drained is not None:
            # Whoever is still there is cut off.
            self._drained = None
            self.host.rounds.leave(self._check_deadlines)
