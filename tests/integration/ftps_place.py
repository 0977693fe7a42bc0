"""What the tests of FTPS share: a daemon with a certificate, and clients that resume their sessions."""

import contextlib
import ftplib
import json
import os
import socket
import ssl

from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

LOOPBACK = "interface=127.0.0.1"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SECONDS = 20
BODY = os.urandom(3_000_000)


def prepared(tmp_path):
    """Root with alice's home, a certificate, and where events go."""
    (tmp_path / "root" / "alice").mkdir(parents=True)
    make_demo_certificate(str(tmp_path))
    return tmp_path


def daemon(place, options="", *arguments):
    """A daemon that requires nothing unless told to, its events in a file."""
    config = place / "xfer.toml"
    config.write_text(
        f"""
root = "root"
listen = ["ftp=tcp:0:{LOOPBACK}", "ftps=tcp:0:{LOOPBACK}"]
auth = ["memory:alice:secret"]
tls = {{ certificate = "certificate.pem", key = "key.pem" }}
listeners = [{{ plugin = "json", path = "{place}/events.jsonl" }}]
{options}
"""
    )
    return Daemon(["--config", str(config), *arguments])


def events(place, event_id):
    """What was told of that kind."""
    lines = (place / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event_id in (event.get("id"), event.get("event"))]


def context(place, version="1.3"):
    made = ssl.create_default_context(cafile=place / "certificate.pem")
    made.minimum_version = made.maximum_version = VERSIONS[version]
    return made


class Client(ftplib.FTP_TLS):
    """Resumes its control connection's session; ``offered`` is another one, or None."""

    offered = "own"

    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session if self.offered == "own" else self.offered
            connection = self.context.wrap_socket(connection, server_hostname=self.host, session=session)
        return connection, size


class ImplicitClient(Client):
    """TLS from the first byte."""

    _sock = None

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, value):
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname=self.host)
        self._sock = value


CLIENTS = {"ftp": Client, "ftps": ImplicitClient}


@contextlib.contextmanager
def session(place, running, version="1.3", label="ftp"):
    ftp = CLIENTS[label](context=context(place, version), timeout=SECONDS)
    ftp.connect("localhost", running.address(label)[1])
    try:
        ftp.login("alice", "secret")
        ftp.prot_p()
        yield ftp
    finally:
        ftp.close()


def plain(running):
    """A bare connection that has been greeted."""
    connection = socket.create_connection(running.address("ftp"), SECONDS)
    assert connection.recv(1000).startswith(b"220 ")
    return connection
