"""OpenSSL, mostly over memory buffers, without the detours of pyOpenSSL.

Each of its methods checks its arguments, asks for errors when there was none, answers "not yet" by an
exception, and copies what it gives: a fifth of what TLS adds to a small file. Here the library below
it is called at once, where it has what that takes; elsewhere pyOpenSSL does the same.
"""

# ruff: noqa: SLF001 - pyOpenSSL keeps what the library below it is called with under private names
from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL

from twisted_xfer.openssl import FFI, LIB, has

#: The largest TLS record (RFC 8446 section 5.1): one SSL_read never gives more.
RECORD: Final = 16 * 1024
#: Bytes taken from OpenSSL at a time: 64 KiB as records, or a server's flight with its certificates.
FLIGHT: Final = 128 * 1024

#: Whether the library below is there as it is known; else everything goes through pyOpenSSL.
CAN_CALL: Final = has(
    "BIO_read",
    "BIO_write",
    "SSL_ERROR_WANT_READ",
    "SSL_ERROR_ZERO_RETURN",
    "SSL_do_handshake",
    "SSL_get_error",
    "SSL_read",
    "SSL_write",
    ffi=("buffer", "from_buffer", "new"),
    connection=("_ssl", "_into_ssl", "_from_ssl", "_raise_ssl_error"),
)


class Records:
    """One connection; ``feed`` and ``drain`` are for one over memory buffers."""

    __slots__ = ("_connection",)

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection: Any = connection

    def shake(self) -> bool:
        """Go on with the handshake: whether it is done; else more has to come. Raises SSL.Error."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        """Give what has come from the peer: at least one byte."""
        self._connection.bio_write(data)

    def drain(self) -> bytes:
        """At most FLIGHT bytes for the peer; empty when there are none."""
        try:
            data: bytes = self._connection.bio_read(FLIGHT)
        except SSL.WantReadError:
            return b""
        return data

    def read_into(self, buffer: memoryview) -> int:
        """Decrypt at most one record: how much, 0 at close_notify, -1 when more has to come. Raises SSL.Error."""
        try:
            count: int = self._connection.recv_into(buffer, min(RECORD, len(buffer)))
        except SSL.WantReadError:
            return -1
        except SSL.ZeroReturnError:
            return 0
        return count

    def read(self) -> bytes | None:
        """One record: empty at close_notify, None when more has to come. Raises SSL.Error."""
        try:
            data: bytes = self._connection.recv(RECORD)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        return data

    def write(self, data: bytes | memoryview) -> int:
        """Encrypt ``data``, which must not be empty: how much of it. Raises SSL.Error."""
        count: int = self._connection.send(data)
        return count


class SwiftRecords(Records):
    """The same past pyOpenSSL, which still says what went wrong. Only where CAN_CALL."""

    __slots__ = ()

    def shake(self) -> bool:
        """See Records."""
        ssl = self._connection._ssl
        result = LIB.SSL_do_handshake(ssl)
        if result != 1 and not self._waits(ssl, result):
            # The peer has said close_notify.
            self._connection._raise_ssl_error(ssl, result)
        return bool(result == 1)

    def feed(self, data: bytes) -> None:
        """See Records."""
        if LIB.BIO_write(self._connection._into_ssl, data, len(data)) != len(data):
            raise MemoryError

    def drain(self) -> bytes:
        """See Records."""
        count = LIB.BIO_read(self._connection._from_ssl, _scratch, FLIGHT)
        return FFI.buffer(_scratch, count)[:] if count > 0 else b""

    def read_into(self, buffer: memoryview) -> int:
        """See Records."""
        ssl = self._connection._ssl
        count: int = LIB.SSL_read(
            ssl, FFI.from_buffer("char[]", buffer, require_writable=True), min(RECORD, len(buffer))
        )
        if count > 0:
            return count
        return -1 if self._waits(ssl, count) else 0

    def read(self) -> bytes | None:
        """See Records."""
        ssl = self._connection._ssl
        count = LIB.SSL_read(ssl, _scratch, RECORD)
        if count > 0:
            return bytes(FFI.buffer(_scratch, count))
        return None if self._waits(ssl, count) else b""

    def write(self, data: bytes | memoryview) -> int:
        """See Records."""
        ssl = self._connection._ssl
        count: int = LIB.SSL_write(ssl, FFI.from_buffer(data), len(data))
        if count <= 0:
            self._connection._raise_ssl_error(ssl, count)
        return count

    def _waits(self, ssl: Any, result: int) -> bool:
        """True when more has to come, False at close_notify. Raises SSL.Error."""
        error = LIB.SSL_get_error(ssl, result)
        if error == LIB.SSL_ERROR_ZERO_RETURN:
            return False
        if error != LIB.SSL_ERROR_WANT_READ:
            self._connection._raise_ssl_error(ssl, result)
        return True


#: What drain() and read() copy from: there is one thread.
_scratch: Final[Any] = FFI.new("char[]", FLIGHT) if CAN_CALL else None


def records(connection: SSL.Connection) -> Records:
    """The shortest way to ``connection``."""
    return SwiftRecords(connection) if CAN_CALL else Records(connection)
