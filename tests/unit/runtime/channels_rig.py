"""What the tests of the TLS channel share: two of them over a loopback connection."""

import os
import socket

from OpenSSL import SSL

from twisted_xfer.interfaces import WantRead
from twisted_xfer.runtime.tls_channel import TLSChannel, watch_resumption
from twisted_xfer.runtime.tls_handshake import handshake_channel
from twisted_xfer.testing.pumps import ManualReactor

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


def contexts(authority, version="1.3", watch=True):
    """A context for the server and one for the client, sessions on."""
    _ca, certificate = authority
    server = SSL.Context(SSL.TLS_METHOD)
    certificate.configure_cert(server)
    server.set_session_id(b"xfer-test")
    server.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    client = SSL.Context(SSL.TLS_METHOD)
    client.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    for context in (server, client):
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
        if watch:
            watch_resumption(context)
    return server, client


class Rig:
    """Two channels over a loopback connection, both driven by one standing-still reactor."""

    def __init__(self):
        self.reactor = ManualReactor()
        self.open = []

    def pair(self, server_context, client_context, session=None, shake=True):
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        self.open += [ours, theirs]
        ours = TLSChannel(ours, "127.0.0.1", server_context)
        theirs = TLSChannel(
            theirs, "127.0.0.1", client_context, False, hostname=b"server.example", session=session
        )
        self.open += [ours, theirs]
        if shake:
            done = [handshake_channel(self.reactor, channel, 20.0) for channel in (ours, theirs)]
            self.reactor.run_until(lambda: all(result.called for result in done))
            assert done[0].result is ours
        return ours, theirs


def channels():
    """A rig whose leaks fail the test; to be used with ``yield from``."""
    before = set(os.listdir("/proc/self/fd"))
    rig = Rig()
    yield rig
    for channel in rig.open:
        channel.close()
    assert rig.reactor.leftovers() == []
    assert set(os.listdir("/proc/self/fd")) - before == set()


def receive(channel, size):
    """``size`` bytes, asking as often as needed."""
    got = bytearray()
    for _ in range(10_000):
        if len(got) >= size:
            break
        buffer = memoryview(bytearray(size - len(got)))
        try:
            got += buffer[: channel.recv_into(buffer)]
        except WantRead:
            continue
    return bytes(got)


def failure_of(deferred):
    """What it failed with."""
    seen = []
    deferred.addErrback(lambda failure: seen.append(failure.value))
    assert len(seen) == 1
    return seen[0]
