"""``--auth certificate:FILE``: which certificate is whose, for accounts that are kept elsewhere."""

from __future__ import annotations

import os
import tomllib
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.accounts.account_file import Complaints, Stamp, read_account_file, stamp_of
from twisted_xfer.accounts.certificates import ANY, RULE_REMEDY, CertificateIndex, parse_rule
from twisted_xfer.accounts.realm import plain_username
from twisted_xfer.errors import ConfigError, LoginRefused
from twisted_xfer.interfaces import IClientCertificate

#: Pairs of certificate and account in one file.
MAX_PAIRS: Final = 200_000


def parse_certificates(text: str, file: str = "") -> CertificateIndex:
    """TOML: each key a rule, its value the name of an account or a list of them; ``"cn:*" = "*"``.

    Raises:
        ConfigError: with file, key, value and remedy.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("syntax", value=str(error), file=file, remedy="correct the TOML") from None
    pairs: list[tuple[str, str]] = []
    for key, value in document.items():
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) for name in names):
            remedy = "give the name of an account, or a list of names"
            # It may be a users file, given by mistake: its hashes are not repeated here.
            raise ConfigError(key, value="(not shown)", file=file, remedy=remedy)
        pairs.extend((_rule(key, name, file), _account(key, name, file)) for name in names)
        if len(pairs) > MAX_PAIRS:
            raise ConfigError(key, file=file, remedy=f"keep at most {MAX_PAIRS} certificates in a file")
    return CertificateIndex(pairs)


def _rule(key: str, name: str, file: str) -> str:
    try:
        rule = parse_rule(key)
    except ValueError:
        raise ConfigError(key, file=file, remedy=RULE_REMEDY) from None
    if (rule in {f"cn:{ANY}", f"san:{ANY}"}) != (name == ANY):
        remedy = f'"{ANY}" stands for every name on both sides or on none: "cn:{ANY}" = "{ANY}"'
        raise ConfigError(key, value=name, file=file, remedy=remedy)
    return rule


def _account(key: str, name: str, file: str) -> str:
    try:
        return plain_username(name)
    except LoginRefused as error:
        raise ConfigError(
            key, value=name[:80], file=file, remedy=f"choose another name: {error.detail}"
        ) from None


@implementer(ICredentialsChecker)
class CertificateFile:
    """Whose certificates are, from one file, read again when it changes.

    A file that becomes wrong while the daemon runs is logged, once, and what was read before stays.

    Raises:
        ConfigError: it cannot be read, others may write to it, or its contents are wrong.
    """

    credentialInterfaces = (IClientCertificate,)

    def __init__(self, path: str, *, log: Logger | None = None) -> None:
        self.path = path
        self._log = log or Logger()
        self._complaints = Complaints(path, self._log, "what was before stays")
        self._stamp: Stamp | None
        self._stamp, text = read_account_file(path, "certificate")
        self._index = parse_certificates(text, path)

    def __repr__(self) -> str:
        return f"<CertificateFile {self.path!r}>"

    def requestAvatarId(self, credentials: Any) -> Any:
        """The name of the account of IClientCertificate ``credentials``. Raises UnauthorizedLogin."""
        self.refresh()
        return self._index.find(credentials).encode("utf-8", "surrogateescape")

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether something new is in force."""
        try:
            if stamp_of(os.stat(self.path)) == self._stamp:
                return False
            stamp, text = read_account_file(self.path, "certificate")
            # Wrong or right, it is looked at once.
            self._stamp = stamp
            self._index = parse_certificates(text, self.path)
        except (OSError, ConfigError) as error:
            self._complaints.say(error)
            return False
        self._complaints.over()
        self._log.info("{path}: certificates in force", path=self.path)
        return True
