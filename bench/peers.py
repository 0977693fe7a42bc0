"""Which servers are compared, and how each is started in its cheapest honest configuration.

Honest: a real login, the user held inside the home, passive ports of its own.  Cheapest: no transfer log, no reverse
look-ups, nothing that the other servers do not do either.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from .goals import OURS
from .isolate import PAM_SERVICE, PASSWORD, PASSWORD_HASH, UID, USER
from .packages import PeerError, Unpacked

PYTHON = sys.executable
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server runs: its ports, the root of the homes, and a folder for its own files.

    `certificate` is a PEM file with the key in it where TLS is to be offered.
    """

    port: int
    passive: tuple[int, int]
    root: Path
    state: Path
    certificate: Path | None = None

    @property
    def home(self) -> Path:
        """Return the home of the one account."""
        return self.root / USER


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line that stays in the foreground."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: how to obtain it, how to start it, and what it cannot do."""

    name: str
    obtain: Callable[[], str]
    launch: Callable[[Place], Launch]
    note: str
    isolated: bool = False
    lacks: frozenset[str] = frozenset()


def _unpacked(name: str) -> Callable[[], str]:
    def obtain() -> str:
        package = Unpacked(name)
        package.obtain()
        return package.version

    return obtain


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.write_text(text)
    path.chmod(mode)
    return path


def _vsftpd(place: Place) -> Launch:
    package = Unpacked("vsftpd")
    empty = place.state / "empty"
    empty.mkdir(mode=0o755, exist_ok=True)
    settings = {
        "listen": "YES",
        "background": "NO",
        "listen_address": "127.0.0.1",
        "listen_port": str(place.port),
        "pasv_min_port": str(place.passive[0]),
        "pasv_max_port": str(place.passive[1]),
        "anonymous_enable": "NO",
        "local_enable": "YES",
        "write_enable": "YES",
        "local_root": str(place.home),
        "chroot_local_user": "YES",
        "allow_writeable_chroot": "YES",
        "secure_chroot_dir": str(empty),
        "nopriv_user": "nobody",
        "pam_service_name": PAM_SERVICE,
        "use_sendfile": "YES",
        "xferlog_enable": "NO",
        "isolate": "NO",
        "isolate_network": "NO",
        "seccomp_sandbox": "NO",
        "session_support": "NO",
        "max_clients": "0",
        "max_per_ip": "0",
    }
    if place.certificate is not None:
        settings |= {
            "ssl_enable": "YES",
            "rsa_cert_file": str(place.certificate),
            "rsa_private_key_file": str(place.certificate),
            "force_local_logins_ssl": "NO",
            "force_local_data_ssl": "NO",
            "require_ssl_reuse": "NO",
            "ssl_ciphers": "HIGH",
        }
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    config = _write(place.state / "vsftpd.conf", text)
    # Its complaints about the configuration go to descriptor 0, the client of an inetd.
    command = ["/bin/sh", "-c", 'exec "$0" "$1" 0>&1', str(package.path("usr/sbin/vsftpd")), str(config)]
    return Launch(command, package.environment())


def _pure_ftpd(place: Place) -> Launch:
    package = Unpacked("pure-ftpd")
    # name:hash:uid:gid:gecos:home, then twelve limits left empty; pure-pw(8).
    passwd = _write(
        place.state / "pureftpd.passwd", f"{USER}:{PASSWORD_HASH}:{UID}:{UID}::{place.home}/./::::::::::::\n"
    )
    database = place.state / "pureftpd.pdb"
    command = [str(package.path("usr/sbin/pure-ftpd")), "--ipv4only", "--dontresolve", "--noanonymous"]
    command += ["--chrooteveryone", "--bind", f"127.0.0.1,{place.port}"]
    command += ["--passiveportrange", "{}:{}".format(*place.passive), "--syslogfacility", "none"]
    command += ["--maxclientsnumber", "2000", "--limitrecursion", "30000:5", "--minuid", "1"]
    command += ["--login", f"puredb:{database}", "--pidfile", str(place.state / "pid")]
    if place.certificate is not None:
        command += ["--tls", "1", "--certfile", str(place.certificate)]
    make = [str(package.path("usr/bin/pure-pw")), "mkdb", str(database), "-f", str(passwd)]
    quoted = " ".join(f"'{word}'" for word in make)
    started = " ".join(f"'{word}'" for word in command)
    return Launch(["/bin/sh", "-c", f"{quoted} && exec {started}"], package.environment())


