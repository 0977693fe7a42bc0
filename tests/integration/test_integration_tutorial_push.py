"""Scripts as the tutorial has them, with plain sockets, against our receiver and our sender."""

import os
import random
import socket
import threading

import pytest
from tutorial_support import SEED, TIMES, Wire, run_ours, serve, tls_connect, tls_wrapper, wait_for

pytestmark = pytest.mark.integration

SEPARATOR = "<SEPARATOR>"
BUFFER_SIZE = 4096
CSV = b"1,2,3\n4,5,6\n" * 700
BINARY = random.Random(SEED).randbytes(9000)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A daemon with the receiver in clear and in TLS, for alice."""
    yield from serve(tmp_path_factory, "push@alice")


def sender_py(filename, payload, where, connect=socket.create_connection):
    """The tutorial's sender: a header, at once the file in blocks of 4096, and the end."""
    s = connect(where)
    s.send(f"{filename}{SEPARATOR}{len(payload)}".encode())
    for at in range(0, len(payload), BUFFER_SIZE):
        s.sendall(payload[at : at + BUFFER_SIZE])
    s.close()


@pytest.mark.parametrize("payload", [CSV, BINARY, b""], ids=["csv", "binary", "empty"])
def test_the_tutorials_sender_always_works(server, payload):
    """Header and file stick together as they like: none of 200 files is lost."""
    tag = f"{len(payload)}-{payload[:1].hex()}"
    for number in range(TIMES):
        sender_py(f"/home/bob/{tag}-{number}", payload, server.address("push@alice"))
    wait_for(lambda: len(list(server.home.glob(f"{tag}-*"))) == TIMES)
    assert {path.read_bytes() for path in server.home.glob(f"{tag}-*")} == {payload}


@pytest.mark.parametrize("merged", [True, False])
def test_merged_and_split_reads(server, merged):
    """200 files, header and file in one read or in pieces of a few bytes; the worst begin with digits."""
    rng = random.Random(SEED)
    files = {}
    with Wire(server.address("push@alice"), "server", (lambda held: False) if merged else None) as wire:
        for number in range(TIMES):
            digits = b"%d" % rng.randrange(10 ** rng.randint(1, 12)) if number % 2 else b""
            payload = digits + rng.randbytes(rng.choice([0, 1, 5, 300, 5000]))
            files[f"{merged}-{number}"] = payload
            sender_py(f"{merged}-{number}", payload, wire.address)
        wait_for(lambda: len(list(server.home.glob(f"{merged}-*"))) == TIMES)
    assert {name: (server.home / name).read_bytes() for name in files} == files


def test_a_cut_push_leaves_nothing(server):
    """Fewer bytes than announced: no file."""
    where = server.address("push@alice")
    with socket.create_connection(where, 20) as s:
        s.sendall(f"cut{SEPARATOR}1000".encode() + b"x" * 500)
    sender_py("after-cut", b"x", where)
    wait_for((server.home / "after-cut").exists)
    assert not (server.home / "cut").exists()


def test_the_tutorials_sender_in_tls(server):
    """The same through an ssl: endpoint, 200 times."""

    class Polite:
        """Unread session tickets would make the script's close a reset, which may overtake the file."""

        def __init__(self, where):
            self.tls = tls_connect(server, "push@alice")
            self.send, self.sendall = self.tls.send, self.tls.sendall

        def close(self):
            self.tls.unwrap().close()

    for number in range(TIMES):
        sender_py(f"tls-{number}", CSV, None, Polite)
    wait_for(lambda: len(list(server.home.glob("tls-*"))) == TIMES)
    assert {path.read_bytes() for path in server.home.glob("tls-*")} == {CSV}


# --- our sender ------------------------------------------------------------------------------


class ReceiverPy(threading.Thread):
    """The tutorial's receiver, one for each connection: what one recv gives is the header, the rest is the file."""

    def __init__(self, times, wrap=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.times = times
        self.wrap = wrap
        self.received = []
        self.failed = 0

    def run(self):
        receivers = []
        for _ in range(self.times):
            client, _ = self.listener.accept()
            receivers.append(threading.Thread(target=self.receive, args=[client], daemon=True))
            receivers[-1].start()
        self.listener.close()
        for receiver in receivers:
            receiver.join(20)

    def receive(self, client):
        if self.wrap is not None:
            client = self.wrap(client)
        try:
            filename, filesize = client.recv(BUFFER_SIZE).decode().split(SEPARATOR)
            filesize = int(filesize)
            data = b""
            while block := client.recv(BUFFER_SIZE):
                data += block
            self.received.append((os.path.basename(filename), filesize, data))
        except ValueError:
            self.failed += 1
        client.close()


SEND = """
    from twisted_xfer.protocols.push import send

    from twisted.internet.defer import gatherResults

    async def some(reactor, port, payload, numbers, ca):
        for number in numbers:
            seen = []
            await send(endpoint(reactor, port, ca), b"file-%d" % number, len(payload), io.BytesIO(payload).read,
                       reactor, within=20, progress=seen.append)
            assert sum(seen) == len(payload)

    async def work(reactor, port, path, times, ca):
        payload = open(path, "rb").read()
        numbers = range(int(times))
        await gatherResults([Deferred.fromCoroutine(some(reactor, port, payload, numbers[first::20], ca))
                             for first in numbers[:20]])
        print("sent")
"""


def send(port, payload, times, directory, ca=""):
    file = directory / "payload"
    file.write_bytes(payload)
    return run_ours(SEND, port, file, times, ca)


@pytest.mark.parametrize("payload", [CSV, BINARY], ids=["csv", "binary"])
def test_the_tutorials_receiver_always_works(tmp_path, payload):
    """The header arrives alone, 200 times of 200: the receiver's own sender manages half."""
    receiver = ReceiverPy(TIMES)
    receiver.start()
    assert send(receiver.port, payload, TIMES, tmp_path) == (0, "sent", "")
    receiver.join(20)
    assert receiver.failed == 0
    assert sorted(receiver.received) == sorted(
        (f"file-{number}", len(payload), payload) for number in range(TIMES)
    )


def test_our_sender_in_tls(tmp_path):
    """To a receiver behind TLS, 200 times."""
    wrap, ca = tls_wrapper(tmp_path)
    receiver = ReceiverPy(TIMES, wrap)
    receiver.start()
    assert send(receiver.port, CSV, TIMES, tmp_path, ca) == (0, "sent", "")
    receiver.join(20)
    assert sorted(receiver.received) == sorted((f"file-{number}", len(CSV), CSV) for number in range(TIMES))


def test_our_sender_to_our_receiver(server, tmp_path):
    """The close is the receipt: when it came, the file is there."""
    assert send(server.address("push@alice")[1], CSV * 20, 1, tmp_path) == (0, "sent", "")
    assert (server.home / "file-0").read_bytes() == CSV * 20


def test_a_receiver_that_dies_is_noticed(tmp_path):
    """It closes after the header: the sender fails, and says what it is."""
    listener = socket.create_server(("127.0.0.1", 0))

    def die():
        client, _ = listener.accept()
        client.recv(10)
        client.close()

    threading.Thread(target=die, daemon=True).start()
    code, _, said = send(listener.getsockname()[1], CSV * 100, 1, tmp_path)
    listener.close()
    assert code == 1
    assert "ConnectionLost" in said
