"""TLS records of a connection over memory buffers: sealed and opened for a thread that moves a lot.

pyOpenSSL's methods seal a record at a call, copy what they hand out twice, and raise an exception
whenever nothing is left. The library below it is called where it can be; elsewhere they do. What the
daemon's short answers need of it is something else, see ``runtime.tls_records``.
"""

# ruff: noqa: SLF001 - pyOpenSSL keeps what the library below it is called with under private names
from __future__ import annotations

from typing import Any, Final, Protocol

from OpenSSL import SSL

from twisted_xfer.openssl import FFI, LIB, has

#: The largest TLS record (RFC 8446 section 5.1): one SSL_read never gives more.
RECORD: Final = 16 * 1024
#: Records that ``sealed`` hands out at once: what one piece of content becomes.
FLIGHT: Final = 288 * 1024
#: Where each is a new piece of memory, the kernel maps larger ones anew each time.
SMALL_FLIGHT: Final = 96 * 1024

#: Whether ``Direct`` can be; else there is ``Public``.
CAN_DIRECT: Final = has(
    "BIO_read",
    "SSL_ERROR_WANT_READ",
    "SSL_MODE_ENABLE_PARTIAL_WRITE",
    "SSL_clear_mode",
    "SSL_get_error",
    "SSL_read",
    "SSL_write",
    ffi=("from_buffer",),
    connection=("_ssl", "_from_ssl", "_raise_ssl_error"),
)


class Records(Protocol):
    """What a line needs of TLS. Everything may raise SSL.Error."""

    def seal(self, view: memoryview) -> int:
        """Bytes of ``view`` that went into records."""
        ...

    def sealed(self) -> memoryview:
        """Records to be sent, at most FLIGHT bytes; empty when there are none. Good until the next call."""
        ...

    def feed(self, view: memoryview) -> None:
        """Records that came, or parts of them."""
        ...

    def open_into(self, view: memoryview) -> int:
        """Fill ``view`` as far as records have come; 0 when more have to be fed.

        Raises SSL.ZeroReturnError at close_notify. Never raises behind bytes that were opened.
        """
        ...


class Public:
    """By what pyOpenSSL offers."""

    __slots__ = ("_tls",)

    def __init__(self, tls: SSL.Connection) -> None:
        self._tls = tls

    def seal(self, view: memoryview) -> int:
        """See Records."""
        return self._tls.send(view)

    def sealed(self) -> memoryview:
        """See Records."""
        try:
            return memoryview(self._tls.bio_read(SMALL_FLIGHT))
        except SSL.WantReadError:
            return memoryview(b"")

    def feed(self, view: memoryview) -> None:
        """See Records."""
        self._tls.bio_write(view)

    def open_into(self, view: memoryview) -> int:
        """See Records."""
        total, size = 0, len(view)
        while total < size:
            try:
                total += self._tls.recv_into(view[total:], min(RECORD, size - total))
            except SSL.WantReadError:
                break
            except SSL.Error:
                if total:
                    # OpenSSL says it again with the next call.
                    break
                raise
        return total


class Direct:
    """By the library below pyOpenSSL. Only where CAN_DIRECT.

    Measured: a quarter less CPU for the sender, a sixth for the receiver. No buffer of a memoryview is
    held beyond a call: CPython 3.11 crashes when it collects a cycle with one in it.
    """

    __slots__ = ("_flight", "_out", "_tls")

    def __init__(self, tls: SSL.Connection) -> None:
        self._tls: Any = tls
        # One call seals all that it is given: in memory there is always room.
        LIB.SSL_clear_mode(self._tls._ssl, LIB.SSL_MODE_ENABLE_PARTIAL_WRITE)
        self._flight: Any = None
        self._out = memoryview(b"")

    def seal(self, view: memoryview) -> int:
        """See Records: all of them."""
        ssl = self._tls._ssl
        with FFI.from_buffer(view) as start:
            count: int = LIB.SSL_write(ssl, start, len(view))
            if count <= 0:
                self._tls._raise_ssl_error(ssl, count)
        return count

    def sealed(self) -> memoryview:
        """See Records."""
        if self._flight is None:
            # Only senders have it.
            flight = bytearray(FLIGHT)
            self._flight, self._out = FFI.from_buffer(flight), memoryview(flight)
        count: int = LIB.BIO_read(self._tls._from_ssl, self._flight, FLIGHT)
        return self._out[: max(count, 0)]

    def feed(self, view: memoryview) -> None:
        """See Records."""
        self._tls.bio_write(view)

    def open_into(self, view: memoryview) -> int:
        """See Records."""
        total, size = 0, len(view)
        read, ssl = LIB.SSL_read, self._tls._ssl
        with FFI.from_buffer(view, require_writable=True) as start:
            while total < size:
                count = read(ssl, start + total, size - total)
                if count > 0:
                    total += count
                    continue
                if LIB.SSL_get_error(ssl, count) != LIB.SSL_ERROR_WANT_READ:
                    self._look(ssl, count, again=bool(total))
                break
        return total

    def _look(self, ssl: Any, count: int, *, again: bool) -> None:
        """Raise what stopped OpenSSL, or if it will say so ``again`` only forget it."""
        try:
            self._tls._raise_ssl_error(ssl, count)
        except SSL.Error:
            if not again:
                raise


def records_of(tls: SSL.Connection) -> Records:
    """The best there is for ``tls``, whose handshake is done."""
    return Direct(tls) if CAN_DIRECT else Public(tls)
