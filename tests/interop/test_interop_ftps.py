"""FTPS by clients of all kinds: TLS 1.2 and 1.3, explicit and implicit, resumed and not."""

from __future__ import annotations

import asyncio
import ftplib
import io
import itertools
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import aioftp
import attrs
import pytest
from interop_support import LFTP_IN_TLS, PASSWORD, PATIENCE, REPLY, Runner, payload, sha256

from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.testing.daemon import Daemon

Version = Literal["1.2", "1.3"]
VERSIONS: tuple[Version, ...] = ("1.2", "1.3")
MODES = ("explicit", "implicit")
SSL_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SIZES = (0, 1, 300_000, 8 << 20)
LOOPBACK = "interface=127.0.0.1"
_names = itertools.count()


@attrs.frozen
class TLSSite:
    """A daemon with TLS, and one account of it for one test."""

    home: Path
    user: str
    explicit: int
    implicit: int
    certificate: str

    def url(self, mode: str, path: str = "") -> str:
        """The URL as curl wants it."""
        scheme, port = ("ftp", self.explicit) if mode == "explicit" else ("ftps", self.implicit)
        return f"{scheme}://{self.user}:{PASSWORD}@localhost:{port}/{path}"

    def context(self, version: Version) -> ssl.SSLContext:
        """A client's context that verifies the certificate."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.minimum_version = context.maximum_version = SSL_VERSIONS[version]
        return context


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path, str]]:
    """One daemon: nothing goes in clear, and whoever has resumed must go on doing so."""
    base = tmp_path_factory.mktemp("ftps")
    root = base / "root"
    root.mkdir()
    certificate, key = make_demo_certificate(str(base))
    users = ":".join(f"{kind}{n}:{PASSWORD}" for kind in "t" for n in range(80))
    arguments = [
        "--root", str(root), "--auth", f"memory:{users}", "--require-tls",
        "--tls-certificate", certificate, "--tls-key", key,
        "--listen", f"ftp=tcp:0:{LOOPBACK}", "--listen", f"ftps=tcp:0:{LOOPBACK}",
    ]  # fmt: skip
    with Daemon(arguments) as daemon:
        yield daemon, root, certificate
        assert "Traceback" not in daemon.output
        assert "Unhandled" not in daemon.output


@pytest.fixture
def site(running: tuple[Daemon, Path, str]) -> TLSSite:
    """A fresh account."""
    daemon, root, certificate = running
    user = f"t{next(_names)}"
    home = root / user
    home.mkdir()
    return TLSSite(home, user, daemon.address("ftp")[1], daemon.address("ftps")[1], certificate)


def files(site: TLSSite) -> dict[str, str]:
    """What lies in the home, parts included."""
    return {path.name: sha256(path) for path in sorted(site.home.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_curl(site: TLSSite, run: Runner, mode: str, version: Version) -> None:
    """Uploads one after the other, a listing and downloads in one session, its cache of sessions on."""
    tls = ("--tlsv1.3",) if version == "1.3" else ("--tlsv1.2", "--tls-max", "1.2")
    curl = ("curl", "-sS", "-4", "--ssl-reqd", "--cacert", site.certificate, *tls)
    uploads: list[str | Path] = []
    for size in SIZES:
        (run.cwd / f"sent{size}").write_bytes(payload(size))
        uploads += ["-T", f"sent{size}", site.url(mode, f"file{size}")]
    run(*curl, *uploads)
    assert files(site) == {f"file{size}": sha256(payload(size)) for size in SIZES}
    listed = run(*curl, "-l", site.url(mode)).stdout.split()
    assert set(listed) == set(files(site))
    downloads = [part for size in SIZES for part in ("-o", f"back{size}", site.url(mode, f"file{size}"))]
    run(*curl, *downloads)
    for size in SIZES:
        assert sha256(run.cwd / f"back{size}") == sha256(payload(size))


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_loses_no_upload(site: TLSSite, run: Runner, version: Version) -> None:
    """curl closes at once after the last byte: with tickets in its way one upload in fifteen was cut."""
    tls = ("--tlsv1.3",) if version == "1.3" else ("--tlsv1.2", "--tls-max", "1.2")
    (run.cwd / "sent").write_bytes(payload(300_000))
    uploads = [part for n in range(60) for part in ("-T", "sent", site.url("explicit", f"file{n}"))]
    run("curl", "-sS", "-4", "--fail-early", "--ssl-reqd", "--cacert", site.certificate, *tls, *uploads)
    assert files(site) == {f"file{n}": sha256(payload(300_000)) for n in range(60)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_lftp(site: TLSSite, run: Runner, mode: str, version: Version) -> None:
    """GnuTLS reports an end without close_notify, so a download proves ours."""
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{version}"
    scheme, port = ("ftp", site.explicit) if mode == "explicit" else ("ftps", site.implicit)
    (run.cwd / "sent").write_bytes(payload(300_000))
    script = (
        *LFTP_IN_TLS,
        f"set ssl:ca-file {site.certificate}",
        f"set ssl:priority {priority}",
        f"open -u {site.user},{PASSWORD} -p {port} {scheme}://localhost",
        "put sent -o one",
        "put sent -o two",
        "cls -1",
        "get one -o back",
    )
    (run.cwd / ".script").write_text("\n".join(script), encoding="utf-8")
    listed = run("lftp", "--norc", "-f", ".script").stdout.split()
    assert set(listed) == {"one", "two"}
    assert files(site) == dict.fromkeys(("one", "two"), sha256(payload(300_000)))
    assert sha256(run.cwd / "back") == sha256(payload(300_000))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_rclone(site: TLSSite, run: Runner, mode: str, version: Version) -> None:
    """Go closes without reading; its uploads are whole in TLS 1.3 as well."""
    (run.cwd / "source").mkdir()
    for n in range(12):
        (run.cwd / "source" / f"f{n}").write_bytes(payload(20_000 * n))
    run = Runner(run.cwd, {"SSL_CERT_FILE": site.certificate})
    secret = run("rclone", "obscure", PASSWORD).stdout.strip()
    port, flag = (site.explicit, "--ftp-explicit-tls") if mode == "explicit" else (site.implicit, "--ftp-tls")
    shared = [
        "--config", "", "--retries", "1", "--low-level-retries", "1", "--transfers", "2",
        "--ftp-host", "localhost", "--ftp-port", str(port),
        "--ftp-user", site.user, "--ftp-pass", secret, flag,
    ]  # fmt: skip
    if version == "1.2":
        shared.append("--ftp-disable-tls13")
    run("rclone", "copy", "source", ":ftp:", *shared)
    assert files(site) == {f"f{n}": sha256(payload(20_000 * n)) for n in range(12)}
    run("rclone", "copy", ":ftp:", "back", *shared)
    for n in range(12):
        assert sha256(run.cwd / "back" / f"f{n}") == sha256(payload(20_000 * n))


class ResumingFTP(ftplib.FTP_TLS):
    """The standard library's client with the session of the control connection on its data connections."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """As the base, but resuming."""
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:  # type: ignore[attr-defined]
            connection = self.context.wrap_socket(
                connection,
                server_hostname=self.host,
                session=self.sock.session,  # type: ignore[union-attr]
            )
        return connection, size


