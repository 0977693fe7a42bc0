"""A real server for tests of clients, in one line: ``with XferServer() as server: ...``.

It is the daemon itself in a process of its own, on loopback and on ports that are free, with an
account whose home the test can look into. ``pytest_plugin`` makes a fixture of it.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import twisted_xfer
from twisted_xfer.testing.daemon import Daemon, DaemonFailed

#: The longest wait for an event; one comes within milliseconds.
EVENT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.01
_PLACE: Final = "tcp:0:interface=127.0.0.1"
#: Protocols that have a faulty twin, and the faults that only FTP has.
_FAULTY: Final = ("ftp", "xfer", "push", "fetch", "jsonftp")
_FTP_FAULTS: Final = ("wrong_226", "refuse_epsv")
_DROP_IN: Final = """\
from twisted_xfer.plugins.records import PluginRecord

faulty_ftp = PluginRecord("protocol", "faulty_ftp", "twisted_xfer.testing.faulty_ftp:plugin", "FTP that misbehaves")
faulty_xfer = PluginRecord("protocol", "faulty_xfer", "twisted_xfer.testing.faulty_xfer:plugin", "xfer that misbehaves")
faulty_push = PluginRecord("protocol", "faulty_push", "twisted_xfer.testing.faulty_streams:push", "push that misbehaves")
faulty_fetch = PluginRecord("protocol", "faulty_fetch", "twisted_xfer.testing.faulty_streams:fetch", "fetch that misbehaves")
faulty_jsonftp = PluginRecord(
    "protocol", "faulty_jsonftp", "twisted_xfer.testing.faulty_streams:jsonftp", "jsonftp that misbehaves"
)
"""


class XferServer:
    """A daemon with FTP, the xfer protocol where it is installed, an account and a record of its events.

    Args:
        users: passwords by user name; the first user is the one that ``user`` and ``home`` name.
        tls: make a certificate, offer AUTH TLS and implicit FTPS, and each of ``protocols`` in TLS too.
        faults: what goes wrong, see ``faulty.FaultOptions`` and, for FTP, ``faulty_ftp.FaultyFTPOptions``.
        protocols: more to listen with, as in ``--listen``: ``jsonftp``, ``push@alice``, or one of yours.
        config: more keys of the configuration, as in its TOML file. Tables are merged, and
            ``listen``, ``auth`` and ``listeners`` add to those of the server.
        directory: where everything lives; a temporary directory unless given.
        path: directories to search for modules and plugins first, as in PYTHONPATH.

    Attributes:
        host, port: where FTP listens.
        user, password: an account.
        root: the directory of all homes; ``home`` is that of ``user``.
        daemon: the process, see ``daemon.Daemon``.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        faults: Mapping[str, Any] | None = None,
        protocols: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        directory: str | Path | None = None,
        path: Sequence[str | Path] = (),
    ) -> None:
        users = {"alice": "secret"} if users is None else dict(users)
        if not users or any(":" in word for pair in users.items() for word in pair):
            raise ValueError("users: at least one, and no colon in names and passwords")
        self.user, self.password = next(iter(users.items()))
        self._temporary = tempfile.TemporaryDirectory(prefix="xfer-server-") if directory is None else None
        self._directory = Path(directory if self._temporary is None else self._temporary.name)  # type: ignore[arg-type]
        self.root = self._directory / "root"
        for name in users:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self._events = self._directory / "events.jsonl"
        self._certificate = self._directory / "certificate.pem"
        self._faulty = faults is not None
        self._path = [str(entry) for entry in path]
        if faults is not None:
            self._install_faults()
        key = self._directory / "key.pem"
        places = ["ftp", *(["ftps"] if tls else []), *(["xfer"] if _has_xfer() else []), *protocols]
        self._places = tuple(places)
        listen = [f"{self._label(place)}={_PLACE}" for place in places]
        if tls:
            secured = (
                f"ssl:0:interface=127.0.0.1:privateKey={_quoted(key)}:certKey={_quoted(self._certificate)}"
            )
            listen += [f"{self._label(place)}={secured}" for place in protocols]
        table: dict[str, Any] = {
            "root": str(self.root),
            "listen": listen,
            "auth": [f"memory:{name}:{password}" for name, password in users.items()],
            "listeners": [{"plugin": "json", "path": str(self._events)}],
            "protocols": _tables(faults, places) if faults is not None else {},
        }
        if tls:
            make_certificate(self._certificate, key)
            table["tls"] = {"certificate": str(self._certificate), "key": str(key)}
        file = self._directory / "xfer.toml"
        file.write_text(to_toml(_merged(table, config or {})), encoding="utf-8")
        ours = str(Path(twisted_xfer.__file__).resolve().parent.parent)
        search = [*self._path, ours, os.environ.get("PYTHONPATH", "")]
        env = {"PYTHONPATH": os.pathsep.join(filter(None, search))}
        self.daemon = Daemon(["--config", str(file)], directory=self._directory, env=env)
        self.host, self.port = "127.0.0.1", 0

    def _install_faults(self) -> None:
        plugins = self._directory / "faults" / "twisted" / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        (plugins / "xfer_faults.py").write_text(_DROP_IN, encoding="utf-8")
        self._path.append(str(self._directory / "faults"))

    def __enter__(self) -> Self:
        """Start. Raises DaemonFailed."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and clean up."""
        self.stop()

    def start(self) -> Self:
        """Start and wait until it serves. Raises DaemonFailed with what it wrote."""
        try:
            self.daemon.start()
        except BaseException:
            self.stop()
            raise
        self.host, self.port = self.address("ftp")
        return self

    def stop(self) -> None:
        """Stop, by force if need be, and remove the temporary directory. May be called twice."""
        try:
            if self.daemon.running:
                self.daemon.stop()
        finally:
            self.daemon.close()
            if self._temporary is not None:
                self._temporary.cleanup()

    # --- where -----------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """The home of ``user``."""
        return self.root / self.user

    def address(self, protocol: str, *, tls: bool = False) -> tuple[str, int]:
        """Host and port where ``protocol`` listens; with ``tls`` where one of ``protocols`` does in TLS.

        Raises:
            DaemonFailed: it listens nowhere.
        """
        found = self.daemon.addresses(self._label(protocol))
        if len(found) <= tls:
            raise DaemonFailed(f"{protocol} listens nowhere{' in TLS' if tls else ''}:\n{self.daemon.output}")
        return found[tls][:2]

    def _label(self, place: str) -> str:
        """``PROTOCOL[@ACCOUNT]``, of the faulty twin where there is one and it is wanted.

        The account of ``protocols`` may be left out.
        """
        place = next((one for one in self._places if one.partition("@")[0] == place), place)
        faulty = self._faulty and place.partition("@")[0] in _FAULTY
        return f"faulty_{place}" if faulty else place

    def url(self, path: str = "", *, scheme: str = "ftp") -> str:
        """``scheme://user:password@host:port/path``; scheme and protocol have the same name."""
        host, port = self.address("ftp" if scheme == "ftpes" else scheme)
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{scheme}://{account}@{host}:{port}/{quote(path.lstrip('/'))}"

    @property
    def ca_file(self) -> Path:
        """The certificate, for clients to trust; it names 127.0.0.1 and localhost."""
        return self._certificate

    def ssl_context(self) -> ssl.SSLContext:
        """A client's context that trusts this server and nobody else."""
        return ssl.create_default_context(cafile=str(self._certificate))

    # --- what happened ---------------------------------------------------------------------

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened until now, in order: the lines of the ``json`` listener."""
        if not self._events.exists():
            return []
        *lines, _unfinished = self._events.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines]

    def wait_for(self, event_id: str, *, timeout: float = EVENT_SECONDS, **fields: Any) -> dict[str, Any]:
        """The first event of this id with these fields, once it is there.

        Raises:
            TimeoutError: it was not told within ``timeout`` seconds; the message has what was.
        """
        deadline = time.monotonic() + timeout
        wanted = {"id": event_id, **fields}
        while True:
            for event in self.events:
                if wanted.items() <= event.items():
                    return event
            if time.monotonic() > deadline:
                told = ", ".join(event["id"] for event in self.events)
                raise TimeoutError(f"no {wanted} within {timeout} s; there were: {told or 'none'}")
            time.sleep(_POLL_SECONDS)


def _has_xfer() -> bool:
    from twisted_xfer.plugins.registry import Registry

    return "xfer" in Registry.discover().names("protocol")


def _tables(faults: Mapping[str, Any], places: Sequence[str]) -> dict[str, Any]:
    """The options of each faulty protocol."""
    common = {key: value for key, value in faults.items() if key not in _FTP_FAULTS}
    names = {place.partition("@")[0] for place in places}
    return {
        f"faulty_{name}": {"faults": dict(faults if name == "ftp" else common)}
        for name in _FAULTY
        if name in names
    }


def _quoted(path: Path) -> str:
    """As an argument of an endpoint string."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


def _merged(ours: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in more.items():
        old = merged.get(key)
        if isinstance(old, list):
            merged[key] = [*old, *value]
        elif isinstance(old, dict):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged


def to_toml(table: Mapping[str, Any]) -> str:
    """``table`` as the text of a TOML file: texts, numbers, truth values, lists and tables."""
    return "".join(f"{json.dumps(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, str | Path):
        # TOML has the escapes of JSON, but for DEL and pairs of surrogates.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a key, and a certificate for 127.0.0.1, ::1 and localhost that is its own authority."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "xfer test server")])
    now = dt.datetime.now(tz=dt.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        # A day back, for clocks that differ; ninety ahead, before the daemon would warn of the end.
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
