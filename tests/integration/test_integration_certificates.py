"""Client certificates against a real daemon: thieves on the data port, lists that change, both factors."""

import contextlib
import datetime as dt
import ftplib
import io
import json
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest
from client_pki import DAY, Authority, bundle, now

from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration

LOOPBACK = "interface=127.0.0.1"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SECONDS = 20


@pytest.fixture(scope="module")
def ca():
    """The authority that signs for clients."""
    return Authority()


@pytest.fixture(scope="module")
def stored():
    """The hash of "secret"."""
    return hash_password(b"secret")


@pytest.fixture
def place(tmp_path, ca, stored):
    """What a daemon needs: alice by certificate, bob by both, carol by password."""
    (tmp_path / "root").mkdir()
    make_demo_certificate(str(tmp_path))
    bundle(tmp_path / "ca.pem", [ca.pem])
    users = tmp_path / "users.toml"
    users.write_text(
        f"""
[users.alice]
certificates = ["cn:Alice"]
[users.bob]
password = "{stored}"
certificates = ["san:bob@example.com"]
require = "certificate+password"
[users.carol]
password = "{stored}"
"""
    )
    users.chmod(0o600)
    return tmp_path


def configure(place, policy="ask", lists=None, extra=""):
    """Write the configuration: its path."""
    crl = ""
    if lists is not None:
        bundle(place / "clients.crl", lists)
        crl = 'client_crl = "clients.crl"'
    path = place / "xfer.toml"
    path.write_text(
        f"""
root = "root"
listen = ["ftp=tcp:0:{LOOPBACK}", "ftps=tcp:0:{LOOPBACK}"]
auth = ["users:{place}/users.toml"]
require_tls = true
listeners = [{{ plugin = "json", path = "{place}/events.jsonl" }}]
[tls]
certificate = "certificate.pem"
key = "key.pem"
client_ca = "ca.pem"
client_certificate = "{policy}"
{crl}
{extra}
"""
    )
    return path


def daemon(place, *arguments, **options):
    return Daemon(["--config", str(configure(place, **options)), *arguments])


def events(place, event_id):
    """What was told of that kind."""
    path = place / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for event in map(json.loads, lines) if event["id"] == event_id]


def wait_for(condition):
    """Poll; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def context(place, issued, version="1.3"):
    """A client's context that shows ``issued``."""
    made = ssl.create_default_context(cafile=place / "certificate.pem")
    made.minimum_version = made.maximum_version = VERSIONS[version]
    if issued is not None:
        made.load_cert_chain(*issued.write(place, f"client-{issued.certificate.serial_number}"))
    return made


class Client(ftplib.FTP_TLS):
    """On data connections it shows what it is told: ``data`` is a context, or None for its session."""

    data = None

    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self.data is not None:
            return self.data.wrap_socket(connection, server_hostname=self.host), size
        session = self.sock.session
        return self.context.wrap_socket(connection, server_hostname=self.host, session=session), size

    def refused(self, command):
        """The reply that refuses a transfer, whatever its data connection saw before."""
        try:
            self.storbinary(command, io.BytesIO(b"x" * 1000))
        except ftplib.Error as error:
            return str(error)
        except OSError:
            # The data connection ended first; the reply is still to be read.
            with pytest.raises(ftplib.Error) as caught:
                self.getresp()
            return str(caught.value)
        raise AssertionError("taken")


