"""FTPS against a real daemon: what attackers do to the control connection, and certificates that change."""

import contextlib
import ftplib
import io
import os
import signal
import socket
import ssl

import pytest
from cryptography import x509
from ftp_client import wait_for
from ftps_place import BODY, SECONDS, VERSIONS, Client, context, daemon, events, plain, prepared, session

from twisted_xfer.app.tls import make_demo_certificate

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path):
    """Root with alice's home, a certificate, and where events go."""
    return prepared(tmp_path)


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
