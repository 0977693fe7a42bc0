"""Byte channels straight on a socket: what a pump drives from the reactor."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from typing import Final

from zope.interface import implementer

from twisted_xfer.errors import ConnectionLost
from twisted_xfer.interfaces import IChannel, WantRead, WantWrite

#: SO_LINGER on, zero seconds: close() answers with a reset instead of an orderly end.
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
#: What a peer sent unasked is read away before close(), because unread bytes turn the orderly
#: end into a reset that may overtake the data. 16 reads of 64 KiB, then it gets its reset.
DRAIN_READS: Final = 16
DRAIN_SIZE: Final = 64 * 1024

#: What a channel has left that gave its socket away.
_CLOSED: Final = socket.socket()
_CLOSED.close()


def lost(error: OSError) -> ConnectionLost:
    """The peer went away, with the name of the system error as the detail."""
    name = errno.errorcode.get(error.errno, "") if error.errno else ""
    return ConnectionLost(detail=name or type(error).__name__)


def prepare(sock: socket.socket, *, immediate: bool = False) -> None:
    """Make ``sock`` non-blocking and its small writes immediate, unless they are that already."""
    sock.setblocking(False)
    if not immediate and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def send_end(sock: socket.socket) -> None:
    """Send the end, and read away what came unasked. Raises ConnectionLost when the peer has reset the connection."""
    try:
        sock.shutdown(socket.SHUT_WR)
        # The one read also tells of a reset that came meanwhile.
        for _ in range(DRAIN_READS):
            if not sock.recv(DRAIN_SIZE):
                break
    except BlockingIOError:
        pass
    except OSError as error:
        raise lost(error) from error


def reset(sock: socket.socket) -> None:
    """Close ``sock`` with a reset. May be called twice."""
    with contextlib.suppress(OSError):
        # Closed before, or already torn down by the peer: close() is then all there is to do.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


@implementer(IChannel)
class SocketChannel:
    """A connected stream socket, in clear.

    ``sock`` belongs to the channel from here on. ``peer`` is the IP address of the other end;
    ``immediate`` as of ``prepare``.
    """

    __slots__ = ("_sock", "peer", "secure")

    def __init__(self, sock: socket.socket, peer: str, *, immediate: bool = False) -> None:
        prepare(sock, immediate=immediate)
        self._sock = sock
        self.peer = peer
        self.secure = False

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._sock.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        """Bytes read, 0 at the peer's end. Raises WantRead, ConnectionLost."""
        try:
            return self._sock.recv_into(buffer)
        except BlockingIOError:
            raise WantRead from None
        except OSError as error:
            raise lost(error) from error

    def send(self, data: bytes | memoryview) -> int:
        """Bytes that the kernel took. Raises WantWrite, ConnectionLost."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            raise WantWrite from None
        except OSError as error:
            raise lost(error) from error

    def shutdown(self) -> bool:
        """Send the end. Raises ConnectionLost when the peer has reset the connection before it."""
        send_end(self._sock)
        return True

    def detach(self) -> socket.socket:
        """Give the socket away, for TLS to begin on it; the channel is closed then."""
        sock, self._sock = self._sock, _CLOSED
        return sock

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._sock.close()

    def abort(self) -> None:
        """Close with a reset. May be called twice."""
        reset(self._sock)


def socket_error(sock: socket.socket) -> str:
    """The name of the error pending on ``sock``, and clear it; empty when there is none."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return errno.errorcode.get(code, os.strerror(code)) if code else ""