class ImplicitMixin:
    """Wraps the socket as soon as there is one."""

    _sock: socket.socket | None = None
    context: ssl.SSLContext
    host: str

    @property
    def sock(self) -> socket.socket | None:
        """The control connection."""
        return self._sock

    @sock.setter
    def sock(self, value: socket.socket | None) -> None:
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname=self.host)
        self._sock = value


class ImplicitFTP(ImplicitMixin, ftplib.FTP_TLS):
    """Implicit TLS."""


class ImplicitResumingFTP(ImplicitMixin, ResumingFTP):
    """Implicit TLS with resumption."""


CLIENTS: dict[tuple[str, bool], Any] = {
    ("explicit", False): ftplib.FTP_TLS,
    ("explicit", True): ResumingFTP,
    ("implicit", False): ImplicitFTP,
    ("implicit", True): ImplicitResumingFTP,
}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_ftplib(site: TLSSite, mode: str, version: Version, resume: bool) -> None:
    """With and without resumption patched in: up, down, listed, over and over."""
    ftp = CLIENTS[mode, resume](context=site.context(version), timeout=REPLY)
    ftp.connect("localhost", site.explicit if mode == "explicit" else site.implicit)
    with ftp:
        ftp.login(site.user, PASSWORD)
        ftp.prot_p()
        for size in (*SIZES, *SIZES):
            ftp.storbinary(f"STOR f{size}", io.BytesIO(payload(size)))
            back = io.BytesIO()
            ftp.retrbinary(f"RETR f{size}", back.write)
            assert back.getvalue() == payload(size)
        assert set(ftp.nlst()) == set(files(site))
        ftp.quit()


@pytest.mark.parametrize("version", VERSIONS)
def test_aioftp_implicit(site: TLSSite, run: Runner, version: Version) -> None:
    """aioftp knows implicit TLS only, and sends no PROT: data is protected all the same."""
    (run.cwd / "sent").write_bytes(payload(300_000))

    async def work() -> None:
        async with aioftp.Client.context(
            "localhost", site.implicit, site.user, PASSWORD, ssl=site.context(version)
        ) as client:
            await client.upload(run.cwd / "sent", "file", write_into=True)
            await client.download("file", run.cwd / "back", write_into=True)

    asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert files(site) == {"file": sha256(payload(300_000))}
    assert sha256(run.cwd / "back") == sha256(payload(300_000))


def test_no_client_gets_in_without_tls(site: TLSSite) -> None:
    """USER is refused before any password is asked for."""
    ftp = ftplib.FTP(timeout=REPLY)
    ftp.connect("localhost", site.explicit)
    with pytest.raises(ftplib.error_perm, match=r"530.*AUTH TLS"):
        ftp.sendcmd(f"USER {site.user}")
    with suppress(ftplib.Error, OSError):
        ftp.quit()
    ftp.close()
