"""Taking a connection from a listening socket."""

from __future__ import annotations

import socket
from typing import Any


def take_connection(listening: socket.socket, family: int) -> tuple[socket.socket, tuple[Any, ...]]:
    """As ``socket.accept``, which asks two enumerations what kind of socket it is, each time anew."""
    # What CPython's own is made of.
    raw = getattr(listening, "_accept", None)
    if raw is None:
        return listening.accept()
    descriptor, place = raw()
    return socket.socket(family, socket.SOCK_STREAM, 0, descriptor), place
