"""Where connections come in: endpoints by string, UDP ports, and the factories behind them."""

from __future__ import annotations

import os
import socket
import weakref
from typing import Any, Protocol

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, execute, maybeDeferred, succeed
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IReactorUDP,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from twisted_xfer.app.config import Listen
from twisted_xfer.app.rules import split_endpoint
from twisted_xfer.errors import ConfigError
from twisted_xfer.runtime.accepting import accept_swiftly

#: What a busy server wants; the kernel cuts it to its own limit (net.core.somaxconn).
BACKLOG = 1024
MAX_PORT = 65535
#: Where UDP is bound unless told otherwise: senders of datagrams can be forged, and answers may be longer.
UDP_INTERFACE = "127.0.0.1"
#: Connections, ended ones among them, at which those are forgotten.
SWEEP_AT = 1024
#: Twisted's own default for a datagram.
MAX_DATAGRAM = 8192


@implementer(IProtocolFactory, ILoggingContext)
class TrackedFactory:
    """A protocol's factory, which remembers whom it serves so that a stop can end them.

    The protocols see their own transports: nothing is wrapped around the bytes.
    """

    def __init__(self, inner: IProtocolFactory) -> None:
        self.inner = inner
        # Not a WeakSet, which is called back for each that goes: short sessions notice.
        self._served: list[weakref.ref[Any]] = []
        self._sweep_at = SWEEP_AT
        self.numPorts = 0

    def logPrefix(self) -> str:
        """For Twisted's own lines about its ports."""
        return _log_prefix(self.inner)

    def doStart(self) -> None:
        """Called by each port."""
        self.inner.doStart()

    def doStop(self) -> None:
        """Called by each port."""
        self.inner.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """The inner factory's protocol, or None when it refuses ``addr``."""
        protocol = self.inner.buildProtocol(addr)
        if protocol is not None:
            if len(self._served) >= self._sweep_at:
                self._served = [served for served in self._served if served() is not None]
                self._sweep_at = max(SWEEP_AT, 2 * len(self._served))
            self._served.append(weakref.ref(protocol))
        return protocol

    def connected(self) -> list[Any]:
        """Transports of the connections that are still up."""
        transports = (getattr(served(), "transport", None) for served in self._served)
        return [transport for transport in transports if getattr(transport, "connected", False)]

    def drain(self) -> Deferred[Any]:
        """Ask the protocol to end its sessions; one that cannot is told by closing its connections."""
        drain = getattr(self.inner, "drain", None)
        if drain is not None:
            return maybeDeferred(drain)
        for transport in self.connected():
            transport.loseConnection()
        return succeed(None)

    def abort(self) -> int:
        """Reset what is still connected; how many that were."""
        transports = self.connected()
        for transport in transports:
            transport.abortConnection()
        return len(transports)


def _log_prefix(inner: object) -> str:
    return str(inner.logPrefix()) if ILoggingContext.providedBy(inner) else type(inner).__name__


class Place(Protocol):
    """One bound or not yet bound place to listen at."""

    listen: Listen
    port: IListeningPort | None

    def share(self) -> int:
        """Leave serving to other processes: the descriptor to hand to them."""
        ...

    def unbind(self) -> Deferred[Any]:
        """Listen no more."""
        ...

    def bind(self) -> Deferred[Any]:
        """Listen. Fails with ConfigError."""
        ...

    def drain(self) -> Deferred[Any]:
        """Ask the sessions to end."""
        ...

    def abort(self) -> int:
        """End the sessions; how many there were."""
        ...


class _Bound:
    """What has a port, once it is bound."""

    port: IListeningPort | None = None
    _shared = False

    def share(self) -> int:
        """Leave serving to other processes: the descriptor to hand to them."""
        port: Any = self.port
        port.stopReading()
        self._shared = True
        return int(port.fileno())

    def unbind(self) -> Deferred[Any]:
        """Listen no more. May be called twice, and before anything is bound."""
        port: Any = self.port
        self.port = None
        if port is None:
            return succeed(None)
        if self._shared:
            # stopListening would shut the socket down, also under those who still accept from it.
            port.socket.close()
            return succeed(None)
        return maybeDeferred(port.stopListening)


