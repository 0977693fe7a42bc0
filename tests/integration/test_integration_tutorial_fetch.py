"""The get scripts, with plain sockets, against our server and our client."""

import hashlib
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
DATA = os.urandom(30_000) + b"\n" + os.urandom(777)
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    """A daemon with both versions in clear and one in TLS; alice has ``data.bin``."""
    top = tmp_path_factory.mktemp("fetch")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(top / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(top / "cert.pem"))
    (top / "root" / "alice").mkdir(parents=True)
    (top / "root" / "alice" / "data.bin").write_bytes(DATA)
    tls = f"ssl:0:interface=127.0.0.1:privateKey={top / 'key.pem'}:certKey={top / 'cert.pem'}"
    config = top / "xfer.toml"
    config.write_text(
        textwrap.dedent(f"""
        root = "{top / "root"}"
        [[listen]]
        protocol = "fetch"
        account = "alice"
        endpoint = "tcp:0:interface=127.0.0.1"
        [[listen]]
        protocol = "fetch"
        account = "alice"
        endpoint = "{tls}"
        [[listen]]
        protocol = "fetch"
        account = "alice"
        endpoint = "tcp:0:interface=127.0.0.1"
        md5 = false
        """)
    )
    with Daemon(["--config", str(config)]) as daemon:
        yield [address[:2] for address in daemon.addresses("fetch@alice")]


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
    """200 of 200, ten connections at a time, also with the client that reads too far."""

    def some(_):
        with socket.create_connection(server[0], 20) as s:
            return [client(s, "data.bin") for _ in range(TIMES // 10)]

    with ThreadPoolExecutor(10) as pool:
        results = [result for results in pool.map(some, range(10)) for result in results]
    assert results == [(DATA, MD5)] * TIMES


def test_the_first_version_works(server):
    """Without a digest."""
    with socket.create_connection(server[2], 20) as s:
        for _ in range(TIMES):
            assert client_v1(s, "data.bin") == DATA


def test_a_command_in_pieces_works(server):
    """A segment for each byte."""
    with socket.create_connection(server[0], 20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"get data.bi":
            s.send(bytes([byte]))
        assert client_v3(_Rest(s), "n") == (DATA, MD5)


class _Rest:
    """A socket on which only the rest of the command is still to be sent."""

    def __init__(self, s):
        self.s = s
        self.recv = s.recv

    def send(self, data):
        return self.s.send(data.removeprefix(b"get "))


def test_a_missing_file_closes(server):
    """int('') ends the script, instead of a read that never does."""
    with socket.create_connection(server[0], 20) as s:
        s.send(b"get ../nothing")
        assert s.recv(1024) == b""


def test_in_tls(server, authority):
    """The same through an ssl: endpoint."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with context.wrap_socket(socket.create_connection(server[1], 20), server_hostname="localhost") as s:
        assert client_v3(s, "data.bin") == (DATA, MD5)


# --- our client ------------------------------------------------------------------------------


class ServerPy(threading.Thread):
    """The scripts' server: takes any two words, sends the file line by line."""

    def __init__(self, files, *, md5=True, sticky=False, split=False, wrap=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.files, self.md5, self.sticky, self.split, self.wrap = files, md5, sticky, split, wrap

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            if self.wrap is not None:
                conn = self.wrap(conn)
            conn.settimeout(20)
            try:
                while data := conn.recv(1024):
                    self.answer(conn, data)
            except OSError:
                pass
            conn.close()

    def answer(self, conn, data):
        _, name = data.decode().split()
        if name not in self.files:
            return
        body = self.files[name]
        conn.send(str(len(body)).encode())
        conn.recv(1024)
        digest = hashlib.md5(body).hexdigest().encode() if self.md5 else b""
        if self.sticky:
            conn.sendall(body + digest)
            return
        if self.split:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = body.splitlines(keepends=True)
        for line in lines:
            conn.sendall(line)
        for piece in [digest[:7], digest[7:]] if self.split else [digest]:
            conn.sendall(piece)


GET = textwrap.dedent("""
    import sys
    from twisted.internet import task
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
    from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
    from twisted_xfer.errors import XferError
    from twisted_xfer.protocols.fetch import get

    def main(reactor):
        return Deferred.fromCoroutine(work(reactor))

    async def work(reactor):
        port, name, times, md5, within, ca = sys.argv[1:]
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
        if ca:
            root = trustRootFromCertificates([Certificate.loadPEM(open(ca).read())])
            endpoint = wrapClientTLS(optionsForClientTLS("localhost", trustRoot=root), endpoint)
        for number in range(int(times)):
            got, seen = [], []
            try:
                size = await get(endpoint, name.encode(), got.append, reactor, md5=md5 == "md5",
                                 within=float(within), quiet=0.01, progress=lambda n, of: seen.append(n))
            except XferError as error:
                sys.exit(error.code)
            assert size == sum(seen) == len(b"".join(got))
        open(3, "wb").write(b"".join(got))

    task.react(main)
""")


def run_get(port, tmp_path, name="data.bin", times=1, md5="md5", within="20", ca=""):
    """Exit message and the file that was got last."""
    out = tmp_path / "got"
    script = GET.replace("open(3,", f"open({str(out)!r},")
    args = [sys.executable, "-c", script, str(port), name, str(times), md5, within, ca]
    done = subprocess.run(args, capture_output=True, text=True, timeout=100, check=False)
    return done.stderr.strip(), out.read_bytes() if out.exists() else None


@pytest.mark.parametrize("way", [{}, {"sticky": True}, {"split": True}], ids=["lines", "sticky", "split"])
def test_our_client_gets_from_the_scripts(tmp_path, way):
    """200 of 200, however digest and file are merged or split."""
    server = ServerPy({"data.bin": DATA}, **way)
    server.start()
    assert run_get(server.port, tmp_path, times=TIMES) == ("", DATA)
    server.listener.close()


def test_our_client_without_a_digest(tmp_path):
    """The first version; and an empty file."""
    server = ServerPy({"data.bin": DATA, "empty": b""}, md5=False)
    server.start()
    assert run_get(server.port, tmp_path, md5="no") == ("", DATA)
    assert run_get(server.port, tmp_path, "empty", md5="no") == ("", b"")
    server.listener.close()


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    """As the scripts do for a missing file."""
    server = ServerPy({})
    server.start()
    assert run_get(server.port, tmp_path, within="0.3") == ("timeout", None)
    server.listener.close()


def test_our_client_with_our_server(server, tmp_path):
    """A missing file is told at once."""
    assert run_get(server[0][1], tmp_path) == ("", DATA)
    assert run_get(server[0][1], tmp_path, "nothing")[0] == "not_found"


def test_our_client_in_tls(server, tmp_path, authority):
    """Through the ssl: endpoint."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert run_get(server[1][1], tmp_path, ca=str(tmp_path / "ca.pem")) == ("", DATA)
