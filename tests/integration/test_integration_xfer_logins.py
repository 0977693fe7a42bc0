"""The mechanisms of xfer between real processes, in real TLS."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twisted_xfer.cli.trust import own_certificate
from twisted_xfer.testing.daemon import Daemon

pytestmark = pytest.mark.integration
#: A start takes a second; a loaded machine gets this much.
SECONDS = 60.0
PASSWORD = "correct horse"
#: Logs in by the mechanisms that are named, and lists.
SCRIPT = """
import sys
from twisted.internet.task import react
from twisted_xfer.protocols.xfer.client import Login, Target, ls

async def main(reactor):
    host, port, password, mechanism, ca = sys.argv[1:]
    login = Login(username="alice", password=password, mechanisms=(mechanism,), ca=open(ca).read())
    print(len(await ls(reactor, Target(host, int(port)), login)))

react(main)
"""


class Place:
    """A configuration directory, a users file with alice and bob, and an authority for certificates."""

    def __init__(self, path: Path):
        self.path = path
        for name in ("root", "config"):
            (path / name).mkdir()
        self.users = path / "users.toml"
        for name in ("alice", "bob"):
            assert self.xfer("user", "add", name, "--users", self.users)[0] == 0
        self.authority()
        self.text = self.users.read_text().replace(
            "[users.alice]", '[users.alice]\ncertificates = ["cn:alice"]'
        )
        self.users.write_text(self.text)

    def run(self, *command, **env):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("XFER_")}
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**clean, "XFER_CONFIG_DIR": str(self.path / "config"), **env},
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def xfer(self, *args, **env):
        env = env or {"XFER_PASSWORD": PASSWORD}
        return self.run("-c", "from twisted_xfer.cli.main import main; main()", *args, **env)

    def authority(self):
        now = dt.datetime.now(dt.UTC)

        def make(name, issuer=None, key=None, *more):
            own = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            builder = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(issuer.subject if issuer else subject)
                .public_key(own.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - dt.timedelta(days=1))
                .not_valid_after(now + dt.timedelta(days=300))
                .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            )
            for extension in more:
                builder = builder.add_extension(extension, critical=False)
            return builder.sign(key or own, hashes.SHA256()), own

        def pem(certificate, key):
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            return certificate.public_bytes(serialization.Encoding.PEM) + private

        ca, ca_key = make("our own")
        (self.path / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        (self.path / "alice.pem").write_bytes(pem(*make("alice", ca, ca_key)))
        (self.path / "other.pem").write_bytes(pem(*make("alice")))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        (self.path / "server.pem").write_bytes(pem(*make("localhost", ca, ca_key, names)))

    def daemon(self, *args):
        pem = str(self.path / "server.pem")
        return Daemon(
            [
                *("--root", str(self.path / "root"), "--auth", f"users:{self.users}"),
                *("--listen", "xfer=tcp:0:interface=127.0.0.1", "--tls-certificate", pem, "--tls-key", pem),
                *("--tls-client-ca", str(self.path / "ca.pem"), *args),
            ]
        )

    def token(self, name, *args):
        code, out, _ = self.xfer("user", "token", "add", "alice", name, "--users", self.users, *args)
        assert code == 0
        return out.strip()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "config"))
    made = Place(tmp_path)
    own_certificate()
    return made


def test_each_mechanism(place):
    """Each logs in by itself in real TLS 1.3, with the right secret only."""
    with place.daemon() as serving:
        host, port = serving.address("xfer")[:2]
        for mechanism in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"):
            for password, code in ((PASSWORD, 0), ("wrong", 1)):
                args = ("localhost", port, password, mechanism, place.path / "ca.pem")
                done = place.run("-c", SCRIPT, *args)
                assert done[0] == code, (mechanism, done)
        url = f"xfer://{host}:{port}"
        trust = ("--accept-new",)
        own = place.path / "alice.pem"
        for command, code in (
            (("ls", url, *trust, "--cert", own), 0),
            (("ls", url.replace("//", "//alice@"), *trust, "--cert", own), 0),
            (("ls", url.replace("//", "//bob@"), *trust, "--cert", own), 5),
            (("ls", url.replace("//", "//alice@"), *trust), 0),
            (("ls", url.replace("//", "//eve@"), *trust), 5),
        ):
            env = {} if "--cert" in command else {"XFER_PASSWORD": PASSWORD}
            got, _, err = place.xfer(*command, XFER_X="", **env)
            assert got == code, (command, err)
        assert serving.stop() == 0


def test_tokens(place):
    """A token sends to its directory and nowhere else, and one for one login does so for two workers."""
    token = place.token("cam", "--path", "/cam", "--rights", "add")
    once = place.token("once", "--once")
    (place.path / "root/alice/cam").mkdir(parents=True)
    (place.path / "file").write_text("hello")
    with place.daemon("--workers", "2") as serving:
        host, port = serving.address("xfer")[:2]
        url = f"xfer://{host}:{port}"
        send = ("send", place.path / "file", "--accept-new", "--json")
        code, out, err = place.xfer(*send, f"{url}/cam/", XFER_TOKEN=token)
        assert code == 0, err
        assert json.loads(out.splitlines()[-1])["files"] == 1
        assert (place.path / "root/alice/cam/file").read_text() == "hello"
        assert place.xfer(*send, f"{url}/", XFER_TOKEN=token)[0] == 6
        (place.path / "token").write_text(once)
        codes = [place.xfer("ls", url, "--token-file", place.path / "token", XFER_X="")[0] for _ in range(4)]
        assert codes == [0, 5, 5, 5]
        assert place.xfer("user", "token", "remove", "alice", "cam", "--users", place.users)[0] == 0
        for path in (f"{url}/cam", f"{url}/cam".replace("xfer://", "xfer://alice@")):
            code, _, err = place.xfer("ls", path, XFER_TOKEN=token)
            assert (code, err) == (5, "xfer: wrong token or certificate\n")
        assert serving.stop() == 0
        assert "serving" in serving.output
        for secret in (token, once, PASSWORD):
            assert secret not in serving.output


def test_who_is_turned_away_is_told(place):
    """In TLS and without: that it is kept out, not that something broke, whatever its password."""
    settings = place.path / "bans.toml"
    settings.write_text("[bans]\nafter = 1\n")
    with place.daemon("--config", settings) as serving:
        url = "xfer://alice@{}:{}".format(*serving.address("xfer")[:2])
        trust = ("--ca", place.path / "ca.pem")
        url = url.replace("127.0.0.1", "localhost")
        assert place.xfer("ls", url, *trust, XFER_PASSWORD="wrong")[0] == 5
        for _ in range(3):
            code, _, told = place.xfer("ls", url, *trust)
            assert code == 4
            assert "it takes no connection from here for now: too many of them, or banned" in told
        assert "takes no connection from here for now" in place.xfer("ls", url, "--plain")[2]
        assert "Traceback" not in serving.output
    clear = ["--root", str(place.path / "root"), "--config", str(settings), "--auth", f"users:{place.users}"]
    with Daemon([*clear, "--listen", "xfer=tcp:0:interface=127.0.0.1"]) as serving:
        url = "xfer://alice@{}:{}".format(*serving.address("xfer")[:2])
        assert place.xfer("ls", url, "--plain", XFER_PASSWORD="wrong")[0] == 5
        code, _, told = place.xfer("ls", url, "--plain")
        assert code == 5
        assert "banned" in told
