"""FTPS against a real daemon: what attackers and networks do, and certificates that change."""

import contextlib
import ftplib
import io
import json
import os
import signal
import socket
import ssl
import struct
import time

import pytest
from cryptography import x509

from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

LOOPBACK = "interface=127.0.0.1"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SECONDS = 20
BODY = os.urandom(3_000_000)


@pytest.fixture
def place(tmp_path):
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


def wait_for(condition):
    """Poll; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


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


def test_what_stands_behind_auth_closes_the_connection(place):
    """Commands smuggled in front of the handshake are never taken for the client's (CVE-2011-0411)."""
    with daemon(place) as running:
        with plain(running) as connection:
            connection.sendall(b"AUTH TLS\r\nUSER mallory\r\n")
            assert connection.recv(1000) == b""
        wait_for(lambda: len(events(place, "connection.injected")) == 1)


def test_what_follows_the_reply_in_clear_breaks_the_handshake(place):
    """Smuggled after the 234 it is no TLS record, and ends the connection unanswered."""
    with daemon(place) as running, plain(running) as connection:
        connection.sendall(b"AUTH TLS\r\n")
        assert connection.recv(1000).startswith(b"234 ")
        connection.sendall(b"USER mallory\r\n")
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(1000)
            assert b"331" not in answer
            assert connection.recv(1000) == b""


def test_auth_forgets_the_login_before_it(place):
    """User, directory and restart point from before the handshake count for nothing."""
    with daemon(place) as running:
        ftp = Client(context=context(place), timeout=SECONDS)
        ftp.connect("localhost", running.address("ftp")[1])
        for line in ("USER alice", "PASS secret", "MKD sub", "CWD sub", "TYPE I", "REST 7"):
            ftp.sendcmd(line)
        ftp.auth()
        with pytest.raises(ftplib.error_perm, match="530"):
            ftp.sendcmd("PWD")
        ftp.sendcmd("USER alice")
        ftp.sendcmd("PASS secret")
        assert ftp.pwd() == "/"
        ftp.close()


@pytest.mark.parametrize("policy", ["control", "both", "none"])
def test_login_in_clear(place, policy):
    """Where control connections must be in TLS, USER is refused before a password is asked for."""
    with daemon(place, f'[protocols.ftp]\nrequire_tls = "{policy}"') as running, plain(running) as connection:
        connection.sendall(b"USER alice\r\n")
        assert connection.recv(1000)[:3] == (b"331" if policy == "none" else b"530")


def test_account_that_wants_tls(place):
    """It is told before its password crosses the network; others are not bothered."""
    with (
        daemon(place, "[accounts.alice]\nrequire_tls = true") as running,
        plain(running) as connection,
    ):
        connection.sendall(b"USER alice\r\n")
        assert connection.recv(1000)[:3] == b"530"
        connection.sendall(b"USER bob\r\n")
        assert connection.recv(1000)[:3] == b"331"
        with session(place, running) as ftp:
            assert ftp.pwd() == "/"


@pytest.mark.parametrize("where", ["[protocols.ftp]", "[accounts.alice]"])
def test_data_in_clear(place, where):
    """Where data must be in TLS, by listener or account: 521 for a transfer, 534 for PROT C, and no file begun."""
    with daemon(place, f'{where}\nrequire_tls = "data"') as running:
        ftp = ftplib.FTP(timeout=SECONDS)
        ftp.connect("localhost", running.address("ftp")[1])
        ftp.login("alice", "secret")
        with pytest.raises(ftplib.error_perm, match="521"):
            ftp.storbinary("STOR f", io.BytesIO(b"x"))
        ftp.close()
        with session(place, running) as secure:
            with pytest.raises(ftplib.error_perm, match="534"):
                secure.prot_c()
            secure.storbinary("STOR g", io.BytesIO(b"x"))
        assert os.listdir(place / "root" / "alice") == ["g"]


@pytest.mark.parametrize("version", VERSIONS)
def test_protection_is_that_of_the_command(place, version):
    """PROT between EPSV and the data connection: as it is when the transfer command comes."""
    (place / "root" / "alice" / "f").write_bytes(BODY[:1000])
    with daemon(place) as running, session(place, running, version) as ftp:
        ftp.voidcmd("TYPE I")
        for level in ("C", "P"):
            ftp.voidcmd(f"PROT {'P' if level == 'C' else 'C'}")
            where = ftp.makepasv()
            ftp.voidcmd(f"PROT {level}")
            data = socket.create_connection(where, SECONDS)
            if level == "P":
                # Before the command, as some clients wait for it.
                data = ftp.context.wrap_socket(data, server_hostname="localhost", session=ftp.sock.session)
            with data, data.makefile("rb") as stream:
                assert ftp.sendcmd("RETR f").startswith("150")
                assert stream.read() == BODY[:1000]
            assert ftp.voidresp().startswith("226")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["require", "auto"])
