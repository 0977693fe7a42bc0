"""The way below a connection as a thread sees it that moves content: a socket; with TLS see secure_line.py.

A thread has a line only between ``Connection.lend_line`` and ``take_line_back``; meanwhile the
reactor neither reads nor writes there. Its descriptor is its own, so that a connection which is lost
meanwhile does not leave it with a descriptor that has become somebody else's.
"""

from __future__ import annotations

import select
import socket
from typing import Any
from typing import Protocol as Shape

from twisted_xfer.errors import ConnectionLost


class Line(Shape):
    """What a thread may do. BlockingIOError: not now. ConnectionLost: never again."""

    def recv_into(self, view: memoryview) -> int:
        """Fill ``view`` as far as something has come; 0 at the end."""
        ...

    def send(self, view: memoryview) -> int:
        """Bytes taken of ``view``."""
        ...

    def rest(self) -> bytes:
        """What was taken of the last ``send`` and could not leave: goes before anything else."""
        ...

    def wait(self, seconds: float, *, reading: bool) -> bool:
        """Wait until more can come or leave; False when nothing has for so long."""
        ...

    def close(self) -> None:
        """Let go of the descriptor. May be called twice."""
        ...


def wait_for(sock: socket.socket, seconds: float, *, reading: bool) -> bool:
    """Wait until ``sock`` can be read from or written to."""
    poller = select.poll()
    poller.register(sock, select.POLLIN if reading else select.POLLOUT)
    return bool(poller.poll(seconds * 1000))


class PlainLine:
    """A socket, in clear."""

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock.dup()

    def recv_into(self, view: memoryview) -> int:
        """See Line."""
        try:
            return self._sock.recv_into(view)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionLost(None, type(error).__name__) from error

    def send(self, view: memoryview) -> int:
        """See Line."""
        try:
            return self._sock.send(view)
        except BlockingIOError:
            raise
        except OSError as error:
            raise ConnectionLost(None, type(error).__name__) from error

    def rest(self) -> bytes:
        """Nothing: the kernel took it."""
        return b""

    def wait(self, seconds: float, *, reading: bool) -> bool:
        """See Line."""
        return wait_for(self._sock, seconds, reading=reading)

    def close(self) -> None:
        """See Line."""
        self._sock.close()


def socket_of(transport: Any) -> socket.socket | None:
    """The TCP socket of a transport that the reactor drives, if it is one."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket) and handle.family in {socket.AF_INET, socket.AF_INET6}:
        return handle
    return None
