"""Which control connection a TLS session belongs to, and whether one was resumed.

All control connections share one OpenSSL context: one for each did the same, for 0.25 ms of a
session's 1.4.
"""

# ruff: noqa: SLF001 - pyOpenSSL keeps what the library below it is called with under private names
from __future__ import annotations

import itertools
import socket
from typing import Any, Final

from OpenSSL import SSL

from twisted_xfer.openssl import FFI, LIB, has

#: What a context has between two connections. No connection has it: OpenSSL hands a context's own
#: session id context on when SNI switches to another certificate, but only to connections that have it.
_NOBODY: Final = b"nobody"
_numbers: Final = itertools.count()
#: Whether a context can be shared; else each binding needs one of its own. pyOpenSSL sets the id of
#: contexts that were not used yet, for the sake of threads. We have one thread.
CAN_SHARE: Final = has("SSL_CTX_set_session_id_context", context=("_context",))
#: Whether ``was_resumed`` knows; else handshakes must be watched.
CAN_TELL: Final = has("SSL_session_reused", connection=("_ssl",))
#: Whether ``leave_memory`` can do anything.
CAN_LEAVE: Final = has(
    "SSL_set_fd", "BIO_get_mem_data", ffi=("new",), connection=("_ssl", "_into_ssl", "_from_ssl")
)
#: Whether ``read_one_record`` can do anything.
CAN_READ_ONE: Final = has("SSL_clear_mode", "SSL_MODE_AUTO_RETRY", connection=("_ssl",))


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake of ``connection``, which is done, resumed a session. Only where CAN_TELL."""
    return bool(LIB.SSL_session_reused(connection._ssl))


def leave_memory(connection: SSL.Connection, descriptor: int) -> bool:
    """Have ``connection``, which is over memory buffers, use ``descriptor`` itself from now on.

    Both buffers have to be empty, for they go; nothing is changed, and the answer False, when they
    are not. From then on nobody may call ``bio_read`` and ``bio_write``, which raise a TypeError.
    """
    mine: Any = connection
    if not CAN_LEAVE or mine._into_ssl is None:
        return False
    start = FFI.new("char **")
    for buffer in (mine._into_ssl, mine._from_ssl):
        if LIB.BIO_get_mem_data(buffer, start) != 0:
            return False
    if LIB.SSL_set_fd(mine._ssl, descriptor) != 1:
        return False
    # They were OpenSSL's to free, which it has done.
    mine._into_ssl = mine._from_ssl = None
    return True


def read_one_record(connection: SSL.Connection) -> None:
    """Have ``connection``, which is over a socket, give up with WantReadError behind a record that holds no data.

    OpenSSL would go on to the next: a client that sends new keys as fast as it can, which costs it
    nothing when it has sealed them beforehand, would be all that the process looks after.
    """
    if CAN_READ_ONE:
        LIB.SSL_clear_mode(connection._ssl, LIB.SSL_MODE_AUTO_RETRY)


class Binding:
    """Makes the connections of one client: a session of theirs is resumed by no other's.

    ``context`` may be shared with other bindings where CAN_SHARE says so.
    """

    __slots__ = ("_context", "_id")

    def __init__(self, context: SSL.Context) -> None:
        self._context = context
        # Unique in the process, which is as far as the key of a ticket goes.
        self._id = b"%x" % next(_numbers)

    def connection(self, sock: socket.socket | None = None) -> SSL.Connection:
        """A connection over ``sock``, or over memory buffers, neither server nor client yet."""
        if not CAN_SHARE:
            return SSL.Connection(self._context, sock)
        raw = self._context._context
        LIB.SSL_CTX_set_session_id_context(raw, self._id, len(self._id))
        try:
            return SSL.Connection(self._context, sock)
        finally:
            LIB.SSL_CTX_set_session_id_context(raw, _NOBODY, len(_NOBODY))