def test_a_thief_on_the_data_port(place, version, mode):
    """A TLS session of somebody else's gets nothing, and gives nothing, on a client's data port."""
    (place / "root" / "alice" / "secret.bin").write_bytes(BODY)
    with (
        daemon(place, f'[protocols.ftp]\ntls_resumption = "{mode}"') as running,
        session(place, running, version) as ftp,
    ):
        back = io.BytesIO()
        ftp.retrbinary("RETR secret.bin", back.write)
        assert back.getvalue() == BODY
        ftp.voidcmd("TYPE I")
        host, port = ftp.makepasv()
        raw = socket.create_connection((host, port), SECONDS)
        # From the right address, with good TLS, even with a session: of another control connection.
        thief = Client(context=ftp.context, timeout=SECONDS)
        thief.connect("localhost", running.address("ftp")[1])
        thief.auth()
        thief.sendcmd("NOOP")
        ftp.putcmd("RETR secret.bin")
        stolen = ftp.context.wrap_socket(raw, server_hostname="localhost", session=thief.sock.session)
        assert not stolen.session_reused
        assert ftp.getline().startswith("150")
        # In mode auto its login is waited for until it has gone: it might be the same client's.
        thief.close()
        with pytest.raises(ftplib.error_perm, match=r"522.*not resumed"):
            ftp.getresp()
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert stolen.recv(100) == b""
        stolen.close()
        # The client itself goes on.
        ftp.storbinary("STOR up", io.BytesIO(b"mine"))
        assert (place / "root" / "alice" / "up").read_bytes() == b"mine"


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("label", ["ftp", "ftps"])
def test_auto_and_a_cache_of_sessions_for_several_connections(place, label, version, same):
    """A client that offers what it got from a control connection on its way to log in is no thief (rclone)."""
    (place / "root" / "alice" / "f").write_bytes(BODY)
    config = '[protocols.ftps]\ntls_resumption = "auto"'
    with daemon(place, config) as running, session(place, running, version, label) as ftp:
        assert ftp.nlst() == ["f"]
        second = CLIENTS[label](context=ftp.context, timeout=SECONDS)
        second.connect("localhost", running.address(label)[1])
        if label == "ftp":
            second.auth()
        # The tickets of TLS 1.3 come with the first reply in TLS.
        second.sendcmd("NOOP")
        ftp.voidcmd("TYPE I")
        ftp.offered = second.sock.session
        # Its handshake done, the data connection was held against the control connection.
        data = ftp.transfercmd("RETR f")
        assert not data.session_reused
        if same:
            second.login("alice", "secret")
            got = bytearray()
            while piece := data.recv(1 << 16):
                got += piece
            data.unwrap()
            data.close()
            ftp.voidresp()
            assert got == BODY
        else:
            second.close()
            with pytest.raises(ftplib.error_perm, match="522"):
                ftp.voidresp()
            data.close()
        second.close()


def test_auto_bears_with_a_client_that_never_resumes(place):
    """Nothing is demanded of who has not shown that it can."""
    with daemon(place) as running, session(place, running) as ftp:
        ftp.offered = None
        for n in range(3):
            ftp.storbinary(f"STOR f{n}", io.BytesIO(BODY))
        assert len(os.listdir(place / "root" / "alice")) == 3


