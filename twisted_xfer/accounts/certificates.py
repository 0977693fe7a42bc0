"""Whose a client certificate is: rules such as ``cn:alice``, and finding the account that they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from twisted.cred.error import UnauthorizedLogin

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import Account, CertificateFacts, IClientCertificate

#: Certificates of one account.
MAX_RULES: Final = 100
#: What may stand in ``require`` of an account.
REQUIRE: Final = ("", "password", "certificate", "certificate+password")
#: Letters of one rule: the longest name in a certificate that anybody has used.
MAX_RULE: Final = 1024
#: In a rule of a map: whatever stands there, and the account that is called so.
ANY: Final = "*"
#: What is wrong with a rule, as a remedy.
RULE_REMEDY: Final = 'write "cn:NAME", "san:NAME" or "sha256:" and 64 hexadecimal digits'
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def parse_rule(text: str) -> str:
    """``text`` in the one form in which it is compared.

    ``cn:`` the common name, to the letter; ``san:`` one of the alternative names, in any case;
    ``sha256:`` the fingerprint, with colons or without.

    Raises:
        ValueError: it is none.
    """
    kind, colon, value = text.strip().partition(":")
    value = value.strip()
    if not colon or not value or len(value) > MAX_RULE or "\0" in value:
        raise ValueError
    if kind == "cn":
        return f"cn:{value}"
    if kind == "san":
        return f"san:{value.lower()}"
    digest = value.replace(":", "").lower()
    if kind != "sha256" or not _DIGEST.fullmatch(digest):
        raise ValueError
    return f"sha256:{digest}"


def read_rules(value: Any, key: str, file: str) -> tuple[str, ...]:
    """``certificates`` of an account: one rule, or a list of them.

    Raises:
        ConfigError: one that is none, or too many.
    """
    texts = [value] if isinstance(value, str) else value
    try:
        if not isinstance(texts, list) or len(texts) > MAX_RULES:
            raise ValueError
        rules = tuple(parse_rule(text) for text in texts)
        if any(rule.endswith(f":{ANY}") for rule in rules):
            raise ValueError
    except (ValueError, AttributeError):
        raise ConfigError(key, value=value, file=file, remedy=RULE_REMEDY) from None
    return rules


def read_require(value: Any, key: str, file: str) -> str:
    """``require`` of an account: what it takes to be let in.

    Raises:
        ConfigError: another word.
    """
    if value not in REQUIRE:
        remedy = "use " + ", ".join(f'"{word}"' for word in REQUIRE[1:])
        raise ConfigError(key, value=value, file=file, remedy=remedy)
    return str(value)


def keys_of(facts: CertificateFacts) -> list[str]:
    """Every rule that a certificate satisfies. As many as it has names, which the facts bound."""
    keys = [f"sha256:{facts.fingerprint}"]
    if facts.common_name:
        keys.append(f"cn:{facts.common_name}")
    keys.extend(f"san:{name.lower()}" for name in facts.names)
    return keys


class CertificateIndex:
    """From what certificates say to accounts.

    Args:
        rules: pairs of a rule, parsed, and the name of an account. The name ANY takes what the rule is
            about for the account's name, the rule then being ``cn:*`` or ``san:*``.
    """

    def __init__(self, rules: Iterable[tuple[str, str]] = ()) -> None:
        self._names: dict[str, set[str]] = {}
        self._kinds: set[str] = set()
        for rule, username in rules:
            if username == ANY:
                self._kinds.add(rule.partition(":")[0])
            else:
                self._names.setdefault(rule, set()).add(username)

    def __bool__(self) -> bool:
        """Whether it can find anybody."""
        return bool(self._names or self._kinds)

    def usernames(self, facts: CertificateFacts) -> set[str]:
        """All whom the certificate is of."""
        found: set[str] = set()
        for key in keys_of(facts):
            found |= self._names.get(key, set())
            kind, _, value = key.partition(":")
            if kind in self._kinds:
                found.add(value)
        return found

    def find(self, credentials: Any) -> str:
        """The account that IClientCertificate ``credentials`` are of.

        Raises:
            UnauthorizedLogin: not of the account asked for, or, asked for none, not of exactly one.
        """
        found = self.usernames(credentials.certificate)
        wanted: str = credentials.username.decode("utf-8", "surrogateescape")
        if not wanted and len(found) == 1:
            return found.pop()
        if not wanted or wanted not in found:
            raise UnauthorizedLogin
        return wanted


def is_asked_for(credentials: Any, answer: object) -> bool:
    """Whether a checker's ``answer`` names the account that ``credentials`` asked for, if they ask for one.

    A checker that only looks at a certificate may answer with whoever it is of.
    """
    if not IClientCertificate.providedBy(credentials):
        return True
    wanted: bytes = credentials.username
    name = answer.username if isinstance(answer, Account) else answer
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    return isinstance(name, bytes) and bool(name) and name == (wanted or name)
