"""The get scripts, with plain sockets, against our server and our client."""

import contextlib
import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tutorial_support import (
    AT_ONCE,
    FEW,
    SEED,
    TIMES,
    Wire,
    connected,
    run_ours,
    serve,
    tls_connect,
    tls_wrapper,
)

pytestmark = pytest.mark.integration

_RANDOM = random.Random(SEED)
DATA = _RANDOM.randbytes(30_000) + b"\n" + _RANDOM.randbytes(777)
MD5 = hashlib.md5(DATA).hexdigest()
PLAIN = {"protocol": "fetch", "account": "bob", "endpoint": "tcp:0:interface=127.0.0.1", "md5": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The second version for alice, in clear and in TLS, and the first one, without a digest, for bob."""
    users = {"alice": "secret", "bob": "hidden"}
    for server in serve(tmp_path_factory, "fetch@alice", users=users, config={"listen": [PLAIN]}):
        for name in users:
            (server.root / name / "data.bin").write_bytes(DATA)
        yield server


def client_v1(s, name):
    """Version 1: no digest."""
    s.send(f"get {name}".encode())
    size = int(s.recv(1024).decode())
    s.send(b"ready to recv file")
    data = b""
    while len(data) < size:
        data += s.recv(1024)
    return data


def client_v2(s, name):
    """Version 2: reads 1024 bytes at a time, so what sticks to the file goes into the file."""
    data = client_v1(s, name)
    return data, s.recv(1024).decode()


def client_v3(s, name):
    """Version 3: reads no further than the file."""
    s.send(f"get {name}".encode())
    size = int(s.recv(1024).decode())
    s.send(b"ready to recv file")
    data = b""
    while len(data) < size:
        data += s.recv(min(1024, size - len(data)))
    return data, s.recv(1024).decode()


@pytest.mark.parametrize("client", [client_v2, client_v3])
def test_the_clients_work_unmended(server, client):
    """200 of 200, several connections at a time, also with the client that reads too far."""
    at_once = FEW if client is client_v2 else AT_ONCE

    def some(_):
        with connected(server.address("fetch@alice")) as s:
            return [client(s, "data.bin") for _ in range(TIMES // at_once)]

    with ThreadPoolExecutor(at_once) as pool:
        results = [result for results in pool.map(some, range(at_once)) for result in results]
    assert results == [(DATA, MD5)] * TIMES


def test_the_first_version_works(server):
    """Without a digest, 200 times."""

    def some(_):
        with connected(server.address("fetch@bob")) as s:
            return [client_v1(s, "data.bin") for _ in range(TIMES // AT_ONCE)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [result for results in pool.map(some, range(AT_ONCE)) for result in results]
    assert results == [DATA] * TIMES


def test_split_commands(server):
    """200 commands in pieces of a few bytes, each piece a read or two of its own."""

    def some(_):
        with socket.create_connection(wire.address, 20) as s:
            return [client_v3(s, "data.bin") for _ in range(TIMES // FEW)]

    with Wire(server.address("fetch@alice"), "server") as wire, ThreadPoolExecutor(FEW) as pool:
        results = [result for results in pool.map(some, range(FEW)) for result in results]
    assert results == [(DATA, MD5)] * TIMES


def test_merged_commands(server):
    """200 connections on which the end comes in the same read as the command, and is no part of it."""
    with Wire(server.address("fetch@alice"), "server", lambda held: False) as wire:
        for _ in range(TIMES):
            with socket.create_connection(wire.address, 20) as s:
                s.send(b"get none.bin")
                s.shutdown(socket.SHUT_WR)
                assert s.recv(1024) == b""


def test_a_missing_file_closes(server):
    """int('') ends the script, instead of a read that never does."""
    with socket.create_connection(server.address("fetch@alice"), 20) as s:
        s.send(b"get ../nothing")
        assert s.recv(1024) == b""


def test_in_tls(server):
    """The same through an ssl: endpoint, 200 times on forty connections."""

    def some(_):
        with tls_connect(server, "fetch@alice") as s:
            return [client_v3(s, "data.bin") for _ in range(TIMES // AT_ONCE)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [result for results in pool.map(some, range(AT_ONCE)) for result in results]
    assert results == [(DATA, MD5)] * TIMES


# --- our client ------------------------------------------------------------------------------


class ServerPy(threading.Thread):
    """The scripts' server: takes any two words, sends the file line by line."""

    def __init__(self, files, *, md5=True, wrap=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.address = self.listener.getsockname()
        self.files, self.md5, self.wrap = files, md5, wrap

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[conn], daemon=True).start()

    def serve(self, conn):
        with contextlib.suppress(OSError):
            if self.wrap is not None:
                conn = self.wrap(conn)
            conn.settimeout(20)
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := conn.recv(1024):
                self.answer(conn, data)
        conn.close()

    def answer(self, conn, data):
        _, name = data.decode().split()
        if name not in self.files:
            return
        body = self.files[name]
        conn.send(str(len(body)).encode())
        conn.recv(1024)
        for line in body.splitlines(keepends=True):
            conn.sendall(line)
        if self.md5:
            conn.send(hashlib.md5(body).hexdigest().encode())


GET = """
    from twisted.internet.defer import gatherResults
    from twisted_xfer.protocols.fetch import get

    async def one(reactor, port, name, md5, within, ca):
        got, seen = [], []
        try:
            size = await get(endpoint(reactor, port, ca), name.encode(), got.append, reactor, md5=md5 == "md5",
                             within=float(within), quiet=0.05, progress=lambda n, of: seen.append(n))
        except XferError as error:
            return error.code + " " + error.detail
        assert size == sum(seen) == len(b"".join(got))
        return hashlib.md5(b"".join(got)).hexdigest()

    async def work(reactor, port, name, times, *more):
        found = set()
        while (left := int(times)) > 0:
            times = left - 40
            found |= set(await gatherResults([Deferred.fromCoroutine(one(reactor, port, name, *more))
                                              for _ in range(min(40, left))]))
        print(*found)
"""


def get(port, name="data.bin", times=TIMES, md5="md5", within=20, ca=""):
    """The MD5 of the file that was got last, or the error."""
    return run_ours(GET, port, name, times, md5, within, ca)


@pytest.fixture
def script():
    """Starts servers, and stops them."""
    started = []

    def start(files, **more):
        started.append(ServerPy(files, **more))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.listener.close()


def test_our_client_gets_from_the_scripts(script):
    """200 of 200, as the kernel cuts it."""
    assert get(script({"data.bin": DATA}).port) == (0, MD5, "")


def _merged(held):
    """The size alone is one message, file and digest together another."""
    return held == b"%d" % len(DATA) or len(held) == len(DATA) + 32


@pytest.mark.parametrize("whole", [_merged, None], ids=["merged", "split"])
def test_merged_and_split_reads(script, whole):
    """200 of 200, the digest stuck to the file, or all of it in pieces; size and file never stick."""
    with Wire(script({"data.bin": DATA}).address, "client", whole) as wire:
        assert get(wire.address[1]) == (0, MD5, "")


@pytest.mark.parametrize("split", [False, True])
def test_our_client_without_a_digest(script, split):
    """The first version, 200 times; and an empty file."""
    server = script({"data.bin": DATA, "empty": b""}, md5=False)
    with Wire(server.address, "client") as wire:
        port = wire.address[1] if split else server.port
        assert get(port, md5="no") == (0, MD5, "")
        assert get(port, "empty", 1, md5="no") == (0, hashlib.md5().hexdigest(), "")


def test_a_digest_that_never_comes(script):
    """The first version taken for the second: the error says which it is."""
    assert get(script({"data.bin": DATA}, md5=False).port, times=1, within=0.5) == (
        0,
        "timeout no MD5 came",
        "",
    )


def test_a_server_that_says_nothing_is_given_up(script):
    """As the scripts do for a missing file."""
    assert get(script({}).port, times=1, within=0.3) == (0, "timeout no answer", "")


def test_our_client_in_tls_with_the_scripts(script, tmp_path):
    """A script's server behind TLS, 200 times."""
    wrap, ca = tls_wrapper(tmp_path)
    assert get(script({"data.bin": DATA}, wrap=wrap).port, ca=ca) == (0, MD5, "")


def test_our_client_with_our_server(server):
    """In clear and in TLS; a missing file is told at once."""
    assert get(server.address("fetch@alice")[1], times=3) == (0, MD5, "")
    assert get(server.address("fetch@alice", tls=True)[1], times=3, ca=server.ca_file) == (0, MD5, "")
    assert get(server.address("fetch@alice")[1], "nothing", 1)[1].startswith("not_found")
