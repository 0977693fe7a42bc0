"""Asking a time or echo service, ours or a tutorial's."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from twisted_xfer.errors import ConnectionLost, RemoteProtocolError, TimedOut, XferError
from twisted_xfer.protocols.timeecho.wire import SERVICES, ReplyReader, ServiceName


class Question(Protocol):
    """One question and its reply on a connection of its own.

    Attributes:
        reply: fires with the bytes of the reply, or fails with RemoteProtocolError, TimedOut or
            ConnectionLost. Cancelling it drops the connection.
    """

    transport: Any = None

    def __init__(self, service: ServiceName, message: bytes, clock: IReactorTime, within: float) -> None:
        self._message = message
        self._reader = ReplyReader(SERVICES[service], message)
        self._deadline = clock.callLater(within, self.fail, TimedOut(detail="no reply"))
        self._done = False
        self.reply: Deferred[bytes] = Deferred(self._cancelled)

    def connectionMade(self) -> None:
        """Ask."""
        if self._done:
            self.transport.abortConnection()
        elif self._message:
            self.transport.write(self._message)

    def dataReceived(self, data: bytes) -> None:
        """Collect the reply."""
        if self._done:
            return
        try:
            reply = self._reader.feed(data)
        except RemoteProtocolError as error:
            self.fail(error)
            return
        if reply is not None:
            self._succeed(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the stream is the end of a greeting."""
        if self._done:
            return
        if not isinstance(reason.value, ConnectionDone):
            self.fail(ConnectionLost(detail=reason.getErrorMessage()))
            return
        try:
            reply = self._reader.end()
        except RemoteProtocolError as error:
            self.fail(error)
        else:
            self._succeed(reply)

    def fail(self, error: XferError) -> None:
        """There will be no reply, because of ``error``. Does nothing once there is one."""
        if not self._done:
            self._drop()
            self.reply.errback(error)

    def _succeed(self, reply: bytes) -> None:
        self._done = True
        self._deadline.cancel()
        # An orderly close: a reset would end many a tutorial's server.
        self.transport.loseConnection()
        self.reply.callback(reply)

    def _cancelled(self, _reply: object) -> None:
        self._drop()

    def _drop(self) -> None:
        self._done = True
        if self._deadline.active():
            self._deadline.cancel()
        if self.transport is not None:
            self.transport.abortConnection()


async def ask(
    endpoint: IStreamClientEndpoint,
    service: ServiceName,
    message: bytes,
    clock: IReactorTime,
    within: float = 10.0,
) -> bytes:
    """The reply of ``service`` at ``endpoint`` to ``message`` (ignored by ``time``).

    Raises:
        LocalProtocolError: a message that cannot be asked.
        RemoteProtocolError: the reply is too long or cut short.
        TimedOut: it took more than ``within`` seconds, connecting included.
        ConnectionLost: there was no connection, or it broke.
    """
    question = Question(service, b"" if SERVICES[service].greets else message, clock, within)
    connecting: Deferred[Question] = connectProtocol(endpoint, question)  # type: ignore[no-untyped-call]
    connecting.addErrback(lambda failure: question.fail(ConnectionLost(detail=failure.getErrorMessage())))
    try:
        return await question.reply
    finally:
        connecting.cancel()
