"""Which control connection a TLS session belongs to, and whether one was resumed.

All control connections share one OpenSSL context: one for each did the same, for 0.25 ms of a
session's 1.4. What pyOpenSSL does not offer is asked of the library below it, here alone, and where
that does not have it there is another, slower way.
"""

from __future__ import annotations

import itertools
import socket
from typing import Any, Final

from OpenSSL import SSL

#: What a context has between two connections. No connection has it: OpenSSL hands a context's own
#: session id context on when SNI switches to another certificate, but only to connections that have it.
_NOBODY: Final = b"nobody"
_numbers: Final = itertools.count()
_probe: Final = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
#: pyOpenSSL has it for contexts that were not used yet, for the sake of threads. We have one thread.
_set_id: Final[Any] = getattr(getattr(SSL, "_lib", None), "SSL_CTX_set_session_id_context", None)
#: Whether a context can be shared; else each binding needs one of its own.
CAN_SHARE: Final = _set_id is not None and hasattr(_probe.get_context(), "_context")

_reused: Final[Any] = getattr(getattr(SSL, "_lib", None), "SSL_session_reused", None)
#: Whether ``was_resumed`` knows; else handshakes must be watched.
CAN_TELL: Final = _reused is not None and hasattr(_probe, "_ssl")


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake of ``connection``, which is done, resumed a session. Only where CAN_TELL."""
    return bool(_reused(connection._ssl))  # noqa: SLF001


_lib: Final[Any] = getattr(SSL, "_lib", None)
_ffi: Final[Any] = getattr(SSL, "_ffi", None)
#: Whether ``leave_memory`` can do anything.
CAN_LEAVE: Final = (
    all(hasattr(_lib, name) for name in ("SSL_set_fd", "BIO_get_mem_data"))
    and hasattr(_ffi, "new")
    and all(hasattr(_probe, name) for name in ("_ssl", "_into_ssl", "_from_ssl"))
)


def leave_memory(connection: SSL.Connection, descriptor: int) -> bool:
    """Have ``connection``, which is over memory buffers, use ``descriptor`` itself from now on.

    Both buffers have to be empty, for they go; nothing is changed, and the answer False, when they
    are not. From then on nobody may call ``bio_read`` and ``bio_write``, which raise a TypeError.
    """
    mine: Any = connection
    if not CAN_LEAVE or mine._into_ssl is None:  # noqa: SLF001
        return False
    start = _ffi.new("char **")
    for buffer in (mine._into_ssl, mine._from_ssl):  # noqa: SLF001
        if _lib.BIO_get_mem_data(buffer, start) != 0:
            return False
    if _lib.SSL_set_fd(mine._ssl, descriptor) != 1:  # noqa: SLF001
        return False
    # They were OpenSSL's to free, which it has done.
    mine._into_ssl = mine._from_ssl = None  # noqa: SLF001
    return True


#: Whether ``read_one_record`` can do anything.
CAN_READ_ONE: Final = all(
    hasattr(_lib, name) for name in ("SSL_clear_mode", "SSL_MODE_AUTO_RETRY")
) and hasattr(_probe, "_ssl")


def read_one_record(connection: SSL.Connection) -> None:
    """Have ``connection``, which is over a socket, give up with WantReadError behind a record that holds no data.

    OpenSSL would go on to the next: a client that sends new keys as fast as it can, which costs it
    nothing when it has sealed them beforehand, would be all that the process looks after.
    """
    if CAN_READ_ONE:
        _lib.SSL_clear_mode(connection._ssl, _lib.SSL_MODE_AUTO_RETRY)  # noqa: SLF001


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
        raw = self._context._context  # noqa: SLF001
        _set_id(raw, self._id, len(self._id))
        try:
            return SSL.Connection(self._context, sock)
        finally:
            _set_id(raw, _NOBODY, len(_NOBODY))
