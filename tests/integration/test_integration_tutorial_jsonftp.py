"""The JSON "FTP" scripts, with plain sockets, against our server and our client."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

TIMES = 200
DATA = b'{"looks": "like JSON"}' + os.urandom(20_000)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    """A daemon in clear and in TLS; alice has ``data.bin`` and a directory."""
    top = tmp_path_factory.mktemp("jsonftp")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(top / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(top / "cert.pem"))
    home = top / "root" / "alice"
    (home / "sub").mkdir(parents=True)
    (home / "data.bin").write_bytes(DATA)
    tls = f"ssl:0:interface=127.0.0.1:privateKey={top / 'key.pem'}:certKey={top / 'cert.pem'}"
    args = ["--root", str(top / "root"), "--auth", "memory:alice:secret"]
    places = ["--listen", "jsonftp=tcp:0:interface=127.0.0.1", "--listen", f"jsonftp={tls}"]
    with Daemon([*args, *places]) as daemon:
        yield [address[:2] for address in daemon.addresses("jsonftp")], home


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

    def put(self, filename, data, glued=False):
        first = {"action": "put", "filename": filename, "md5": True}
        second = {"status_code": 257, "status_msg": "ready to send file", "file_size": len(data)}
        if glued:
            self.sock.send(json.dumps(first).encode() + json.dumps(second).encode())
        else:
            self.say(first)
            self.say(second)
        assert self.sock.recv(1024) == b"1"
        self.sock.sendall(data)
        self.say({"status_code": 258, "md5": hashlib.md5(data).hexdigest()})
        return self.sock.recv(1024)


def test_the_articles_client_gets(server):
    """200 of 200: file and digest never stick, though the client reads as far as it likes."""

    def some(_):
        with socket.create_connection(server[0][0], 20) as sock:
            client = FTPClient(sock)
            return [client.get("data.bin") for _ in range(TIMES // 10)]

    with ThreadPoolExecutor(10) as pool:
        results = [result for results in pool.map(some, range(10)) for result in results]
    assert results == [(DATA, MD5)] * TIMES


@pytest.mark.parametrize("glued", [False, True])
def test_the_articles_client_puts(server, glued):
    """200 of 200, the two objects of a put stuck together or not."""
    places, home = server
    with socket.create_connection(places[0], 20) as sock:
        client = FTPClient(sock)
        for number in range(TIMES):
            assert client.put(f"sub/{glued}{number}", DATA, glued) == b"done"
    assert {path.read_bytes() for path in (home / "sub").glob(f"{glued}*")} == {DATA}


def test_messages_in_pieces(server):
    """A segment for each byte."""
    with socket.create_connection(server[0][0], 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = FTPClient(sock)
        for byte in b'{"action": "get", "filename": "none"}':
            sock.send(bytes([byte]))
        assert client.hear()["status_code"] == 256


def test_in_tls(server, authority):
    """The same through an ssl: endpoint."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    raw = socket.create_connection(server[0][1], 20)
    with context.wrap_socket(raw, server_hostname="localhost") as sock:
        client = FTPClient(sock)
        client.say({"action": "cd", "path": "sub"})
        assert client.hear()["status_code"] == 259
        assert client.get("../data.bin") == (DATA, MD5)


# --- our client ------------------------------------------------------------------------------


class FTPServer(threading.Thread):
    """The article's server: one recv is one object, two of them end it."""

    def __init__(self, last_word):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
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
        request.settimeout(20)
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


TALK = textwrap.dedent("""
    import io, sys
    from twisted.internet import task
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
    from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
    from twisted_xfer.errors import XferError
    from twisted_xfer.protocols.jsonftp import log_in

    def main(reactor):
        return Deferred.fromCoroutine(work(reactor))

    async def work(reactor):
        port, password, times, ca = sys.argv[1:]
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
        if ca:
            root = trustRootFromCertificates([Certificate.loadPEM(open(ca).read())])
            endpoint = wrapClientTLS(optionsForClientTLS("localhost", trustRoot=root), endpoint)
        try:
            session = await log_in(endpoint, "alice", password, reactor, within=20)
            for number in range(int(times)):
                got = []
                size = await session.get("data.bin", got.append)
                data = b"".join(got)
                assert size == len(data)
                seen = []
                good = await session.put("up%d" % number, size, io.BytesIO(data).read,
                                         progress=lambda n, of: seen.append(n))
                assert sum(seen) == size
                rest = []
                await session.get("up%d" % number, rest.append, offset=size - 10)
                assert b"".join(rest) == data[-10:]
            print(good, "up0" in await session.ls(), len(data))
            await session.get("nothing", got.append)
        except XferError as error:
            print(error.code)

    task.react(main)
""")


def talk(port, password="secret", times=1, ca=""):
    """What the session printed."""
    args = [sys.executable, "-c", TALK, str(port), password, str(times), ca]
    done = subprocess.run(args, capture_output=True, text=True, timeout=110, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_our_client_with_the_articles_server():
    """200 puts and 400 gets, none of which makes it read two objects at once."""
    server = FTPServer(last_word=True)
    server.start()
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: talk(server.port, times=TIMES // 4), range(4)))
    assert said == [["True", "True", str(len(DATA)), "not_found"]] * 4
    assert server.extra_data == 0
    server.listener.close()


def test_a_server_without_a_last_word():
    """What it stored is not known to be right."""
    server = FTPServer(last_word=False)
    server.start()
    assert talk(server.port)[0] == "False"
    assert talk(server.port, "wrong") == ["login_failed"]
    server.listener.close()


def test_our_client_with_our_server(server, tmp_path, authority):
    """In clear and in TLS."""
    places, home = server
    assert talk(places[0][1]) == ["True", "True", str(len(DATA)), "not_found"]
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert talk(places[1][1], ca=str(tmp_path / "ca.pem")) == ["True", "True", str(len(DATA)), "not_found"]
    assert talk(places[0][1], "wrong") == ["login_failed"]
    assert (home / "up0").read_bytes() == DATA
