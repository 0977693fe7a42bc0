"""FTPS against a real daemon: data connections in TLS, thieves, and uploads that are cut."""

import contextlib
import ftplib
import io
import os
import socket
import ssl
import struct

import pytest
from ftp_client import wait_for
from ftps_place import BODY, CLIENTS, SECONDS, VERSIONS, Client, daemon, events, prepared, session

pytestmark = pytest.mark.integration


@pytest.fixture
def place(tmp_path):
    """Root with alice's home, a certificate, and where events go."""
    return prepared(tmp_path)


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
