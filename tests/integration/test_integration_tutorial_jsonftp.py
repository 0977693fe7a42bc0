"""The JSON "FTP" scripts, with plain sockets, against our server and our client."""

import contextlib
import hashlib
import json
import random
import socket
import struct
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

DATA = b'{"looks": "like JSON"}' + random.Random(SEED).randbytes(20_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A daemon in clear and in TLS; alice has ``data.bin`` and a directory."""
    for server in serve(tmp_path_factory, "jsonftp"):
        (server.home / "sub").mkdir()
        (server.home / "data.bin").write_bytes(DATA)
        yield server


class FTPClient:
    """The article's client: one recv is one answer."""

    def __init__(self, sock):
        self.sock = sock
        self.say({"action": "auth", "username": "alice", "password": "secret"})
        assert self.hear()["status_code"] == 254

    def say(self, message):
        self.sock.send(json.dumps(message).encode())

    def hear(self):
        return json.loads(self.sock.recv(1024).strip().decode())

    def get(self, filename, **more):
        self.say({"action": "get", "filename": filename, "md5": True, **more})
        size = self.hear()["file_size"]
        self.sock.send(b"1")
        data = b""
        while len(data) < size:
            data += self.sock.recv(4096)
        return data, self.hear()["md5"]

    def put(self, filename, data):
        self.say({"action": "put", "filename": filename, "md5": True})
        self.say({"status_code": 257, "status_msg": "ready to send file", "file_size": len(data)})
        assert self.sock.recv(1024) == b"1"
        self.sock.sendall(data)
        self.say({"status_code": 258, "md5": hashlib.md5(data).hexdigest()})
        return self.sock.recv(1024)


class FramedClient(FTPClient):
    """A course's client: each object after its length, in two sends; nobody waits for a 1."""

    def say(self, message):
        data = json.dumps(message).encode()
        self.sock.send(struct.pack("i", len(data)))
        self.sock.send(data)

    def recv_exactly(self, size):
        data = b""
        while len(data) < size:
            data += self.sock.recv(size - len(data))
        return data

    def hear(self):
        (size,) = struct.unpack("i", self.recv_exactly(4))
        return json.loads(self.recv_exactly(size))

    def get(self, filename):
        self.say({"action": "get", "filename": filename, "md5": True})
        data = self.recv_exactly(self.hear()["file_size"])
        return data, self.hear()["md5"]

    def put(self, filename, data):
        digest = hashlib.md5(data).hexdigest()
        self.say({"action": "put", "filename": filename, "file_size": len(data), "md5": digest})
        self.sock.sendall(data)
        assert self.hear()["status_code"] == 257
        return self.hear()["status_msg"].encode()


def many_at_a_time(connect, kind, work):
    """What ``work(client, numbers)`` gives for each of 200 numbers, on as many connections as ``kind`` bears."""
    at_once = AT_ONCE if kind is FramedClient else FEW

    def some(first):
        with connect() as sock:
            return work(kind(sock), range(first, first + TIMES // at_once))

    with ThreadPoolExecutor(at_once) as pool:
        return [one for some in pool.map(some, range(0, TIMES, TIMES // at_once)) for one in some]


def gets(client, numbers):
    return [client.get("data.bin") for _ in numbers]


def puts(tag):
    def work(client, numbers):
        return [client.put(f"sub/{tag}-{number}", DATA) for number in numbers]

    return work


def _both_objects(held):
    """The two objects of a put are one message; a login, a digest and the file are as they come."""
    return not held.startswith(b'{"action": "put"') or b"file_size" in held


@pytest.mark.parametrize("kind", [FTPClient, FramedClient])
@pytest.mark.parametrize("way", ["plain", "merged", "split"])
def test_the_scripts_clients_get_and_put(server, kind, way):
    """200 of 200: file and digest never stick, though the client reads as far as it likes."""
    where = server.address("jsonftp")
    wire = None if way == "plain" else Wire(where, "server", _both_objects if way == "merged" else None)

    def connect():
        return connected(wire.address if wire else where)

    with wire or contextlib.nullcontext():
        assert many_at_a_time(connect, kind, gets) == [(DATA, MD5)] * TIMES
        tag = f"{kind.__name__}-{way}"
        assert many_at_a_time(connect, kind, puts(tag)) == [b"done"] * TIMES
    stored = [path.read_bytes() for path in (server.home / "sub").glob(f"{tag}-*")]
    assert stored == [DATA] * TIMES


@pytest.mark.parametrize("kind", [FTPClient, FramedClient])
def test_in_tls(server, kind):
    """The same through an ssl: endpoint, 200 times."""

    def connect():
        return tls_connect(server, "jsonftp")

    assert many_at_a_time(connect, kind, gets) == [(DATA, MD5)] * TIMES
    with connect() as sock:
        client = kind(sock)
        client.say({"action": "cd", "path": "sub"})
        assert client.hear()["status_code"] == 259
        assert client.get("../data.bin") == (DATA, MD5)


# --- our client ------------------------------------------------------------------------------


class FTPServer(threading.Thread):
    """The article's server: one recv is one object, two of them end it."""

    def __init__(self, last_word=True, wrap=None):
        super().__init__(daemon=True)
        self.wrap = wrap
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = self.listener.getsockname()
        self.files = {"data.bin": DATA}
        self.last_word = last_word
        self.extra_data = 0

    def run(self):
        while True:
            try:
                request, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[request], daemon=True).start()

    def serve(self, request):
        if self.wrap is not None:
            request = self.wrap(request)
        request.settimeout(20)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := request.recv(1024).strip():
                self.handle(request, json.loads(data.decode()))
        except json.JSONDecodeError:
            self.extra_data += 1
        except OSError:
            pass
        request.close()

    def answer(self, request, code, **extra):
        request.send(json.dumps({"status_code": code, "status_msg": "x", **extra}).encode())

    def handle(self, request, data):
        if data["action"] == "auth":
            self.answer(request, 254 if data["password"] == "secret" else 253)
        elif data["action"] == "ls":
            request.send(json.dumps(sorted(self.files)).encode())
        elif data["filename"] not in self.files and data["action"] != "put":
            self.answer(request, 256)
        elif data["action"] == "put":
            size = json.loads(request.recv(1024).strip().decode())["file_size"]
            request.send(b"1")
            body = b""
            while len(body) < size:
                body += request.recv(size - len(body))
            self.files[data["filename"]] = body
            if data.get("md5"):
                right = json.loads(request.recv(1024).decode())["md5"] == hashlib.md5(body).hexdigest()
                if self.last_word:
                    request.send(b"done" if right else b"md5 false")
        else:
            body = self.files[data["filename"]]
            self.answer(request, 257, file_size=len(body))
            request.recv(1)
            rest = body[data.get("breakpoint", 0) :]
            request.sendall(rest)
            if data.get("md5"):
                self.answer(request, 258, md5=hashlib.md5(rest).hexdigest())


class FramedServer(FTPServer):
    """A course's server, in the words of the article: lengths, sizes with the name, no 1."""

    def serve(self, request):
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, struct.error):
            while data := self.read(request):
                self.handle(request, data)
        request.close()

    def exactly(self, request, size):
        data = b""
        while len(data) < size and (more := request.recv(size - len(data))):
            data += more
        return data

    def read(self, request):
        (size,) = struct.unpack("i", self.exactly(request, 4))
        return json.loads(self.exactly(request, size))

    def send(self, request, value):
        data = json.dumps(value).encode()
        request.send(struct.pack("i", len(data)))
        request.send(data)

    def answer(self, request, code, **extra):
        self.send(request, {"status_code": code, "status_msg": "x", **extra})

    def handle(self, request, data):
        if data["action"] == "auth":
            self.answer(request, 254)
        elif data["action"] == "ls":
            self.send(request, sorted(self.files))
        elif data["action"] == "put":
            self.answer(request, 257)
            body = self.files[data["filename"]] = self.exactly(request, data["file_size"])
            right = self.read(request)["md5"] == hashlib.md5(body).hexdigest()
            self.send(request, {"status_code": 258, "status_msg": "done" if right else "md5 false"})
        elif data["filename"] not in self.files:
            self.answer(request, 256)
        else:
            body = self.files[data["filename"]]
            self.answer(request, 257, file_size=len(body))
            rest = body[data.get("breakpoint", 0) :]
            request.sendall(rest)
            self.answer(request, 258, md5=hashlib.md5(rest).hexdigest())


TALK = """
    from twisted.internet.defer import gatherResults
    from twisted_xfer.protocols.jsonftp import client, log_in

    async def one(reactor, port, password, times, framed, ca):
        session = await log_in(endpoint(reactor, port, ca), "alice", password, reactor, within=20, framed=framed)
        for _ in range(times):
            number = next(numbers)
            got, seen, rest = [], [], []
            size = await session.get("data.bin", got.append)
            data = b"".join(got)
            assert size == len(data)
            good = await session.put("up%d" % number, size, io.BytesIO(data).read,
                                     progress=lambda n, of: seen.append(n))
            assert sum(seen) == size
            await session.get("up%d" % number, rest.append, offset=size - 10)
            assert b"".join(rest) == data[-10:]
        names = await session.ls()
        assert {"up0", "up%d" % number} <= set(names)
        try:
            await session.get("nothing", got.append)
        except XferError as error:
            return good, hashlib.md5(data).hexdigest(), error.code

    numbers = iter(range(1000))

    async def work(reactor, port, password, times, framed, patience, ca):
        client.LAST_WORD = float(patience)
        at_once = min(40, int(times))
        try:
            found = await gatherResults([
                Deferred.fromCoroutine(one(reactor, port, password, int(times) // at_once, framed == "yes", ca))
                for _ in range(at_once)], consumeErrors=True)
        except Exception as failure:
            print(failure.subFailure.value.code)
        else:
            print(*set(found))
"""


def talk(port, password="secret", times=TIMES, framed=False, ca="", patience=5):
    """What the sessions found, all the same; or the error."""
    code, said, failed = run_ours(TALK, port, password, times, "yes" if framed else "no", patience, ca)
    assert (code, failed) == (0, "")
    return said


GOOD = f"(True, '{MD5}', 'not_found')"


@pytest.fixture
def script():
    """Starts servers, and stops them."""
    started = []

    def start(kind=FTPServer, **more):
        started.append(kind(**more))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.listener.close()


def _file_and_digest(held):
    """A file comes with what is behind it, all else as it comes; both files here are known by their ends."""
    return not (held.endswith((DATA, DATA[-10:])) or DATA.startswith(held))


@pytest.mark.parametrize(
    ("kind", "way"),
    [(kind, way) for kind in (FTPServer, FramedServer) for way in ("plain", "merged", "split")],
)
def test_our_client_with_the_scripts_servers(script, kind, way):
    """200 puts and 400 gets, none of which makes the server read two objects at once."""
    server = script(kind)
    framed = kind is FramedServer
    if way == "plain":
        assert talk(server.address[1], framed=framed) == GOOD
    else:
        with Wire(server.address, "client", _file_and_digest if way == "merged" else None) as wire:
            assert talk(wire.address[1], framed=framed) == GOOD
    assert len(server.files) == TIMES + 1
    assert set(server.files.values()) == {DATA}
    assert server.extra_data == 0


def test_our_client_in_tls_with_the_articles_server(script, tmp_path):
    """A script's server behind TLS, 200 times."""
    wrap, ca = tls_wrapper(tmp_path)
    server = script(wrap=wrap)
    assert talk(server.address[1], ca=ca) == GOOD
    assert server.extra_data == 0


def test_a_server_without_a_last_word(script):
    """What it stored is not known to be right."""
    server = script(last_word=False)
    assert talk(server.address[1], times=1, patience=0.5).startswith("(False, ")
    assert talk(server.address[1], "wrong", 1) == "login_failed"


@pytest.mark.parametrize("framed", [False, True])
def test_our_client_with_our_server(server, framed):
    """In clear and in TLS."""
    assert talk(server.address("jsonftp")[1], framed=framed, times=20) == GOOD
    port = server.address("jsonftp", tls=True)[1]
    assert talk(port, framed=framed, times=20, ca=server.ca_file) == GOOD
    assert talk(port, "wrong", 1, framed=framed, ca=server.ca_file) == "login_failed"
    assert (server.home / "up0").read_bytes() == DATA
