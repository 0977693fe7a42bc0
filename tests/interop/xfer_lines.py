"""Lines over socket pairs, in clear and in TLS, and files on their way in from them."""

import contextlib
import os
import socket
import tempfile

import pytest
from OpenSSL import SSL

from twisted_xfer.cli.trust import _make_certificate
from twisted_xfer.protocols.xfer import bulk, tls_records
from twisted_xfer.protocols.xfer.content import make_hasher
from twisted_xfer.protocols.xfer.line import PlainLine
from twisted_xfer.protocols.xfer.secure_line import SecureLine

STREAM = 7
MAX_DATA = 4 * 1024 * 1024

_open: list[socket.socket] = []


def close_sockets():
    while _open:
        _open.pop().close()


def sockets():
    ours, theirs = socket.socketpair()
    _open.extend((ours, theirs))
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def shake(client, server):
    """A handshake in memory."""
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                while True:
                    other.bio_write(one.bio_read(65536))


def plain_lines():
    ours, theirs = sockets()
    return PlainLine(ours), PlainLine(theirs)


def secure_lines():
    pem = _make_certificate()
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_privatekey_file(file.name)
        context.use_certificate_file(file.name)
    client, server = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None), SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()
    shake(client, server)
    ours, theirs = sockets()
    return SecureLine(ours, client), SecureLine(theirs, server)


def public_lines():
    """As where pyOpenSSL does not have what it has today below its methods."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls_records, "CAN_DIRECT", False)
        return secure_lines()


def source(tmp_path, content):
    path = tmp_path / "source"
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


def outflow(fd, **changes):
    changes.setdefault("max_data", MAX_DATA)
    changes.setdefault("buffer", bulk.make_buffer(secure=False))
    changes.setdefault("clock", lambda: 0.0)
    return bulk.Outflow(fd, STREAM, make_hasher("blake3"), 0, **changes)


def inflow(fd, left=0, clock=lambda: 0.0):
    buffer = bulk.make_buffer(secure=False)
    return bulk.Inflow(fd, STREAM, make_hasher("blake3"), 0, left, MAX_DATA, buffer, clock)


def digest(content):
    hasher = make_hasher("blake3")
    hasher.update(content)
    return hasher.digest()
