"""Client certificates by curl, lftp and openssl: TLS 1.2 and 1.3, explicit and implicit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import attrs
import pytest
from client_pki import DAY, Authority, Issued, bundle, now
from interop_support import LFTP_IN_TLS, PASSWORD, Runner, payload, sha256

from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

Version = Literal["1.2", "1.3"]
VERSIONS: tuple[Version, ...] = ("1.2", "1.3")
MODES = ("explicit", "implicit")
LOOPBACK = "interface=127.0.0.1"
#: What curl ends with: the handshake failed (35), a TLS read failed (56), a certificate has expired (60: it takes
#: the server's alert for its own judgement), a login was denied (67).
REFUSED = {35, 56, 60}
DENIED = 67


@attrs.frozen
class Site:
    """A daemon that requires a certificate of everybody, and certificates good and bad."""

    daemon: Daemon
    base: Path
    shown: dict[str, Issued]

    @property
    def certificate(self) -> str:
        """The server's own, to be trusted."""
        return str(self.base / "certificate.pem")

    def files(self, which: str) -> tuple[str, ...]:
        """Certificate and key of a client."""
        return self.shown[which].write(self.base, which)

    def url(self, mode: str, user: str, path: str, password: str = PASSWORD) -> str:
        """As curl wants it."""
        scheme, label = ("ftp", "ftp") if mode == "explicit" else ("ftps", "ftps")
        return f"{scheme}://{user}:{password}@localhost:{self.daemon.address(label)[1]}/{path}"

    def curl(self, which: str, version: Version) -> list[str]:
        """curl that shows this certificate; none at all when it is empty."""
        tls = ("--tlsv1.3",) if version == "1.3" else ("--tlsv1.2", "--tls-max", "1.2")
        cert = ("--cert", self.files(which)[0], "--key", self.files(which)[1]) if which else ()
        return ["curl", "-sS", "-4", "--ssl-reqd", "--cacert", self.certificate, *tls, *cert]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """alice needs her certificate, bob that and a password, carol a password behind any good certificate."""
    base = tmp_path_factory.mktemp("certificates")
    (base / "root").mkdir()
    ca = Authority()
    shown = {
        "alice": ca.issue("Alice"),
        "bob": ca.issue("Bob", names=["bob@example.com"]),
        "revoked": ca.issue("Alice"),
        "expired": ca.issue("Alice", start=now() - 2 * DAY, end=now() - DAY),
        "other": Authority("somebody else").issue("Alice"),
    }
    certificate, key = make_demo_certificate(str(base))
    users = base / "users.toml"
    stored = hash_password(PASSWORD.encode())
    users.write_text(
        f'[users.alice]\nhome = "{base}/root/alice"\ncertificates = ["cn:Alice"]\nrequire = "certificate"\n'
        f'[users.bob]\nhome = "{base}/root/bob"\npassword = "{stored}"\n'
        'certificates = ["san:bob@example.com"]\nrequire = "certificate+password"\n'
        f'[users.carol]\nhome = "{base}/root/carol"\npassword = "{stored}"\n'
    )
    users.chmod(0o600)
    for name in ("alice", "bob", "carol"):
        (base / "root" / name).mkdir()
    arguments = [
        "--root", str(base / "root"), "--auth", f"users:{users}", "--require-tls",
        "--tls-certificate", certificate, "--tls-key", key,
        "--tls-client-ca", bundle(base / "ca.pem", [ca.pem]),
        "--tls-client-crl", bundle(base / "clients.crl", [ca.revoke(shown["revoked"])]),
        "--tls-client-certificate", "require",
        "--listen", f"ftp=tcp:0:{LOOPBACK}", "--listen", f"ftps=tcp:0:{LOOPBACK}",
    ]  # fmt: skip
    with Daemon(arguments) as daemon:
        yield Site(daemon, base, shown)
        assert "Traceback" not in daemon.output
        assert "Unhandled" not in daemon.output


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("user", "which"), [("alice", "alice"), ("bob", "bob"), ("carol", "alice")])
def test_curl(site: Site, run: Runner, mode: str, version: Version, user: str, which: str) -> None:
    """Several files up in one session and back, the certificate shown on data connections too."""
    sizes = (0, 1, 300_000)
    uploads: list[str | Path] = []
    for size in sizes:
        (run.cwd / f"sent{size}").write_bytes(payload(size))
        uploads += ["-T", f"sent{size}", site.url(mode, user, f"{mode}{version}-{size}")]
    run(*site.curl(which, version), *uploads)
    downloads = [
        part
        for size in sizes
        for part in ("-o", f"back{size}", site.url(mode, user, f"{mode}{version}-{size}"))
    ]
    run(*site.curl(which, version), *downloads)
    for size in sizes:
        assert sha256(site.base / "root" / user / f"{mode}{version}-{size}") == sha256(payload(size))
        assert sha256(run.cwd / f"back{size}") == sha256(payload(size))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("which", "said"),
    [("other", "unknown ca"), ("expired", "expired"), ("revoked", "revoked"), ("", "")],
)
def test_curl_is_refused(site: Site, run: Runner, mode: str, version: Version, which: str, said: str) -> None:
    """By an alert in the handshake; no login is tried."""
    done = run(*site.curl(which, version), "-l", site.url(mode, "alice", ""), check=False)
    assert done.returncode in REFUSED, done.stderr
    assert said in done.stderr or done.returncode == 60
    assert done.stdout == ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("user", "which", "password"),
    [
        ("alice", "bob", PASSWORD),
        ("bob", "alice", PASSWORD),
        ("bob", "bob", "wrong"),
        ("nobody", "alice", "x"),
    ],
)
def test_curl_is_denied(
    site: Site, run: Runner, version: Version, user: str, which: str, password: str
) -> None:
    """Another account's certificate, a wrong password beside the right one, and nobody: all the same."""
    url = site.url("explicit", user, "", password)
    done = run(*site.curl(which, version), "-l", url, check=False)
    assert done.returncode == DENIED, done.stderr
    assert "530" in done.stderr


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_lftp(site: Site, run: Runner, mode: str, version: Version) -> None:
    """GnuTLS shows the certificate on both channels; a 232 needs no password."""
    scheme, label = ("ftp", "ftp") if mode == "explicit" else ("ftps", "ftps")
    certificate, key = site.files("alice")
    (run.cwd / "sent").write_bytes(payload(300_000))
    script = (
        *LFTP_IN_TLS,
        f"set ssl:ca-file {site.certificate}",
        f"set ssl:cert-file {certificate}",
        f"set ssl:key-file {key}",
        f"set ssl:priority NORMAL:-VERS-ALL:+VERS-TLS{version}",
        f"open -u alice,unused -p {site.daemon.address(label)[1]} {scheme}://localhost",
        f"put sent -o lftp-{mode}{version}",
        f"get lftp-{mode}{version} -o back",
    )
    (run.cwd / ".script").write_text("\n".join(script), encoding="utf-8")
    run("lftp", "--norc", "-f", ".script")
    assert sha256(run.cwd / "back") == sha256(payload(300_000))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("which", "said"),
    [("alice", "232 "), ("revoked", "alert certificate revoked"), ("other", "alert unknown ca")],
)
def test_openssl(site: Site, run: Runner, version: Version, which: str, said: str) -> None:
    """``openssl s_client`` over explicit TLS: the reply, or the alert with its name."""
    certificate, key = site.files(which)
    host, port = site.daemon.address("ftp")
    flag = "-tls1_3" if version == "1.3" else "-tls1_2"
    done = run(
        "openssl", "s_client", "-connect", f"{host}:{port}", "-starttls", "ftp", flag, "-crlf", "-ign_eof",
        "-cert", certificate, "-key", key, "-CAfile", site.certificate,
        stdin="USER alice\nQUIT\n", check=False,
    )  # fmt: skip
    assert said in done.stdout + done.stderr
