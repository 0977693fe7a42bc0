"""FTPS clients that park, smuggle, mistake us for somebody else or break off, against one real daemon."""

import contextlib
import ftplib
import io
import itertools
import os
import random
import socket
import ssl
import time

import pytest

from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

LOOPBACK = "interface=127.0.0.1"
SECONDS = 20
#: Long enough for honest handshakes on a slow machine, short enough to wait for.
HANDSHAKE = 2
CONTENT = random.Random(3).randbytes(300_000)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_numbers = itertools.count()


class Site:
    """The daemon and how to reach it."""

    def __init__(self, base):
        self.home = base / "root" / "alice"
        self.home.mkdir(parents=True)
        self.certificate, key = make_demo_certificate(str(base))
        config = base / "xfer.toml"
        config.write_text(
            f"""
root = "root"
listen = ["ftp=tcp:0:{LOOPBACK}", "ftps=tcp:0:{LOOPBACK}"]
auth = ["memory:alice:secret"]
tls = {{ certificate = "{self.certificate}", key = "{key}" }}
timeouts = {{ handshake = {HANDSHAKE} }}
"""
        )
        self.daemon = Daemon(["--config", str(config)])

    def context(self, version="1.3"):
        made = ssl.create_default_context(cafile=self.certificate)
        made.minimum_version = made.maximum_version = VERSIONS[version]
        return made

    def raw(self, label="ftp"):
        """A connection; that of ``ftp`` has been greeted."""
        made = socket.create_connection(self.daemon.address(label), SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if label == "ftp":
            assert made.recv(1000).startswith(b"220 ")
        return made

    @contextlib.contextmanager
    def session(self, version="1.3"):
        """A session with PROT P and TYPE I."""
        ftp = ftplib.FTP_TLS(context=self.context(version), timeout=SECONDS)
        ftp.connect("localhost", self.daemon.address("ftp")[1])
        try:
            ftp.login("alice", "secret")
            ftp.prot_p()
            ftp.voidcmd("TYPE I")
            yield ftp
        finally:
            ftp.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One daemon for all, which must have nothing to complain of in the end."""
    made = Site(tmp_path_factory.mktemp("hostile"))
    with made.daemon as daemon:
        yield made
        with made.session() as ftp:
            assert ftp.pwd() == "/"
        assert "Traceback" not in daemon.output
        assert "Unhandled" not in daemon.output


def rest(connection):
    """All that comes until the end, which a reset may be."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            got += piece
    return got


SMUGGLED = b"USER alice\r\nPASS secret\r\nSYST\r\n"


@pytest.mark.parametrize("cut", range(len(b"AUTH TLS\r\n"), len(b"AUTH TLS\r\n" + SMUGGLED) + 1, 3))
def test_injection_behind_auth_in_two_segments(site, cut):
    """Wherever the border of the segments is, nothing in clear behind AUTH is taken for a command."""
    sent = b"AUTH TLS\r\n" + SMUGGLED
    with site.raw() as connection:
        connection.sendall(sent[:cut])
        answered = cut == len(b"AUTH TLS\r\n")
        if answered:
            assert connection.recv(1000).startswith(b"234 ")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent[cut:])
        got = rest(connection)
        assert b"331" not in got
        assert b"230" not in got
        assert b"215" not in got


def test_injection_behind_auth_byte_by_byte(site):
    """The kernel joins what it likes; nothing is taken for a command all the same."""
    with site.raw() as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for byte in b"AUTH TLS\r\n" + SMUGGLED:
                connection.sendall(bytes([byte]))
        got = rest(connection)
        for code in (b"331", b"230", b"215", b"530"):
            assert code not in got


@pytest.mark.parametrize("within", ["clear", "tls"])
@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1", "POST /x HTTP/1.1", "HEAD / HTTP/1.0", "PUT /x HTTP/1.1", "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0", "LHLO example.org", "STARTTLS",
        "EHLO example.org", "HELO example.org", "MAIL FROM:<a@example.org>",
    ],
)  # fmt: skip
def test_other_protocols_before_login(site, line, within):
    """A browser or a mailer that was made to talk to us hears nothing, and its next lines are not read."""
    with site.raw("ftps" if within == "tls" else "ftp") as raw:
        connection = raw
        if within == "tls":
            connection = site.context().wrap_socket(raw, server_hostname="localhost")
            assert connection.recv(1000).startswith(b"220 ")
        connection.sendall(line.encode() + b"\r\nUSER alice\r\nPASS secret\r\n")
        assert rest(connection) == b""
        connection.close()


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"], ["ftps"], ["FTP"]])
@pytest.mark.parametrize("label", ["ftp", "ftps"])
def test_alpn_without_ftp(site, label, offered):
    """Explicit and implicit: no session for who wants another protocol."""
    made = site.context()
    made.set_alpn_protocols(offered)
    with site.raw(label) as raw:
        if label == "ftp":
            raw.sendall(b"AUTH TLS\r\n")
            assert raw.recv(1000).startswith(b"234 ")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            made.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_parked_handshakes_on_both_channels(site, said):
    """Nothing, a byte, half a hello: at the deadline they go, and the rest of the world never waited."""
    began = time.monotonic()
    parked = []
    for label in ("ftp", "ftps"):
        connection = site.raw(label)
        if label == "ftp":
            connection.sendall(b"AUTH TLS\r\n")
            assert connection.recv(1000).startswith(b"234 ")
        connection.sendall(said)
        parked.append(connection)
    with site.session() as ftp:
        # Once for a transfer that waits for it, once for none.
        host, port = ftp.makepasv()
        with socket.create_connection((host, port), SECONDS) as data:
            data.sendall(said)
            name = f"f{next(_numbers)}"
            ftp.putcmd(f"STOR {name}")
            with site.session() as other:
                other.storbinary(f"STOR {name}-other", io.BytesIO(b"x"))
            assert ftp.getresp().startswith("150")
            with pytest.raises(ftplib.error_perm, match="522 "):
                ftp.getresp()
        with socket.create_connection(ftp.makepasv(), SECONDS) as data:
            data.sendall(said)
            ftp.voidcmd("NOOP")
        assert not (site.home / name).exists()
        ftp.storbinary(f"STOR {name}", io.BytesIO(CONTENT))
        assert (site.home / name).read_bytes() == CONTENT
    for connection in parked:
        assert rest(connection) == b""
        connection.close()
    assert time.monotonic() - began >= HANDSHAKE