def cut(connection, how):
    """End the TCP connection without close_notify: orderly, or by a reset."""
    raw = connection.detach() if hasattr(connection, "detach") else connection.fileno()
    sock = socket.socket(fileno=raw)
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("how", ["orderly", "reset"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_cut_upload_is_no_file(place, version, how):
    """TCP ends, TLS does not: 426, no file for anybody else, and the part is there to be resumed."""
    with daemon(place) as running, session(place, running, version) as ftp:
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("STOR f")
        data.sendall(BODY[:1_000_000])
        cut(data, how)
        with pytest.raises(ftplib.error_temp, match="426"):
            ftp.voidresp()
        assert not (place / "root" / "alice" / "f").exists()
        if how == "reset":
            return
        wait_for(lambda: events(place, "upload.truncated"))
        assert ftp.size("f") == 1_000_000
        ftp.storbinary("STOR f", io.BytesIO(BODY[1_000_000:]), rest=1_000_000)
        assert (place / "root" / "alice" / "f").read_bytes() == BODY


@pytest.mark.parametrize(("announced", "complete"), [(999_999, False), (1_000_000, True), (1_000_001, False)])
def test_an_announced_size_makes_up_for_close_notify(place, announced, complete):
    """After ALLO, exactly so many bytes are a whole file; one more or less is none."""
    with daemon(place) as running, session(place, running) as ftp:
        ftp.voidcmd("TYPE I")
        ftp.voidcmd(f"ALLO {announced}")
        data = ftp.transfercmd("STOR f")
        data.sendall(BODY[:1_000_000])
        cut(data, "orderly")
        if complete:
            ftp.voidresp()
        else:
            with pytest.raises(ftplib.error_temp, match="426"):
                ftp.voidresp()
        assert (place / "root" / "alice" / "f").exists() is complete


def test_clients_on_the_list_need_no_close_notify(place):
    """By the name that CLNT gave, and only that."""
    with daemon(place, '[protocols.ftp]\ntls_no_close_notify = ["oldcam*"]') as running:
        for name, complete in (("OldCam 1.0", True), ("NewCam", False)):
            with session(place, running) as ftp:
                ftp.sendcmd(f"CLNT {name}")
                data = ftp.transfercmd(f"STOR {name[:3]}")
                data.sendall(b"picture")
                cut(data, "orderly")
                if complete:
                    ftp.voidresp()
                else:
                    with pytest.raises(ftplib.error_temp, match="426"):
                        ftp.voidresp()


@pytest.mark.parametrize("version", VERSIONS)
def test_certificate_replaced_under_a_running_transfer(place, version):
    """The transfer goes on to its last byte; who comes afterwards sees the new certificate."""
    # 1 GiB of which the disk holds both ends only.
    head, tail, size = os.urandom(1 << 20), os.urandom(1 << 20), 1 << 30
    with open(place / "root" / "alice" / "big", "wb") as big:
        big.write(head)
        big.seek(size - len(tail))
        big.write(tail)
    old = x509.load_pem_x509_certificate((place / "certificate.pem").read_bytes())
    with daemon(place) as running, session(place, running, version) as ftp:
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("RETR big")
        first = bytearray()
        while len(first) < len(head):
            first += data.recv(1 << 16)
        assert first[: len(head)] == head
        make_demo_certificate(str(place))
        running.signal(signal.SIGHUP)
        wait_for(lambda: "reloaded certificates" in running.output)
        with session(place, running, version) as other:
            seen = x509.load_der_x509_certificate(other.sock.getpeercert(binary_form=True))
            assert seen.serial_number != old.serial_number
        got, zeros, last = len(first), first.count(0) - head.count(0), b""
        while piece := data.recv(1 << 16):
            got += len(piece)
            zeros += piece.count(0)
            last = (last + piece)[-len(tail) :] if got > size - 2 * len(tail) else b""
        # close_notify came: without it recv() would have raised.
        data.unwrap()
        data.close()
        ftp.voidresp()
        assert got == size
        assert last == tail
        assert zeros == size - len(head) - len(tail) + tail.count(0)
        # And the old session goes on resuming.
        ftp.storbinary("STOR more", io.BytesIO(b"more"))


CCC = "[protocols.ftp]\nccc = true\n[timeouts]\nhandshake = 1.5"


@pytest.mark.parametrize("version", VERSIONS)
def test_ccc(place, version):
    """After close_notify from both ends the session goes on in clear, its login and its data kept."""
    with daemon(place, CCC) as running, session(place, running, version) as ftp:
        tls = ftp.sock.session
        ftp.ccc()
        assert ftp.sock.version() is None
        assert ftp.pwd() == "/"
        # Data connections stay in TLS and resume what the control connection had.
        ftp.offered = tls
        ftp.storbinary("STOR f", io.BytesIO(BODY))
        back = io.BytesIO()
        ftp.retrbinary("RETR f", back.write)
        assert back.getvalue() == BODY
        with pytest.raises(ftplib.error_perm, match="503"):
            ftp.sendcmd("AUTH TLS")
        assert ftp.quit().startswith("221")
    assert "Unhandled" not in running.output
    assert "Traceback" not in running.output


@pytest.mark.parametrize("then", ["silence", "a command in TLS", "a command in clear", "the end"])
def test_ccc_and_then(place, then):
    """Whatever is not close_notify ends the connection, and silence does at the deadline."""
    with daemon(place, CCC) as running, session(place, running) as ftp:
        assert ftp.sendcmd("CCC").startswith("200 ")
        if then == "a command in TLS":
            ftp.sock.sendall(b"NOOP\r\n")
        elif then == "a command in clear":
            with socket.socket(fileno=os.dup(ftp.sock.fileno())) as raw:
                raw.sendall(b"NOOP\r\n")
        elif then == "the end":
            ftp.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            last = ftp.sock.recv(1000)
            if then == "the end":
                # OpenSSL may say by an alert that close_notify was missing; in TLS 1.3 it looks like data.
                assert last[:3] in {b"", b"\x17\x03\x03"}
                last = last and ftp.sock.recv(1000)
            assert last == b""
    assert "Traceback" not in running.output


def test_ccc_with_the_next_command_in_the_same_segment(place):
    """What follows close_notify at once is a command in clear."""
    with daemon(place, CCC) as running:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(place).wrap_bio(incoming, outgoing, server_hostname="localhost")
        with plain(running) as connection:
            connection.sendall(b"AUTH TLS\r\n")
            connection.recv(1000)

            def step(act):
                """Run ``act`` with as much of the network as it needs."""
                while True:
                    try:
                        return act()
                    except ssl.SSLWantReadError:
                        if outgoing.pending:
                            connection.sendall(outgoing.read())
                        incoming.write(connection.recv(1 << 16))

            step(tls.do_handshake)
            for line in (b"USER alice", b"PASS secret", b"CCC"):
                tls.write(line + b"\r\n")
                answer = step(lambda: tls.read(1000))
            assert answer.startswith(b"200 ")
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()
            connection.sendall(outgoing.read() + b"PWD\r\n")
            got = b""
            while b"257 " not in got:
                piece = connection.recv(1 << 16)
                assert piece
                got += piece


def test_parked_handshakes_are_dropped_and_hold_nobody_up(place):
    """Clients that begin TLS and say nothing go at the deadline; others are served meanwhile."""
    with daemon(place, "[timeouts]\nhandshake = 1.5") as running:
        parked = []
        for label in ("ftp", "ftps"):
            connection = socket.create_connection(running.address(label), SECONDS)
            if label == "ftp":
                connection.recv(1000)
                connection.sendall(b"AUTH TLS\r\n")
                connection.recv(1000)
            parked.append(connection)
        with session(place, running, label="ftp") as ftp:
            ftp.storbinary("STOR f", io.BytesIO(b"x"))
        for connection in parked:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1000) == b""
            connection.close()


@pytest.mark.parametrize(
    ("offered", "accepted"), [(["ftp"], True), (["http/1.1"], False), (["h2", "ftp"], True)]
)
def test_alpn(place, offered, accepted):
    """Who offers protocols must offer ftp: a browser sent here by somebody gets no session (ALPACA)."""
    with daemon(place) as running:
        made = context(place)
        made.set_alpn_protocols(offered)
        with socket.create_connection(running.address("ftps"), SECONDS) as raw:
            if accepted:
                with made.wrap_socket(raw, server_hostname="localhost") as connection:
                    assert connection.selected_alpn_protocol() == "ftp"
                    assert connection.recv(1000).startswith(b"220 ")
            else:
                with pytest.raises((ssl.SSLError, ConnectionResetError)):
                    made.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "EHLO example"])
def test_foreign_verbs_within_tls(place, verb):
    """Another protocol's client within TLS gets nothing that it could take for an answer."""
    with (
        daemon(place) as running,
        socket.create_connection(running.address("ftps"), SECONDS) as raw,
        context(place).wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.recv(1000).startswith(b"220 ")
        connection.sendall(verb.encode() + b"\r\n")
        assert connection.recv(1000) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(place, version):
    """TLS 1.2 is the least."""
    made = context(place)
    made.minimum_version = ssl.TLSVersion.TLSv1
    made.maximum_version = version
    made.set_ciphers("ALL:@SECLEVEL=0")
    with (
        daemon(place) as running,
        socket.create_connection(running.address("ftps"), SECONDS) as raw,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        made.wrap_socket(raw, server_hostname="localhost")
