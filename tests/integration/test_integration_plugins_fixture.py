"""The fixture ``xfer_server``, and every fault that it can be told, seen from a client."""

import ftplib
import io
import os
import socket
import ssl

import pytest

from twisted_xfer.testing.server import XferServer

pytestmark = pytest.mark.integration
pytest_plugins = ["pytester"]

DATA = bytes(range(256)) * 400
CUT = 5000


class Client(ftplib.FTP):
    """Logged in, binary."""

    def __init__(self, server):
        super().__init__(timeout=20)
        try:
            self.connect(server.host, server.port)
            self.login(server.user, server.password)
        except BaseException:
            self.close()
            raise

    def get(self, name="file"):
        """The whole reply, and what came before it."""
        pieces = []
        try:
            answer = self.retrbinary(f"RETR {name}", pieces.append)
        except (*ftplib.all_errors,) as error:
            answer = error
        return answer, b"".join(pieces)


@pytest.fixture
def ftp(xfer_server):
    (xfer_server.home / "file").write_bytes(DATA)
    with Client(xfer_server) as client:
        yield client


def test_a_marker_with_a_bare_argument_is_refused(pytester):
    """What is meant for a keyword is not passed over, so that no test runs without its fault."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.xfer_server({"download_cut_at": 3})
        def test_it(xfer_server):
            pass
        """
    )
    result = pytester.runpytest("-p", "twisted_xfer.testing.pytest_plugin")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*xfer_server takes keywords only, as in faults={...}*"])


def test_upload_and_events(xfer_server):
    """One line starts a server: where it is, who may log in, what it stored and what it told."""
    with Client(xfer_server) as ftp:
        ftp.storbinary("STOR a.txt", io.BytesIO(b"hello"))
    assert (xfer_server.home / "a.txt").read_bytes() == b"hello"
    assert xfer_server.wait_for("upload.complete", path="/a.txt")["bytes"] == 5
    assert xfer_server.url("/a b.txt") == f"ftp://alice:secret@127.0.0.1:{xfer_server.port}/a%20b.txt"
    host, port = xfer_server.address("xfer")
    assert xfer_server.url("a", scheme="xfer") == f"xfer://alice:secret@{host}:{port}/a"
    with pytest.raises(TimeoutError, match=r"login\.ok"):
        xfer_server.wait_for("login.failed", timeout=0)


@pytest.mark.xfer_server(protocols=["timeecho", "push@alice", "fetch@alice"], tls=True)
def test_places_are_found_by_their_protocol(xfer_server):
    """With the account that is listened for, and without."""
    assert xfer_server.address("push") == xfer_server.address("push@alice")
    assert xfer_server.address("fetch", tls=True) == xfer_server.address("fetch@alice", tls=True)
    assert len({xfer_server.address(name) for name in ("ftp", "timeecho", "push", "fetch")}) == 4
    assert xfer_server.url("a", scheme="push").endswith(f":{xfer_server.address('push')[1]}/a")


@pytest.mark.xfer_server(
    users={"b@b": "p/w", "carol": "c"}, config={"limits": {"per_user": 1}, "anonymous": "."}
)
def test_users_and_configuration(xfer_server):
    """Several users, names that a URL must quote, and any key of the configuration."""
    assert xfer_server.url("x").startswith("ftp://b%40b:p%2Fw@127.0.0.1:")
    with Client(xfer_server):
        with pytest.raises(ftplib.Error):
            Client(xfer_server)
        with ftplib.FTP(timeout=20) as anonymous:
            anonymous.connect(xfer_server.host, xfer_server.port)
            anonymous.login()
            assert sorted(anonymous.nlst()) == ["b@b", "carol"]


