"""Turning callers away who are not admitted, so that they know it, for no more than cutting them off costs.

A ban and a limit come before everything else: not a byte of the caller is read for them, and no
handshake of TLS is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL

from twisted_xfer.errors import XferError

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.server import XferServerProtocol

#: The record of TLS for a fatal alert, access_denied (RFC 8446 sections 5.1 and 6.2).
ALERT: Final = bytes((0x15, 3, 3, 0, 2, 2, 49))
AWAY: Final = "it takes no connection from here for now: too many of them, or banned after failed logins"


def turn_away(connection: XferServerProtocol, error: XferError) -> None:
    """Say ``error`` in what callers of this listener speak, and close.

    Where there is TLS, that is an alert, which has one meaning for every error.
    """
    connection.reason = error
    if connection.host.tls is None:
        connection.fail(error)
    else:
        transport: Any = connection.transport
        transport.write(ALERT)
        connection.close()


def why_unmet(reason: object) -> str:
    """What to tell of a call that ended, for ``reason``, before TLS was there."""
    if not isinstance(reason, SSL.Error):
        return "it closed the connection at once, so has no TLS, or takes no connection from here for now"
    return AWAY if "access denied" in repr(reason.args) else "nobody answers in TLS there"
