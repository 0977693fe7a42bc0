"""Taking connections from a listening port at little cost.

Twisted's own port accepts until the kernel has no more, which ends in an exception each time, and
prepares for running out of descriptors before it knows whether it does. Short sessions notice.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from twisted_xfer.runtime.prompt import PromptServer, address_of
from twisted_xfer.runtime.sockets import take_connection

_log = Logger()


def accept_swiftly(port: IListeningPort) -> bool:
    """Have ``port`` take one connection each time it is ready, without the detours; whether it does.

    Its connections have ``IPromptTransport``. Only a plain TCP port is changed; whatever goes wrong
    is left to Twisted's own way.
    A flood gets no less: the reactor calls again in its next turn as long as more wait, and looks
    after those who are connected in between.
    """
    if type(port) is not tcp.Port or port.addressFamily not in {socket.AF_INET, socket.AF_INET6}:
        return False
    target: Any = port
    target.doRead = _Accepting(port)
    return True


class _Accepting:
    """The port's ``doRead``."""

    __slots__ = ("_port",)

    def __init__(self, port: tcp.Port) -> None:
        self._port: Any = port

    def __call__(self) -> None:
        port = self._port
        try:
            sock, place = take_connection(port.socket, port.addressFamily)
        except OSError:
            # No descriptors, no memory, a client that has left already, or another process was
            # faster: Twisted tries again, and knows what to do about each of them.
            tcp.Port.doRead(port)  # type: ignore[no-untyped-call]
            return
        try:
            address = address_of(port.addressFamily, place)
            protocol = port.factory.buildProtocol(address)
            if protocol is None:
                sock.close()
                return
            number = port.sessionno
            port.sessionno = number + 1
            protocol.makeConnection(PromptServer(sock, protocol, address, port, number, port.reactor))
        except Exception:  # noqa: BLE001 - one connection's trouble must not end the port
            _log.failure("a connection to {port} could not be taken", port=port)