@contextlib.contextmanager
def client(place, running, issued, version="1.3"):
    """A control connection in TLS that nobody has logged into."""
    ftp = Client(context=context(place, issued, version), timeout=SECONDS)
    ftp.connect("localhost", running.address("ftp")[1])
    try:
        ftp.auth()
        yield ftp
    finally:
        ftp.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_alone_and_with_a_password(place, ca, version):
    """232 for whom the certificate is enough; 331 for all others, and then both or nothing."""
    alice, bob = ca.issue("Alice"), ca.issue("Bob", names=["bob@example.com"])
    with daemon(place) as running:
        with client(place, running, alice, version) as ftp:
            assert ftp.sendcmd("USER alice").startswith("232 ")
            ftp.prot_p()
            ftp.storbinary("STOR f", io.BytesIO(b"content"))
            assert ftp.sendcmd("REIN").startswith("220 ")
            for name in ("bob", "carol", "nobody"):
                assert ftp.sendcmd(f"USER {name}").startswith("331 ")
        for issued, name, password, good in (
            (bob, "bob", "secret", True),
            (bob, "bob", "wrong", False),
            (alice, "bob", "secret", False),
            (None, "bob", "secret", False),
            (alice, "carol", "secret", True),
            (None, "alice", "secret", False),
        ):
            with client(place, running, issued, version) as ftp:
                assert ftp.sendcmd(f"USER {name}").startswith("331 ")
                if good:
                    assert ftp.sendcmd(f"PASS {password}").startswith("230 ")
                else:
                    with pytest.raises(ftplib.error_perm, match=r"^530 Login incorrect"):
                        ftp.sendcmd(f"PASS {password}")
        wait_for(lambda: len(events(place, "login.failed")) == 4)
        assert {event["code"] for event in events(place, "login.failed")} == {"login_failed"}
        told = {event["username"]: event["certificate"] for event in events(place, "login.ok")}
        assert told == {"alice": alice.fingerprint, "bob": bob.fingerprint, "carol": alice.fingerprint}
        assert (place / "root/alice/f").read_bytes() == b"content"
    assert "Traceback" not in running.output


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["off", "require"])
def test_whose_data_connection_it_is(place, ca, version, mode):
    """The same certificate or the same session; another certificate or none is a thief's, in every mode."""
    alice, bob = ca.issue("Alice"), ca.issue("Bob")
    extra = f'[protocols.ftp]\ntls_resumption = "{mode}"'
    with daemon(place, extra=extra) as running, client(place, running, alice, version) as ftp:
        assert ftp.sendcmd("USER alice").startswith("232 ")
        ftp.prot_p()
        for number, (shown, good) in enumerate(((alice, True), (bob, False), (None, False), (alice, True))):
            ftp.data = context(place, shown, version)
            if good:
                ftp.storbinary(f"STOR f{number}", io.BytesIO(b"x" * 1000))
                continue
            assert ftp.refused(f"STOR f{number}").startswith(
                "522 Client certificate of the control connection"
            )
        ftp.data = None
        ftp.storbinary("STOR resumed", io.BytesIO(b"x" * 1000))
        assert {path.name for path in (place / "root/alice").iterdir()} == {"f0", "f3", "resumed"}
        assert [event["refused"] for event in events(place, "data.not_resumed")] == [True, True]
    assert "Traceback" not in running.output


def refused(place, running, issued, version):
    """What the client hears, which must be an alert and no answer."""
    with (
        pytest.raises((ssl.SSLError, ConnectionResetError)) as caught,
        client(place, running, issued, version) as ftp,
    ):
        # In TLS 1.3 the client believes in the handshake until it reads.
        ftp.sendcmd("NOOP")
    return getattr(caught.value, "reason", "") or ""


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_refused(place, ca, version):
    """By the alert that says why, with one line in the log and one event; the daemon goes on."""
    revoked = ca.issue("Revoked")
    with daemon(place, policy="require", lists=[ca.revoke(revoked)]) as running:
        for issued, alert, reason in (
            (Authority("other").issue("Alice"), "UNKNOWN_CA", "not in tls.client_ca"),
            (ca.issue("Alice", start=now() - 2 * DAY, end=now() - DAY), "CERTIFICATE_EXPIRED", "has expired"),
            (revoked, "CERTIFICATE_REVOKED", "'Revoked' refused: it was revoked"),
            (None, "", "certificate"),
        ):
            before = len(events(place, "tls.refused"))
            # A reset may overtake the alert; the reason is told all the same.
            heard = refused(place, running, issued, version)
            assert alert in heard or not heard
            wait_for(lambda before=before: len(events(place, "tls.refused")) == before + 1)
            assert reason in events(place, "tls.refused")[-1]["reason"]
            assert reason in running.output
        with client(place, running, ca.issue("Alice"), version) as ftp:
            assert ftp.sendcmd("USER alice").startswith("232 ")
    assert "Traceback" not in running.output


def test_a_new_list_at_sighup(place, ca):
    """Who was revoked does not get in any more; who is in stays, until the end of the session."""
    alice, other = ca.issue("Alice"), ca.issue("Alice")
    with daemon(place, lists=[ca.revoke()]) as running, client(place, running, alice) as ftp:
        assert ftp.sendcmd("USER alice").startswith("232 ")
        bundle(place / "clients.crl", [ca.revoke(alice)])
        running.signal(signal.SIGHUP)
        wait_for(lambda: "certificates" in running.output.partition("serving")[2])

        def is_out():
            try:
                with client(place, running, alice) as late:
                    late.sendcmd("NOOP")
            except (ssl.SSLError, OSError):
                return True
            return False

        wait_for(is_out)
        assert "257" in ftp.sendcmd("PWD")
        with client(place, running, other) as fresh:
            assert fresh.sendcmd("USER alice").startswith("232 ")
        # A list that is broken is told of, and the one before stays in force.
        (place / "clients.crl").write_text("broken")
        running.signal(signal.SIGHUP)
        wait_for(lambda: "tls.client_crl" in running.output)
        assert is_out()


