"""Whether OpenSSL can serve anybody with a certificate, found out before a client does."""

from __future__ import annotations

import contextlib
from typing import Final

from OpenSSL import SSL

from twisted_xfer.runtime.tls_channel import reason_of
from twisted_xfer.runtime.tls_records import FLIGHT

#: Flights of a handshake, and some to spare: TLS 1.2 needs four.
_FLIGHTS: Final = 8


def refusal_of(context: SSL.Context) -> str:
    """Why no handshake succeeds with ``context``, which asks for no client certificate; empty when one does.

    What counts as too weak is decided by the security level of the OpenSSL that is there, for keys
    when they are set, for the rest of the chain when it is sent, for curves when a client offers some.
    So a handshake is made, in memory, with a client that takes everything. Costs about a millisecond.
    """
    anybody = SSL.Context(SSL.TLS_METHOD)
    anybody.set_cipher_list(b"ALL:@SECLEVEL=0")
    server, client = SSL.Connection(context, None), SSL.Connection(anybody, None)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(_FLIGHTS):
        with contextlib.suppress(SSL.Error):
            # What the client says against it is no more than what the server says a step later.
            client.do_handshake()
        _carry(client, server)
        try:
            server.do_handshake()
        except SSL.WantReadError:
            _carry(server, client)
        except SSL.Error as error:
            return reason_of(error)
        else:
            return ""
    return "no end of the handshake"


def _carry(sender: SSL.Connection, receiver: SSL.Connection) -> None:
    with contextlib.suppress(SSL.WantReadError):
        # A flight is one or several records, and nothing is left when it is shorter than the buffer.
        while True:
            receiver.bio_write(sender.bio_read(FLIGHT))
