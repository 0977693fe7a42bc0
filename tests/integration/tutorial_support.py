"""What the tests of the tutorial protocols share: a server, clients of ours in a process, and a wire that cuts.

The scripts in those tests are written as the articles have them, with plain sockets. What merges or
splits their bytes is ``Wire``, which stands between a script and us, so the scripts need no tricks.
"""

import contextlib
import os
import random
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time

import trustme

from twisted_xfer.testing.daemon import Daemon
from twisted_xfer.testing.server import XferServer, make_certificate

#: How often each way of merging and splitting is tried.
TIMES = 200
#: How many of those go on at a time: much of each is a wait, for the kernel or for silence.
AT_ONCE = 40
#: As many where a script has to read within the 20 ms that our side gives it: 40 threads of one process,
#: on a machine with other work, would not.
FEW = 10
SEED = 6
#: What ``data.bin`` holds.
DATA = os.urandom(300_000)


def serve(tmp_path_factory, *protocols, users=None, config=None):
    """A daemon that listens with ``protocols`` in clear and in TLS; to be used with ``yield from``."""
    directory = tmp_path_factory.mktemp("server")
    users = {"alice": "secret"} if users is None else users
    with XferServer(directory=directory, users=users, tls=True, protocols=protocols, config=config) as server:
        yield server


def connected(where):
    """A script's socket. Small messages in a row do not wait for delayed acknowledgements: 200 times 40 ms."""
    sock = socket.create_connection(where, 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def wait_for(condition, seconds=20.0):
    """Poll until ``condition()`` is true; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


def tls_connect(server, protocol):
    """A socket in TLS, as ``ssl`` makes it, at one of a server's protocols."""
    plain = connected(server.address(protocol, tls=True))
    return server.ssl_context().wrap_socket(plain, server_hostname="localhost")


def tls_wrapper(directory):
    """What makes a script's accepted socket one in TLS, and the file that a client has to trust."""
    certificate = directory / "script.pem"
    make_certificate(certificate, directory / "script.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, directory / "script.key")
    return lambda client: context.wrap_socket(client, server_side=True), str(certificate)


# --- the wire ----------------------------------------------------------------------------------


def pieces(data, rng):
    """``data`` in pieces: small ones at both ends, where what matters stands, and a few in between."""
    ends = 48
    while data:
        near = len(data) <= 2 * ends
        size = rng.randint(1, 5) if near else min(rng.randint(1, 9), len(data))
        if not near and rng.random() < 0.2:
            size = len(data) - ends
        yield data[:size]
        data = data[size:]


class Wire(threading.Thread):
    """Forwards connections to ``target``; one direction is merged or split, the other left alone.

    ``toward`` is the side whose reads are shaped. With ``whole`` bytes are held until ``whole(held)``
    says that they are one message, or the end comes, and then sent at once; otherwise they are sent
    in pieces of a few bytes, by a generator that is seeded, so a failure can be repeated.
    """

    def __init__(self, target, toward, whole=None):
        super().__init__(daemon=True)
        self.target, self.toward, self.whole = target, toward, whole
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = self.listener.getsockname()
        self.random = random.Random(SEED)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target, 20)
            for end in (client, server):
                end.settimeout(30)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            rng = random.Random(self.random.random())
            both = [(client, server, self.toward == "server"), (server, client, self.toward == "client")]
            pumps = [threading.Thread(target=self.pump, args=(*way, rng), daemon=True) for way in both]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self.end, args=(pumps, client, server), daemon=True).start()

    def end(self, pumps, *sockets):
        for pump in pumps:
            pump.join()
        for end in sockets:
            end.close()

    def pump(self, source, sink, shaped, rng):
        held = b""
        try:
            while data := source.recv(65536):
                held += data
                if shaped and self.whole is not None and not self.whole(held):
                    continue
                split = shaped and self.whole is None
                for piece in pieces(held, rng) if split else [held]:
                    sink.sendall(piece)
                held = b""
            sink.sendall(held)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One end is gone: so is the other.
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


# --- our clients -------------------------------------------------------------------------------

_PROLOGUE = """
    import hashlib, io, sys, time
    from twisted.internet import task
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
    from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
    from twisted_xfer.errors import XferError
    from twisted_xfer.streams import drain

    # Ten times what it is: a script on a loaded machine may read later than 20 ms after its kernel has.
    drain.PAUSE = 0.2

    def endpoint(reactor, port, ca):
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
        if not ca:
            return endpoint
        root = trustRootFromCertificates([Certificate.loadPEM(open(ca).read())])
        return wrapClientTLS(optionsForClientTLS("localhost", trustRoot=root), endpoint)

    def main(reactor):
        return Deferred.fromCoroutine(work(reactor, *sys.argv[1:]))
"""


def run_ours(body, *arguments, within=110):
    """Run ``async def work(reactor, *arguments)`` of ``body`` in a process: exit code, output, errors."""
    script = textwrap.dedent(_PROLOGUE) + textwrap.dedent(body) + "\ntask.react(main)\n"
    words = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=within, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def serve_all(tmp_path_factory):
    """A daemon with all four, jsonftp in TLS too; alice has ``data.bin``. To be used with ``yield from``."""
    top = tmp_path_factory.mktemp("cli")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(top / "ca.pem"))
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(top / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(top / "cert.pem"))
    home = top / "root" / "alice"
    (home / "sub").mkdir(parents=True)
    (home / "data.bin").write_bytes(DATA)
    inside = "interface=127.0.0.1"
    tls = f"ssl:0:{inside}:privateKey={top / 'key.pem'}:certKey={top / 'cert.pem'}"
    config = top / "xfer.toml"
    config.write_text('[accounts.ro]\nrights = "read"\n[accounts.small]\nquota_bytes = 1000\n')
    words = ["--config", str(config)]
    for name in ("alice", "bob", "ro", "small"):
        words += ["--auth", f"memory:{name}:secret"]
    for place in ("push@alice", "push@ro", "fetch@alice", "jsonftp", "jim"):
        words += ["--listen", f"{place}=tcp:0:{inside}"]
    words += ["--listen", f"jsonftp={tls}"]
    with Daemon(["--root", str(top / "root"), *words]) as daemon:
        ports = {
            label: daemon.address(label)[1]
            for label in ("push@alice", "push@ro", "fetch@alice", "jsonftp", "jim")
        }
        ports["jsonftps"] = daemon.addresses("jsonftp")[1].port
        yield ports, home, top / "ca.pem"


def environment(directory, password="secret"):
    """Nothing of ours but a password and a configuration directory."""
    return {**os.environ, "XFER_PASSWORD": password, "XFER_CONFIG_DIR": str(directory)}
