"""Scripts as the tutorial has them, with plain sockets, against our receiver and our sender."""

import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import trustme

from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

TIMES = 200
SEPARATOR = "<SEPARATOR>"
CSV = b"1,2,3\n4,5,6\n" * 700


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    """A daemon with the receiver in clear and in TLS, and the directory where alice's files are."""
    top = tmp_path_factory.mktemp("push")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(top / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(top / "cert.pem"))
    root = top / "root"
    root.mkdir()
    tls = f"ssl:0:interface=127.0.0.1:privateKey={top / 'key.pem'}:certKey={top / 'cert.pem'}"
    args = ["--root", str(root), "--listen", "push@alice=tcp:0:interface=127.0.0.1"]
    with Daemon([*args, "--listen", f"push@alice={tls}"]) as daemon:
        yield daemon, root / "alice"


def wait_for(condition, seconds=20.0):
    """Poll until ``condition()`` is true; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


def sender_py(filename, payload, where, connect=socket.create_connection):
    """The tutorial's sender: a header, at once the file in blocks of 4096, and the end."""
    s = connect(where, 20)
    s.send(f"{filename}{SEPARATOR}{len(payload)}".encode())
    for at in range(0, len(payload), 4096):
        s.sendall(payload[at : at + 4096])
    if isinstance(s, ssl.SSLSocket):
        # Unread session tickets would make the close a reset, which may overtake the file.
        s = s.unwrap()
    s.close()


@pytest.mark.parametrize("payload", [CSV, os.urandom(9000), b""], ids=["csv", "binary", "empty"])
def test_the_tutorials_sender_always_works(server, payload):
    """Header and file stick together as they like: none of 200 files is lost."""
    daemon, home = server
    where = daemon.addresses("push@alice")[0][:2]
    tag = f"{len(payload)}-{payload[:1].hex()}"
    for number in range(TIMES):
        sender_py(f"/home/bob/{tag}-{number}", payload, where)
    wait_for(lambda: len(list(home.glob(f"{tag}-*"))) == TIMES)
    assert {path.read_bytes() for path in home.glob(f"{tag}-*")} == {payload}


def test_split_reads_are_put_together(server):
    """Each byte of the header in a segment of its own."""
    daemon, home = server
    for number in range(20):
        with socket.create_connection(daemon.addresses("push@alice")[0][:2], 20) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in f"split-{number}{SEPARATOR}{len(CSV)}".encode():
                s.send(bytes([byte]))
            s.sendall(CSV)
    wait_for(lambda: len(list(home.glob("split-*"))) == 20)
    assert {path.read_bytes() for path in home.glob("split-*")} == {CSV}


def test_a_cut_push_leaves_nothing(server):
    """Fewer bytes than announced: no file."""
    daemon, home = server
    where = daemon.addresses("push@alice")[0][:2]
    with socket.create_connection(where, 20) as s:
        s.sendall(f"cut{SEPARATOR}1000".encode() + b"x" * 500)
    sender_py("after-cut", b"x", where)
    wait_for((home / "after-cut").exists)
    assert not (home / "cut").exists()


def test_the_tutorials_sender_in_tls(server, authority):
    """The same through an ssl: endpoint."""
    daemon, home = server
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def connect(where, timeout):
        return context.wrap_socket(socket.create_connection(where, timeout), server_hostname="localhost")

    sender_py("tls", CSV, daemon.addresses("push@alice")[1][:2], connect)
    wait_for((home / "tls").exists)
    assert (home / "tls").read_bytes() == CSV


# --- our sender ----------------------------------------------------------------------------


class ReceiverPy(threading.Thread):
    """The tutorial's receiver, in a loop: what one recv gives is the header, the rest is the file."""

    def __init__(self, times, wrap=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.times = times
        self.wrap = wrap
        self.received = []
        self.failed = 0

    def run(self):
        for _ in range(self.times):
            client, _ = self.listener.accept()
            if self.wrap is not None:
                client = self.wrap(client)
            try:
                filename, filesize = client.recv(4096).decode().split(SEPARATOR)
                filesize = int(filesize)
                data = b""
                while block := client.recv(4096):
                    data += block
                self.received.append((os.path.basename(filename), filesize, data))
            except ValueError:
                self.failed += 1
            client.close()
        self.listener.close()


SEND = textwrap.dedent("""
    import io, sys
    from twisted.internet import task
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
    from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
    from twisted_xfer.protocols.push import send

    def main(reactor):
        return Deferred.fromCoroutine(work(reactor))

    async def work(reactor):
        payload = open(sys.argv[2], "rb").read()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(sys.argv[1]))
        if len(sys.argv) > 4:
            root = trustRootFromCertificates([Certificate.loadPEM(open(sys.argv[4]).read())])
            endpoint = wrapClientTLS(optionsForClientTLS("localhost", trustRoot=root), endpoint)
        for number in range(int(sys.argv[3])):
            seen = []
            await send(endpoint, b"file-%d" % number, len(payload), io.BytesIO(payload).read, reactor,
                       within=20, progress=seen.append)
            assert sum(seen) == len(payload)
        print("sent")

    task.react(main)
""")


def run_sender(port, payload, times, directory, *more):
    file = directory / "payload"
    file.write_bytes(payload)
    args = [sys.executable, "-c", SEND, str(port), str(file), str(times), *more]
    return subprocess.run(args, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("payload", [CSV, os.urandom(9000)], ids=["csv", "binary"])
def test_the_tutorials_receiver_always_works(tmp_path, payload):
    """The header arrives alone, 200 times of 200: the receiver's own sender manages half."""
    receiver = ReceiverPy(TIMES)
    receiver.start()
    done = run_sender(receiver.port, payload, TIMES, tmp_path)
    assert done.stdout == "sent\n", done.stderr
    receiver.join(20)
    assert receiver.failed == 0
    assert receiver.received == [(f"file-{number}", len(payload), payload) for number in range(TIMES)]


def test_our_sender_in_tls(tmp_path, authority):
    """To a receiver behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    receiver = ReceiverPy(1, lambda client: context.wrap_socket(client, server_side=True))
    receiver.start()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    done = run_sender(receiver.port, CSV, 1, tmp_path, str(tmp_path / "ca.pem"))
    assert done.stdout == "sent\n", done.stderr
    receiver.join(20)
    assert receiver.received == [("file-0", len(CSV), CSV)]


def test_our_sender_to_our_receiver(server, tmp_path):
    """The close is the receipt: when it came, the file is there."""
    daemon, home = server
    done = run_sender(daemon.addresses("push@alice")[0].port, CSV * 20, 1, tmp_path)
    assert done.stdout == "sent\n", done.stderr
    assert (home / "file-0").read_bytes() == CSV * 20


def test_a_receiver_that_dies_is_noticed(tmp_path):
    """It closes after the header: the sender fails, and says what it is."""
    listener = socket.create_server(("127.0.0.1", 0))

    def die():
        client, _ = listener.accept()
        client.recv(10)
        client.close()

    threading.Thread(target=die, daemon=True).start()
    done = run_sender(listener.getsockname()[1], CSV * 100, 1, tmp_path)
    listener.close()
    assert done.returncode == 1
    assert "ConnectionLost" in done.stderr