def _proftpd(place: Place) -> Launch:
    package = Unpacked("proftpd")
    users = _write(place.state / "users", f"{USER}:{PASSWORD_HASH}:{UID}:{UID}::{place.home}:/bin/sh\n")
    text = f"""
ServerName bench
ServerType standalone
DefaultAddress 127.0.0.1
Port {place.port}
SocketBindTight on
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
PassivePorts {place.passive[0]} {place.passive[1]}
AuthOrder mod_auth_file.c
AuthUserFile {users}
RequireValidShell off
DefaultRoot ~
AllowOverwrite on
UseSendfile on
MaxInstances 2000
ScoreboardFile {place.state}/scoreboard
PidFile {place.state}/pid
SystemLog none
TransferLog none
WtmpLog off
<IfModule mod_delay.c>
  DelayEngine off
</IfModule>
<Directory />
  AllowAll
</Directory>
"""
    if place.certificate is not None:
        text = f"""
ModulePath {package.path("usr/lib/proftpd")}
LoadModule mod_tls.c
{text}
TLSEngine on
TLSLog none
TLSProtocol TLSv1.2 TLSv1.3
TLSRequired off
TLSRenegotiate none
TLSOptions NoSessionReuseRequired
TLSECCertificateFile {place.certificate}
TLSECCertificateKeyFile {place.certificate}
"""
    config = _write(place.state / "proftpd.conf", text)
    return Launch(
        [str(package.path("usr/sbin/proftpd")), "--nodaemon", "--config", str(config)], package.environment()
    )


def _pyftpdlib(place: Place) -> Launch:
    script = Path(__file__).with_name("pyftpdlib_server.py")
    command = [PYTHON, str(script), str(place.port), str(place.home), USER, PASSWORD]
    return Launch(command if place.certificate is None else [*command, str(place.certificate)])


def _pyftpdlib_version() -> str:
    if importlib.util.find_spec("pyftpdlib") is None:
        raise PeerError("pyftpdlib is not installed: pip install --group bench")
    return version("pyftpdlib")


def _ours(place: Place) -> Launch:
    twistd = Path(PYTHON).with_name("twistd")
    command = [str(twistd), "--nodaemon", "--pidfile=", "xfer", "--root", str(place.root)]
    command += [
        "--listen",
        f"ftp=tcp:{place.port}:interface=127.0.0.1",
        "--auth",
        f"memory:{USER}:{PASSWORD}",
    ]
    command += ["--passive-ports", "{}-{}".format(*place.passive)]
    if place.certificate is not None:
        command += ["--tls-certificate", str(place.certificate), "--tls-key", str(place.certificate)]
    # A checkout need not be installed; the server's working directory is another.
    return Launch(command, {"PYTHONPATH": str(REPOSITORY)})


def _ours_version() -> str:
    if (
        importlib.util.find_spec("twisted_xfer") is None
        or importlib.util.find_spec("twisted_xfer.app.tap") is None
    ):
        raise PeerError("twisted_xfer.app.tap is not there")
    return str(importlib.import_module("twisted_xfer").__version__)


HASH_NOTE = "SHA-512-crypt, 1,000 rounds"
PEERS = (
    Peer(OURS, _ours_version, _ours, "`twistd xfer`, password in memory"),
    Peer(
        "vsftpd",
        _unpacked("vsftpd"),
        _vsftpd,
        f"local user, chroot, sendfile, no log, isolation and seccomp off; {HASH_NOTE} through pam_unix",
        isolated=True,
        lacks=frozenset({"MLSD"}),
    ),
    Peer(
        "pure-ftpd",
        _unpacked("pure-ftpd"),
        _pure_ftpd,
        f"standalone, puredb, chroot, no log, no DNS; {HASH_NOTE}",
        isolated=True,
    ),
    Peer(
        "proftpd",
        _unpacked("proftpd"),
        _proftpd,
        f"standalone, AuthUserFile, chroot, sendfile, no delays, no log; {HASH_NOTE}",
        isolated=True,
    ),
    Peer("pyftpdlib", _pyftpdlib_version, _pyftpdlib, "FTPServer (epoll), sendfile, password in memory"),
)


def write_certificate(folder: Path) -> Path:
    """Make the one certificate that all servers show, a P-256 one with its key in the same file."""
    # Not at the top: without our own server's dependencies the others can still be compared in clear.
    from twisted_xfer.app.tls import make_demo_certificate

    (folder / "tls").mkdir(mode=0o700)
    pair = make_demo_certificate(str(folder / "tls"))
    return _write(folder / "tls" / "both.pem", "".join(Path(path).read_text() for path in pair))


def place_for(index: int, root: Path, state: Path) -> Place:
    """Give the server at `index` ports below the kernel's own ephemeral range, which starts at 32768."""
    low = 22_000 + 1000 * index
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700 if os.geteuid() == 0 else 0o755)
    return Place(21_000 + index, (low, low + 999), root, state)
