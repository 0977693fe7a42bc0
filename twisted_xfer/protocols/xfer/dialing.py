"""The way to a listener: where to dial, in clear or in TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.caller import Login, Target

#: Seconds for the way to the peer.
CONNECT_SECONDS: Final = 30.0


def endpoint_for(reactor: Any, target: Target, login: Login) -> IStreamClientEndpoint:
    """Where to dial: TLS unless ``plain``; IPv6 and IPv4, whichever answers first.

    Raises:
        CannotConnect: ``ca`` holds no certificate. ConfigError: ``certificate`` or ``key`` is wrong.
    """
    tcp = HostnameEndpoint(reactor, target.host.encode("idna"), target.port, timeout=CONNECT_SECONDS)
    if login.plain:
        return tcp
    # Whoever goes in clear pays for no OpenSSL.
    from twisted_xfer.protocols.xfer.tls_endpoint import secured

    return secured(tcp, target, login)
