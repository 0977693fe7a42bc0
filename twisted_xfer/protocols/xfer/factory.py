"""The listener: builds a protocol for each connection, and drains them all."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from twisted_xfer.interfaces import IHost
from twisted_xfer.protocols.xfer.joining import Session
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.report import OnEvent, ignore
from twisted_xfer.protocols.xfer.server import XferServerProtocol


class XferFactory(Factory):
    """Builds a protocol for each connection.

    Attributes:
        code_is_good: False once the pairing code was guessed wrong.
        on_received: called when a sender is gone whose whole offer was answered.
        on_void: called with the address that the wrong guess came from.
        on_event: hears what senders' transfers do.
    """

    noisy = False

    def __init__(self, host: IHost, options: XferOptions) -> None:
        self.host = host
        self.options = options
        self.code_is_good = True
        self.on_received: Callable[[], object] = lambda: None
        self.on_void: Callable[[str], object] = lambda _peer: None
        self.on_event: OnEvent = ignore
        self.sessions: set[XferServerProtocol] = set()
        self._drained: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A protocol for a new connection."""
        protocol = XferServerProtocol(self.host, self.options)
        protocol.factory = self
        return protocol

    def add(self, session: XferServerProtocol) -> None:
        """A session began."""
        self.sessions.add(session)

    def remove(self, session: XferServerProtocol) -> None:
        """A session ended."""
        self.sessions.discard(session)
        if session.complete:
            self.on_received()
        if not self.sessions and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def session_of(self, session_id: str) -> Session | None:
        """The session that further connections join by this id."""
        for protocol in self.sessions:
            session = protocol.session
            if session is not None and session.main is protocol and protocol.session_id == session_id:
                return session
        return None

    def drain(self) -> Deferred[None]:
        """Tell idle sessions to go, let transfers end; fires when nobody is left."""
        if not self.sessions:
            return succeed(None)
        drained = self._drained = Deferred()
        for session in list(self.sessions):
            session.drain()
        return drained