class StreamPlace(_Bound):
    """A stream endpoint and the factory that serves it."""

    def __init__(self, listen: Listen, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self.listen = listen
        self.endpoint = endpoint
        self.factory = TrackedFactory(factory)

    def bind(self) -> Deferred[Any]:
        """Listen. Fails with ConfigError when the place is taken or not ours."""
        return maybeDeferred(self.endpoint.listen, self.factory).addCallbacks(self._bound, self._refused)

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        listening, sock = getattr(self.factory.inner, "listening", None), getattr(port, "socket", None)
        if listening is not None and isinstance(sock, socket.socket):
            listening(sock)
        accept_swiftly(port)

    def _refused(self, failure: Any) -> None:
        raise cannot_listen(self.listen, failure.value) from failure.value

    def drain(self) -> Deferred[Any]:
        """Ask the sessions to end."""
        return self.factory.drain()

    def abort(self) -> int:
        """Reset what is still connected."""
        return self.factory.abort()


class DatagramPlace(_Bound):
    """A UDP port and the protocol that answers there."""

    def __init__(self, listen: Listen, reactor: IReactorUDP, protocol: DatagramProtocol) -> None:
        self.listen = listen
        self.number, self.interface = parse_udp(listen)
        self.protocol = protocol
        self._reactor = reactor

    def bind(self) -> Deferred[Any]:
        """Listen. Fails with ConfigError when the place is taken or not ours."""
        return execute(self._bind)

    def _bind(self) -> None:
        try:
            self.port = self._reactor.listenUDP(self.number, self.protocol, self.interface, MAX_DATAGRAM)
        except (CannotListenError, OSError) as error:
            raise cannot_listen(self.listen, error) from error

    def drain(self) -> Deferred[Any]:
        """There are no sessions."""
        return succeed(None)

    def abort(self) -> int:
        """There are no sessions."""
        return 0


class AdoptedDatagramPlace(DatagramPlace):
    """A UDP port that another process has bound: ``descriptor`` is its socket."""

    def __init__(self, listen: Listen, reactor: Any, protocol: DatagramProtocol, descriptor: int) -> None:
        super().__init__(listen, reactor, protocol)
        self._descriptor = descriptor

    def _bind(self) -> None:
        reactor: Any = self._reactor
        family = family_of(self._descriptor)
        self.port = reactor.adoptDatagramPort(self._descriptor, family, self.protocol, MAX_DATAGRAM)
        # The port has made a descriptor of its own.
        os.close(self._descriptor)


def adopted_endpoint(reactor: Any, descriptor: int) -> IStreamServerEndpoint:
    """The endpoint for a listening socket that another process has bound; it is closed once adopted."""
    make: Any = AdoptedStreamServerEndpoint
    endpoint: IStreamServerEndpoint = make(reactor, descriptor, family_of(descriptor))
    return endpoint


def family_of(descriptor: int) -> socket.AddressFamily:
    """Whether the socket ``descriptor`` is IPv4 or IPv6."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return copy.family


def parse_udp(listen: Listen) -> tuple[int, str]:
    """Port and interface of ``udp:PORT[:interface=ADDR]``; Twisted has no such endpoint string.

    Without an interface it is loopback: who wants more says ``interface=0.0.0.0`` in so many words.

    Raises:
        ConfigError: when it is not of that form.
    """
    _, *parts = split_endpoint(listen.endpoint)
    named = dict(part.split("=", 1) for part in parts[1:] if "=" in part)
    number = parts[0].removeprefix("port=") if parts else ""
    right = number.isascii() and number.isdigit() and int(number) <= MAX_PORT
    interface = named.get("interface", UDP_INTERFACE)
    # Twisted takes no host names there, and an empty one for every interface.
    right = right and (isIPAddress(interface) or isIPv6Address(interface))
    if not right or len(named) != len(parts) - 1 or set(named) - {"interface"}:
        raise ConfigError(
            "listen",
            value=str(listen),
            remedy="must be PROTOCOL=udp:PORT[:interface=ADDRESS], ADDRESS being IPv4 or IPv6",
        )
    return int(number), interface


def stream_endpoint(reactor: object, listen: Listen) -> IStreamServerEndpoint:
    """The endpoint that ``listen`` names.

    Raises:
        ConfigError: when Twisted does not understand the string.
    """
    text = listen.endpoint
    _check_port(listen)
    if text.startswith(("tcp:", "tcp6:")) and "backlog=" not in text:
        text += f":backlog={BACKLOG}"
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)  # type: ignore[no-untyped-call]
        return endpoint
    except Exception as error:  # endpoint parsers are plugins and raise what they like
        raise ConfigError(
            "listen",
            value=str(listen),
            remedy=f"not a Twisted endpoint ({error}): write PROTOCOL=tcp:PORT[:interface=ADDRESS]",
        ) from error


def _check_port(listen: Listen) -> None:
    kind, *parts = split_endpoint(listen.endpoint)
    number = parts[0].removeprefix("port=") if parts else ""
    if kind not in {"tcp", "tcp6", "ssl"} or not number.removeprefix("-").isdigit():
        return
    if not 0 <= int(number) <= MAX_PORT:
        raise ConfigError("listen", value=str(listen), remedy=f"a port is a number from 0 to {MAX_PORT}")


def cannot_listen(listen: Listen, error: BaseException) -> ConfigError:
    """What to tell an operator about a place that could not be bound."""
    reason = error.socketError if isinstance(error, CannotListenError) else error
    text = getattr(reason, "strerror", None) or str(reason)
    return ConfigError(
        "listen",
        value=str(listen),
        remedy=f"{text}: stop what listens there, or choose another port or interface",
    )


def where(port: IListeningPort) -> str:
    """The bound address of ``port``: ``ADDR:PORT``, ``[ADDR]:PORT`` or a socket's path."""
    host: Any = port.getHost()
    if not hasattr(host, "port"):
        name = getattr(host, "name", None) or b""
        return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    address = f"[{host.host}]" if ":" in host.host else host.host
    kind = " (udp)" if host.type == "UDP" else ""
    return f"{address}:{host.port}{kind}"
