"""The way to a listener: dialled, and logged in there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import RandomBytes
from twisted_xfer.protocols.xfer.address_endpoint import AddressEndpoint
from twisted_xfer.protocols.xfer.caller import Caller, CannotConnect, Login, Target
from twisted_xfer.protocols.xfer.errormap import no_connection
from twisted_xfer.protocols.xfer.joining import Ticket

#: Seconds for the way to the peer.
CONNECT_SECONDS: Final = 30.0


def endpoint_for(reactor: Any, target: Target, login: Login) -> IStreamClientEndpoint:
    """Where to dial: TLS unless ``plain``; of a name IPv6 and IPv4, whichever answers first.

    Raises:
        CannotConnect: ``ca`` holds no certificate. ConfigError: ``certificate`` or ``key`` is wrong.
    """
    tcp = _tcp(reactor, target)
    if login.plain:
        return tcp
    # Whoever goes in clear pays for no OpenSSL.
    from twisted_xfer.protocols.xfer.tls_endpoint import secured

    return secured(tcp, target, login)


def prepare(target: Target, *, plain: bool) -> None:
    """Import now what it takes to dial there: by name, and in TLS unless ``plain``."""
    if not _is_address(target.host):
        import_module("twisted.internet.endpoints")
    if not plain:
        import_module("twisted_xfer.protocols.xfer.tls_endpoint")


def _is_address(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


def _tcp(reactor: Any, target: Target) -> IStreamClientEndpoint:
    if _is_address(target.host):
        return AddressEndpoint(reactor, target.host, target.port, CONNECT_SECONDS)
    # Loaded for names only.
    from twisted.internet.endpoints import HostnameEndpoint

    return HostnameEndpoint(reactor, target.host.encode("idna"), target.port, timeout=CONNECT_SECONDS)


async def dial(
    reactor: Any,
    target: Target,
    login: Login,
    role: Literal["send", "receive"],
    random: RandomBytes,
    endpoint: IStreamClientEndpoint | None = None,
    joins: Ticket | None = None,
) -> Caller:
    """A connection that is logged in, or that has joined a session.

    Raises:
        CannotConnect, UntrustedKey, LoginImpossible, PeerError, TimedOut... CancelledError.
    """
    made: list[Caller] = []

    def build() -> Caller:
        made.append(Caller(reactor, target, login, role, random, joins))
        return made[0]

    factory = _OneFactory(build)
    try:
        where = endpoint or endpoint_for(reactor, target, login)
        await _itself(where.connect(factory))
    except (XferError, CancelledError):
        raise
    except Exception as error:
        raise CannotConnect(target.place, no_connection(error)) from error
    try:
        return await made[0].ready
    except CancelledError:
        made[0].let_go()
        raise


def _itself(connecting: Deferred[Any]) -> Deferred[Any]:
    """The same, but cancelled it fails with CancelledError, which endpoints make other errors of."""

    def cancel(_answer: Deferred[Any]) -> None:
        waiting.clear()
        connecting.cancel()

    answer: Deferred[Any] = Deferred(cancel)
    waiting = [answer]
    connecting.addBoth(lambda result: waiting.pop().callback(result) if waiting else None)
    return answer


class _OneFactory(Factory):
    """For one connection."""

    noisy = False

    def __init__(self, build: Callable[[], Caller]) -> None:
        self._build = build

    def buildProtocol(self, addr: object) -> Caller:
        """The one protocol."""
        return self._build()
