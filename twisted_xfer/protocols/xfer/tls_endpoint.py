"""Dialling with TLS: an endpoint around one that dials TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from twisted_xfer.protocols.xfer.caller import CannotConnect
from twisted_xfer.protocols.xfer.secure import ALPN, PinningCreator, own_certificate
from twisted_xfer.protocols.xfer.tls_transport import TLSTransport

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.caller import Login, Target

_PEM_BEGINS = "-----BEGIN CERTIFICATE-----"


class _Starter(Protocol):
    """Begins TLS as soon as there is a connection, and is then replaced."""

    def __init__(self, inner: Any, creator: Any) -> None:
        self.inner = inner
        self._creator = creator

    def connectionMade(self) -> None:
        """From here on ``inner`` has the connection, by way of TLS."""
        secure = TLSTransport(self.transport, self.inner, self._creator.clientConnectionForTLS, server=False)
        self.inner.makeConnection(secure)
        secure.begin()


class _StartingFactory(Factory):
    noisy = False

    def __init__(self, inner: Any, creator: Any) -> None:
        self._inner = inner
        self._creator = creator

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A protocol that begins TLS for one of the inner factory's."""
        inner = self._inner.buildProtocol(addr)
        return None if inner is None else _Starter(inner, self._creator)


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """Like Twisted's wrapClientTLS, with our TLSTransport. ``creator`` makes the client's OpenSSL connection."""

    def __init__(self, creator: Any, inner: Any) -> None:
        self._creator = creator
        self._inner = inner

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """Fires with the factory's protocol once TCP is there; TLS has begun then."""
        started: Deferred[Any] = self._inner.connect(_StartingFactory(protocolFactory, self._creator))
        return started.addCallback(lambda starter: starter.inner)


def secured(tcp: IStreamClientEndpoint, target: Target, login: Login) -> IStreamClientEndpoint:
    """``tcp`` with TLS as ``login`` wants it.

    Raises:
        CannotConnect: ``ca`` holds no certificate. ConfigError: ``certificate`` or ``key`` is wrong.
    """
    own = own_certificate(login.certificate, login.key)
    if not login.ca:
        return TLSEndpoint(PinningCreator(target.host, own), tcp)
    blocks = [_PEM_BEGINS + block for block in login.ca.split(_PEM_BEGINS)[1:]]
    if not blocks:
        raise CannotConnect(target.place, "the CA file holds no certificate")
    roots = trustRootFromCertificates([Certificate.loadPEM(block.encode()) for block in blocks])  # type: ignore[no-untyped-call]
    creator = optionsForClientTLS(
        target.host,
        trustRoot=roots,
        clientCertificate=own.for_twisted() if own is not None else None,
        acceptableProtocols=[ALPN],
    )
    return TLSEndpoint(creator, tcp)