@pytest.mark.xfer_server(tls=True)
def test_tls_explicit_and_implicit(xfer_server):
    """With tls there is AUTH TLS and a port for implicit FTPS, and a context that trusts both."""
    with ftplib.FTP_TLS(context=xfer_server.ssl_context(), timeout=20) as ftps:
        ftps.connect(xfer_server.host, xfer_server.port)
        ftps.login(xfer_server.user, xfer_server.password)
        assert ftps.prot_p().startswith("200")
    with (
        socket.create_connection(xfer_server.address("ftps"), 20) as plain,
        xfer_server.ssl_context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.recv(100).startswith(b"220")


@pytest.mark.xfer_server(faults={})
def test_without_a_fault_all_is_well(ftp):
    """The faulty server does nothing wrong that it was not told."""
    answer, data = ftp.get()
    assert answer.startswith("226")
    assert data == DATA
    ftp.storbinary("STOR up", io.BytesIO(DATA))
    assert ftp.size("up") == len(DATA)


@pytest.mark.xfer_server(faults={"download_cut_at": CUT, "times": 1})
def test_download_cut(ftp):
    """No byte after the cut arrives, and the next one is whole."""
    answer, data = ftp.get()
    assert isinstance(answer, OSError | ftplib.error_temp)
    assert len(data) <= CUT
    assert DATA.startswith(data)
    if isinstance(answer, OSError):  # the reset came before the reply was read
        assert ftp.getmultiline().startswith("426")
    answer, data = ftp.get()
    assert data == DATA


@pytest.mark.xfer_server(faults={"upload_cut_at": CUT, "times": 1})
def test_upload_cut_and_resumed(ftp, xfer_server):
    """The part up to the cut is kept, REST goes on there, and the file is whole."""
    with pytest.raises((OSError, ftplib.error_temp)) as caught:
        ftp.storbinary("STOR up", io.BytesIO(DATA))
    if isinstance(caught.value, OSError):
        assert ftp.getmultiline().startswith("426")
    assert not (xfer_server.home / "up").exists()
    assert ftp.size("up") == CUT
    ftp.storbinary("STOR up", io.BytesIO(DATA[CUT:]), rest=CUT)
    assert (xfer_server.home / "up").read_bytes() == DATA


@pytest.mark.xfer_server(faults={"download_cut_at": CUT, "wrong_226": True})
def test_short_download_with_226(ftp):
    """Only SIZE tells that it was not all."""
    answer, data = ftp.get()
    assert answer.startswith("226")
    assert data == DATA[:CUT]
    assert ftp.size("file") == len(DATA)


@pytest.mark.xfer_server(faults={"wrong_226": True})
def test_lost_upload_with_226(ftp, xfer_server):
    """The reply says that the file is there; it is not."""
    assert ftp.storbinary("STOR up", io.BytesIO(DATA)).startswith("226")
    assert ftp.nlst() == ["file"]
    assert os.listdir(xfer_server.home) == ["file"]


@pytest.mark.xfer_server(faults={"download_stalls_at": CUT}, config={"timeouts": {"stall": 0}})
def test_download_stalls(ftp):
    """What comes before the stall comes; then nothing, and the connection stays up."""
    ftp.voidcmd("TYPE I")
    with ftp.transfercmd("RETR file") as data:
        received = b""
        while len(received) < CUT:
            received += data.recv(CUT)
        assert received == DATA[:CUT]
        data.settimeout(0.2)
        with pytest.raises(TimeoutError):
            data.recv(1)
    ftp.close()


@pytest.mark.xfer_server(faults={"upload_stalls_at": 0}, config={"timeouts": {"stall": 0}})
def test_upload_stalls(ftp):
    """The server takes no more than fits into buffers on the way."""
    ftp.voidcmd("TYPE I")
    with ftp.transfercmd("STOR up") as data:
        data.settimeout(0.2)
        with pytest.raises(TimeoutError):
            for _ in range(4096):  # more than any socket buffer: 256 MiB
                data.send(bytes(65536))
    ftp.close()


@pytest.mark.xfer_server(faults={"refuse_epsv": True})
def test_epsv_refused(ftp):
    """As a server from before RFC 2428, which does not offer it either; PASV works."""
    with pytest.raises(ftplib.error_perm, match="502"):
        ftp.sendcmd("EPSV")
    assert "EPSV" not in ftp.sendcmd("FEAT")
    assert ftp.get()[1] == DATA


@pytest.mark.parametrize(
    "clean",
    [
        pytest.param(True, marks=pytest.mark.xfer_server(tls=True, faults={})),
        pytest.param(False, marks=pytest.mark.xfer_server(tls=True, faults={"no_close_notify": True})),
    ],
)
def test_end_without_close_notify(xfer_server, clean):
    """A client that asks for close_notify can tell the two ends apart."""
    (xfer_server.home / "file").write_bytes(DATA)
    with ftplib.FTP_TLS(context=xfer_server.ssl_context(), timeout=20) as ftps:
        ftps.connect(xfer_server.host, xfer_server.port)
        ftps.login(xfer_server.user, xfer_server.password)
        ftps.prot_p()
        ftps.voidcmd("TYPE I")
        # ftplib's own socket takes both for the end; this one does not.
        host, port = ftps.makepasv()
        with socket.create_connection((host, port), 20) as plain:
            ftps.putcmd("RETR file")
            with ftps.context.wrap_socket(
                plain, server_hostname=host, suppress_ragged_eofs=False, session=ftps.sock.session
            ) as secured:
                received = 0
                try:
                    while data := secured.recv(65536):
                        received += len(data)
                    ended = True
                except ssl.SSLEOFError:
                    ended = False
        assert received == len(DATA)
        assert ended is clean
        assert ftps.getresp().startswith("150")
        assert ftps.getresp().startswith("226")


def test_wrong_arguments():
    """What cannot be written as --auth memory is refused before anything starts."""
    for users in ({}, {"a:b": "c"}, {"a": "b:c"}):
        with pytest.raises(ValueError, match="users"):
            XferServer(users=users)