def encrypted_upload(site, version, raw):
    """The records of CONTENT and of close_notify, as sent on a data connection with its handshake done."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = site.context(version).wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(1 << 16))
    raw.sendall(outgoing.read())
    tls.write(CONTENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()
    return outgoing.read()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(6))
def test_an_upload_cut_at_a_random_byte(site, version, seed):
    """426, no file of that name for anybody, and a part that begins as the content does."""
    with site.session(version) as ftp:
        name = f"f{next(_numbers)}"
        with socket.create_connection(ftp.makepasv(), SECONDS) as data:
            ftp.putcmd(f"STOR {name}")
            records = encrypted_upload(site, version, data)
            # From the first byte to the last but one of close_notify.
            cut = (0, len(records) - 1, *(random.Random(n).randrange(len(records)) for n in range(4)))[seed]
            data.sendall(records[:cut])
            data.shutdown(socket.SHUT_WR)
            assert ftp.getresp().startswith("150")
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.getresp()
        assert not (site.home / name).exists()
        # What is kept to be resumed is content and nothing else.
        with contextlib.suppress(ftplib.error_perm):
            part = ftp.size(name)
            ftp.storbinary(f"STOR {name}", io.BytesIO(CONTENT[part:]), rest=part)
            assert (site.home / name).read_bytes() == CONTENT


@pytest.mark.parametrize("version", VERSIONS)
def test_plaintext_on_a_protected_data_connection(site, version):
    """Instead of a handshake: 522. In mid-upload: 426. The bytes end in no file."""
    with site.session(version) as ftp:
        name = f"f{next(_numbers)}"
        with socket.create_connection(ftp.makepasv(), SECONDS) as data:
            ftp.putcmd(f"STOR {name}")
            data.sendall(b"in clear, as after PROT C")
            assert ftp.getresp().startswith("150")
            with pytest.raises(ftplib.error_perm, match="522"):
                ftp.getresp()
        with socket.create_connection(ftp.makepasv(), SECONDS) as data:
            ftp.putcmd(f"STOR {name}")
            records = encrypted_upload(site, version, data)
            data.sendall(records[:20_000] + b"in clear" + records[20_000:])
            assert ftp.getresp().startswith("150")
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.getresp()
        assert not (site.home / name).exists()
        assert not any(b"in clear" in path.read_bytes() for path in site.home.rglob("*") if path.is_file())


def test_renegotiation_of_the_control_connection(site):
    """A client of TLS 1.2 gets no second handshake; others are served meanwhile."""
    from OpenSSL import SSL

    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with site.raw("ftps") as raw:
        raw.settimeout(None)
        client = SSL.Connection(context, raw)
        client.set_connect_state()
        client.do_handshake()
        assert client.recv(1000).startswith(b"220 ")
        assert client.renegotiate()
        with pytest.raises(SSL.Error):
            client.do_handshake()
        assert client.total_renegotiations() <= 1
    with site.session("1.2") as ftp:
        assert ftp.pwd() == "/"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_in_tls_that_reads_late(site, version):
    """Replies that its socket does not take wait in order, and none is lost or sent twice."""
    count = 3000
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(SECONDS)
        raw.connect(site.daemon.address("ftps"))
        with site.context(version).wrap_socket(raw, server_hostname="localhost") as connection:
            stream = connection.makefile("rb")
            assert stream.readline().startswith(b"220 ")
            connection.sendall(b"USER alice\r\nPASS secret\r\n" + b"STAT\r\nNOOP\r\n" * count + b"PWD\r\n")
            codes = []
            while not codes or codes[-1] != b"257":
                line = stream.readline()
                assert line
                if line[:3].isdigit() and line[3:4] == b" ":
                    codes.append(line[:3])
            assert codes == [b"331", b"230", *([b"211", b"200"] * count), b"257"]
            connection.sendall(b"QUIT\r\n")
            assert stream.readline().startswith(b"221 ")


def test_nothing_is_left_in_the_home(site):
    """Of all that broke off above only whole files and parts are there."""
    for path in site.home.iterdir():
        assert os.path.getsize(path) in {0, 1, len(CONTENT)} or path.name.startswith(".")