def test_an_expired_list(place, ca):
    """Warned of at the start, and nobody whom its authority signed gets in; others do as before."""
    expired = ca.revoke(end=now() - dt.timedelta(hours=1))
    with daemon(place, lists=[expired]) as running:
        assert "the revocation list of 'test authority'" in running.output
        refused(place, running, ca.issue("Alice"), "1.3")
        wait_for(lambda: "list of its authority has expired: renew tls.client_crl" in running.output)
        with client(place, running, None) as ftp:
            assert ftp.sendcmd("USER carol").startswith("331 ")
            assert ftp.sendcmd("PASS secret").startswith("230 ")
    assert "Traceback" not in running.output


def check(path):
    """``--check``: its code and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "xfer", "--config", str(path), "--check"],
        capture_output=True, text=True, timeout=60, check=False, cwd=path.parent,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_check_tells_what_is_wrong(place, ca):
    """Expiry is a warning; a file that cannot be used is an error, with its key."""
    code, said = check(configure(place, lists=[ca.revoke(end=now() - dt.timedelta(hours=1))]))
    assert code == 0
    assert "warning: the revocation list of 'test authority'" in said
    code, said = check(configure(place, lists=[ca.revoke(key=Authority().key)]))
    assert code == 1
    assert "tls.client_crl" in said
    assert "has not signed" in said
    bundle(place / "ca.pem", [Authority(days=-1).pem])
    code, said = check(configure(place))
    assert code == 0
    assert "warning: the authority 'test authority'" in said
    (place / "ca.pem").write_text("junk")
    code, said = check(configure(place))
    assert code == 1
    assert "tls.client_ca" in said


def test_a_file_of_certificates(place, ca):
    """Accounts kept elsewhere: the common name is the account, in implicit TLS too."""
    names = place / "certificates.toml"
    names.write_text('"cn:*" = "*"')
    dave = ca.issue("dave")
    path = configure(place, policy="require")
    with Daemon(["--config", str(path), "--auth", f"certificate:{names}"]) as running:
        made = context(place, dave)
        with (
            socket.create_connection(running.address("ftps"), SECONDS) as raw,
            made.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            assert sock.recv(1000).startswith(b"220 ")
            sock.sendall(b"USER dave\r\nPWD\r\n")
            answer = b""
            while answer.count(b"\r\n") < 2:
                more = sock.recv(1000)
                assert more, answer
                answer += more
        assert answer.startswith(b"232 ")
        with client(place, running, dave) as ftp:
            assert ftp.sendcmd("USER alice").startswith("331 ")


def test_the_native_protocol_tells_of_refusals(place, ca):
    """The same alert, line and event; a good certificate gets past the handshake."""
    revoked = ca.issue("Revoked")
    path = configure(place, policy="require", lists=[ca.revoke(revoked)])
    path.write_text(path.read_text().replace("listen = [", f'listen = ["xfer=tcp:0:{LOOPBACK}", ', 1))
    with Daemon(["--config", str(path)]) as running:
        for issued, reason in ((revoked, "'Revoked' refused: it was revoked"), (None, "certificate")):
            before = len(events(place, "tls.refused"))
            made = context(place, issued)
            with (
                socket.create_connection(running.address("xfer"), SECONDS) as raw,
                contextlib.suppress(ConnectionResetError),
                pytest.raises(ssl.SSLError),
                made.wrap_socket(raw, server_hostname="localhost") as sock,
            ):
                assert sock.recv(1) == b"", "said something"
            wait_for(lambda before=before: len(events(place, "tls.refused")) == before + 1)
            assert reason in events(place, "tls.refused")[-1]["reason"]
            assert events(place, "tls.refused")[-1]["protocol"] == "xfer"
            assert reason in running.output
        made = context(place, ca.issue("Alice"))
        with (
            socket.create_connection(running.address("xfer"), SECONDS) as raw,
            made.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            assert sock.version() == "TLSv1.3"
        wait_for(lambda: len(events(place, "connection.close")) == 3)
        assert len(events(place, "tls.refused")) == 2
    assert "Traceback" not in running.output
