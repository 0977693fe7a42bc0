"""A client without a network: an endpoint that connects in memory, and what a coroutine came to."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from twisted_xfer.testing.protocols import connect


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects at once: the test then plays the server with ``server``, a ``protocols.Connection``.

    Args:
        answer: what connect() answers instead, such as ``fail(ConnectionRefusedError())``.
    """

    def __init__(self, answer: Deferred[Any] | None = None) -> None:
        self.server: Any = None
        self.answer = answer

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See IStreamClientEndpoint."""
        if self.answer is not None:
            return self.answer
        self.server = connect(protocolFactory)
        protocol: Protocol = self.server.protocol
        return succeed(protocol)


class Outcome:
    """What ``coroutine`` came to: ``result``, which is this object itself while there is none."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.result: Any = self
        Deferred.fromCoroutine(coroutine).addBoth(self._keep)

    def _keep(self, result: Any) -> None:
        self.result = result

    @property
    def error(self) -> type[BaseException]:
        """The kind of error that it ended with."""
        return type(self.result.value)


def feed(server: Any, data: bytes, cuts: int) -> None:
    """Deliver ``data`` to a client in pieces of ``cuts`` bytes, as long as it listens."""
    for at in range(0, len(data), cuts):
        if server.ended is None:
            server.protocol.dataReceived(data[at : at + cuts])
