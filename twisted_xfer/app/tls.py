"""The daemon's certificates: from the configuration to TLS, and what to warn of."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from twisted_xfer.app.config import Config
from twisted_xfer.errors import ConfigError
from twisted_xfer.runtime.tls import TLS, TLSFiles
from twisted_xfer.runtime.tls_identity import Identity, exposure, self_signed, write_pem

#: access(2) asks for the real user otherwise, who stays root with ``twistd --euid``.
_EFFECTIVE: Final = os.access in os.supports_effective_ids


def tls_files(config: Config) -> TLSFiles | None:
    """The PEM files that ``config`` names; None without a certificate."""
    tls = config.tls
    if not tls.certificate:
        return None
    more = tuple((one["certificate"], one["key"]) for one in tls.more)
    return TLSFiles(
        ((tls.certificate, tls.key), *more),
        client_ca=tls.client_ca,
        client_crl=tls.client_crl,
        policy=tls.client_certificate,
    )


def make_tls(config: Config, reactor: Any, log: Logger) -> TLS | None:
    """TLS for the daemon; None without a certificate.

    Raises:
        ConfigError: a file is unreadable or wrong, or a key is another certificate's.
    """
    files = tls_files(config)
    return None if files is None else TLS(reactor, files, log=log)


def certificate_warnings(config: Config, now: dt.datetime) -> list[str]:
    """What is about to go wrong with the certificates, which were read once already, maybe with more rights."""
    files = tls_files(config)
    found = [
        f"{path} cannot be read any more, now that the daemon is another user: renewed, it is taken up at the "
        "next start only; let a group of that user read it"
        for path in dict.fromkeys(files.paths if files is not None else ())
        if not os.access(path, os.R_OK, effective_ids=_EFFECTIVE)
    ]
    for certificate, key in files.pairs if files is not None else ():
        try:
            identity = Identity.load(certificate, key)
        except ConfigError:
            continue
        found += identity.warnings(now)
        if exposed := exposure(key):
            found.append(exposed)
    if _reads_certificates(config) and (files is None or not files.asks):
        found.append("accounts want client certificates, and nobody is asked for one: give --tls-client-ca")
    with contextlib.suppress(ConfigError):
        trust = files.trust() if files is not None else None
        found += trust.warnings(now) if trust is not None else []
    return found


def _reads_certificates(config: Config) -> bool:
    """Whether somebody is to be known by a certificate, as far as the configuration itself tells."""
    tables = config.accounts.values()
    return any(auth.type == "certificate" for auth in config.auth) or any(
        table.get("certificates") or "certificate" in str(table.get("require", "")) for table in tables
    )


def make_demo_certificate(directory: str, *names: str) -> tuple[str, str]:
    """Make a self-signed certificate and its key in ``directory``: the paths of both.

    ``names`` are the host names and addresses that clients will use.
    """
    certificate, key = Path(directory) / "certificate.pem", Path(directory) / "key.pem"
    wanted = tuple(dict.fromkeys((*names, "localhost", "127.0.0.1", "::1")))
    write_pem(self_signed(wanted, now=dt.datetime.now(dt.UTC)), certificate, key)
    return str(certificate), str(key)
