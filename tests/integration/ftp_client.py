"""A client of raw lines, that can be as rude as a test wants."""

from __future__ import annotations

import os
import socket
import struct
import time


class RawFTP:
    """A control connection."""

    def __init__(self, address, user="alice", password="secret"):
        self.address = address
        self.sock = socket.create_connection(address, timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply()
        if user:
            self.say(f"USER {user}")
            assert self.say(f"PASS {password}").startswith(b"230 ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def line(self):
        while b"\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def reply(self):
        """One whole reply; empty when the connection is closed."""
        first = self.line()
        if first[3:4] != b"-":
            return first
        lines = [first]
        while not lines[-1].startswith(first[:3] + b" "):
            lines.append(self.line())
            if not lines[-1]:
                break
        return b"".join(lines)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode() + b"\r\n")

    def say(self, line):
        self.send(line)
        return self.reply()

    def passive(self):
        """A data connection, made."""
        port = int(self.say("EPSV").split(b"|")[3])
        return socket.create_connection((self.address[0], port), timeout=20)

    def store(self, name, data):
        connection = self.passive()
        first = self.say(f"STOR {name}")
        if not first.startswith(b"150"):
            connection.close()
            return first
        connection.sendall(data)
        connection.close()
        return self.reply()

    def retrieve(self, command):
        connection = self.passive()
        first = self.say(command)
        if not first.startswith(b"150"):
            connection.close()
            return first, b""
        pieces = []
        while data := connection.recv(65536):
            pieces.append(data)
        connection.close()
        return self.reply(), b"".join(pieces)


def reset(sock):
    """Close with a reset, as a killed client does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_for(condition, seconds=20.0):
    """Poll until ``condition()`` is true; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
