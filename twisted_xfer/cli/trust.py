"""Whose keys are known, and our own: kept in the user's configuration directory."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from twisted_xfer.cli.output import say
from twisted_xfer.errors import StorageFailure

#: A store is one line a peer; more than this is not ours.
MAX_STORE: Final = 1024 * 1024
#: Our own certificate is known by its key, so that its dates say nothing.
_YEARS: Final = 20


def directory() -> Path:
    """Where it all is; XFER_CONFIG_DIR moves it."""
    import platformdirs

    moved = os.environ.get("XFER_CONFIG_DIR")
    return Path(moved) if moved else platformdirs.user_config_path("xfer")


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Say of which file of ours it is that the system refuses."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(str(path), error.strerror or str(error)) from error


class KnownKeys:
    """Peers that were met before: ``host:port digest`` a line.

    Its methods raise StorageFailure.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or directory() / "known_peers"

    def get(self, place: str) -> str | None:
        """The digest of the key that ``place`` had, or None."""
        with _kept(self.path):
            try:
                with self.path.open("r", encoding="utf-8", errors="replace") as stream:
                    text = stream.read(MAX_STORE)
            except FileNotFoundError:
                return None
        found = None
        for line in text.splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0] == place:
                found = fields[1]
        return found

    def add(self, place: str, digest: str) -> None:
        """Remember it."""
        with _kept(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(f"{place} {digest}\n")

    def trusts(self, place: str, digest: str) -> bool:
        """Whether this very key was met there before."""
        return self.get(place) == digest


def own_certificate() -> str:
    """The path of our own key and self-signed certificate, made at the first use. Raises StorageFailure."""
    path = directory() / "receive.pem"
    with _kept(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(prefix=".receive-", dir=path.parent)
            with open(handle, "wb") as stream:
                stream.write(_make_certificate())
            os.replace(temporary, path)
            say(f"made a key and a certificate of our own: {path}")
    return str(path)


def _make_certificate() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "xfer receive")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def certificate_pin(path: str) -> str:
    """The SHA-256 of the public key in the certificate at ``path``."""
    from OpenSSL import crypto

    from twisted_xfer.protocols.xfer.secure import key_digest

    with open(path, "rb") as stream:
        return key_digest(crypto.load_certificate(crypto.FILETYPE_PEM, stream.read()))
