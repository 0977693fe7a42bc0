"""The time and echo scripts, with plain sockets, against our services and our client."""

import contextlib
import random
import re
import socket
import ssl
import threading
import time

import pytest
from tutorial_support import SEED, TIMES, Wire, run_ours, serve, tls_connect, tls_wrapper

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

STAMP = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}")

STAMPED = re.compile(STAMP.pattern + b" ")


@pytest.fixture(scope="module", params=["echo", "ctime-echo", "time"])
def service(request, tmp_path_factory):
    """Each service in clear and in TLS."""
    config = {"protocols": {"timeecho": {"service": request.param}}}
    for server in serve(tmp_path_factory, "timeecho", config=config):
        server.service = request.param
        yield server


def read(sock, size):
    """So many bytes, or what there was to the end."""
    data = b""
    while len(data) < size and (more := sock.recv(1024)):
        data += more
    return data


def talk(sock, service, messages):
    """A conversation of the scripts: what each message was answered with is right."""
    if service == "time":
        greeting = read(sock, 1000)
        assert STAMP.fullmatch(greeting[:-1])
        assert greeting[-1:] == b"\n"
        return
    for message in messages:
        sock.sendall(message)
        if service == "echo":
            assert read(sock, len(message)) == message
        else:
            answer = read(sock, 25 + len(message))
            assert STAMP.match(answer)
            assert answer[24:] == b" " + message


def messages():
    """200 of them, of any bytes, up to what the scripts' reads take."""
    rng = random.Random(SEED)
    return [rng.randbytes(rng.choice([1, 5, 16, 999])) for _ in range(TIMES)]


@pytest.mark.parametrize("secured", [False, True])
def test_the_scripts_clients(service, secured):
    """200 messages on one connection, or 200 connections; in clear and in TLS."""
    for _ in range(TIMES if service.service == "time" else 1):
        where = service.address("timeecho")
        sock = tls_connect(service, "timeecho") if secured else socket.create_connection(where, 20)
        with sock:
            talk(sock, service.service, messages())


@pytest.mark.parametrize("merged", [False, True])
def test_split_and_merged_reads(service, merged):
    """200 messages in pieces of a few bytes, or all in one read: every byte comes back in order."""
    if service.service == "time":
        pytest.skip("it reads nothing")
    said = b"".join(messages())
    whole = (lambda held: len(held) == len(said)) if merged else None
    got = b""
    wire = Wire(service.address("timeecho"), "server", whole)
    with wire, socket.create_connection(wire.address, 20) as sock:
        threading.Thread(target=sock.sendall, args=[said], daemon=True).start()
        # How many stamps there are is how many reads there were; without them all is there.
        while len(STAMPED.sub(b"", got) if service.service == "ctime-echo" else got) < len(said):
            got += sock.recv(65536)
    assert (STAMPED.sub(b"", got) if service.service == "ctime-echo" else got) == said


def test_datagrams(tmp_path):
    """200 questions over UDP, each answered with its own stamp, on loopback though no interface was named."""
    with Daemon(["--root", str(tmp_path), "--listen", "timeecho=udp:0"]) as daemon:
        host, port = daemon.address("timeecho", datagram=True)
        assert host == "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            for message in messages():
                sock.sendto(message, (host, port))
                answer, _ = sock.recvfrom(2048)
                assert STAMP.match(answer)
                assert answer[24:] == b" " + message


# --- our client ------------------------------------------------------------------------------


class TimeServer(threading.Thread):
    """The scripts' servers: one client at a time, one answer for each recv."""

    def __init__(self, service, wrap=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.service, self.wrap = service, wrap

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                self.serve(client if self.wrap is None else self.wrap(client))

    def serve(self, client):
        if self.service == "time":
            client.send(time.ctime().encode() + b"\n")
            if isinstance(client, ssl.SSLSocket):
                # In TLS a close alone is no end, but a cut.
                client = client.unwrap()
        else:
            while data := client.recv(1024):
                stamp = time.ctime().encode() + b" " if self.service == "ctime-echo" else b""
                client.send(stamp + data)
        client.close()


ASK = """
    import random
    from twisted_xfer.protocols.timeecho import ask

    async def work(reactor, port, service, times, ca):
        rng = random.Random(6)
        good = 0
        for _ in range(int(times)):
            message = rng.randbytes(rng.choice([1, 5, 16, 999]))
            reply = await ask(endpoint(reactor, port, ca), service, message, reactor, within=20)
            good += len(reply) == 25 if service == "time" else reply.endswith(message)
        print(good)
"""


@pytest.mark.parametrize("service", ["echo", "ctime-echo", "time"])
@pytest.mark.parametrize("way", ["plain", "merged", "split", "tls"])
def test_our_client_with_the_scripts(tmp_path, service, way):
    """200 questions, whose answers come as they like, in one read, or in pieces; and some behind TLS."""
    wrap, ca = tls_wrapper(tmp_path) if way == "tls" else (None, "")
    server = TimeServer(service, wrap)
    server.start()
    least = {"echo": 1, "ctime-echo": 26, "time": 25}[service]
    whole = {"merged": lambda held: len(held) >= least, "split": None}
    if way in whole:
        with Wire(server.address, "client", whole[way]) as wire:
            assert run_ours(ASK, wire.address[1], service, TIMES, ca) == (0, str(TIMES), "")
    else:
        times = TIMES if way == "plain" else TIMES // 10
        assert run_ours(ASK, server.address[1], service, times, ca) == (0, str(times), "")
    server.listener.close()


@pytest.mark.parametrize("secured", [False, True])
def test_our_client_with_our_server(service, secured):
    """In clear and in TLS."""
    port = service.address("timeecho", tls=secured)[1]
    ca = service.ca_file if secured else ""
    assert run_ours(ASK, port, service.service, 3, ca) == (0, "3", "")
