"""A TCP proxy on loopback that cuts, delays, flips one bit or kills at the byte a test chooses.

``with Proxy(address) as proxy: proxy.plan.append(Harm(at=1000)); ...proxy.port...`` stands between a
real client and a real server; it reorders nothing. One thread a direction, as it is for tests.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Self

import attrs

#: Carried at once where nothing is to be delayed.
PIECE: Final = 64 * 1024
#: The longest wait for the server behind, and for the threads at the end.
SECONDS: Final = 30.0


@attrs.frozen
class Harm:
    """What one connection suffers. Without anything given it is carried as it is.

    ``way`` is ``forth`` for what the client sends, ``back`` for what it is sent; ``at`` counts the
    bytes that have gone this way. Then: ``flip`` turns over one bit of the next byte and goes on;
    else ``then`` is called, if given, and the connection is reset at both ends; of the bytes before,
    what an end has not read by then may be lost to it. ``piece`` bounds what is carried at once, ``delay`` are seconds between.
    """

    way: Literal["forth", "back"] = "forth"
    at: int | None = None
    flip: bool = False
    then: Callable[[], object] | None = None
    piece: int = PIECE
    delay: float = 0.0


class Proxy:
    """Listens on loopback and carries every connection to ``address``.

    Attributes:
        host, port: where it listens.
        address: where connections go; it may be changed between two of them.
        plan: the harm for each of the next connections, in order; those after them suffer none.
        carried: for each connection what went ``forth`` and ``back``.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.plan: list[Harm] = []
        self.carried: list[dict[str, bytearray]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1"
        self.port: int = self._listening.getsockname()[1]
        self._over = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="proxy")]

    def __enter__(self) -> Self:
        """Start."""
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every connection, and wait for the threads."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in self._open:
            _reset(sock)
        for thread in self._threads:
            thread.join(SECONDS)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            harm = self.plan.pop(0) if self.plan else Harm()
            try:
                server = socket.create_connection(self.address, timeout=SECONDS)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            carried = {"forth": bytearray(), "back": bytearray()}
            self.carried.append(carried)
            self._open += [client, server]
            for way, source, sink in (("forth", client, server), ("back", server, client)):
                here = harm if way == harm.way else attrs.evolve(harm, at=None)
                thread = threading.Thread(target=self._carry, args=(source, sink, here, carried[way]))
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, harm: Harm, carried: bytearray) -> None:
        try:
            while data := source.recv(harm.piece):
                left = len(data) if harm.at is None else harm.at - len(carried)
                if harm.flip and 0 <= left < len(data):
                    data = data[:left] + bytes([data[left] ^ 1]) + data[left + 1 :]
                elif harm.at is not None and not harm.flip:
                    data = data[: max(0, left)]
                sink.sendall(data)
                carried += data
                if harm.at is not None and not harm.flip and len(carried) >= harm.at:
                    break
                if harm.delay:
                    self._over.wait(harm.delay)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
            if harm.then is not None:
                harm.then()
        except OSError:
            pass
        _reset(source)
        _reset(sink)


def _reset(sock: socket.socket) -> None:
    """Cut, whatever is still under way; a thread that reads from it wakes up."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
