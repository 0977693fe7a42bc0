"""Client certificates: who signs them, which were revoked, and what a verified one says."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final, Literal
from weakref import WeakKeyDictionary

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import CertificateFacts
from twisted_xfer.runtime.tls_channel import HandshakeNotes
from twisted_xfer.runtime.tls_identity import EXPIRY_DAYS, fingerprint, read_pem

#: Whether clients are asked for a certificate: not at all, one that is shown must be good, or each must show one.
Policy = Literal["off", "ask", "require"]

#: Alternative names that are looked at; nobody has as many.
MAX_NAMES: Final = 100
#: Letters of a name that get into a log.
MAX_LOGGED: Final = 80
_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
#: The alternative names that can be somebody's; others (directory names and the like) are none of ours.
_KINDS: Final = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)

#: X509_verify_cert(3): what operators meet, in words that say what to do.
_REASONS: Final = {
    3: "there is no revocation list of its authority: put one into tls.client_crl",
    7: "its signature is wrong",
    8: "the signature of its authority's revocation list is wrong",
    9: "it is not valid yet",
    10: "it has expired",
    11: "the revocation list of its authority is not valid yet: check the clock",
    12: "the revocation list of its authority has expired: renew tls.client_crl",
    18: "it is signed by itself",
    19: "its authority is not in tls.client_ca",
    20: "its authority is not in tls.client_ca",
    21: "its authority is not in tls.client_ca",
    23: "it was revoked",
    24: "it is signed by what is no authority",
    26: "it is not for clients (extendedKeyUsage)",
    79: "it is signed by what is no authority",
}


@attrs.frozen
class ClientTrust:
    """Whose certificates clients may show.

    ``authorities`` sign them; ``lists`` name those that were revoked, and with any at all each
    authority needs one of its own.
    """

    policy: Policy
    authorities: tuple[x509.Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    ca_source: str = ""
    crl_source: str = ""
    _prepared: tuple[crypto.X509, ...] = attrs.field(init=False, repr=False)

    #: One entry for each control connection, and as long as it lasts.
    _watched: WeakKeyDictionary[SSL.Connection, HandshakeNotes] = attrs.field(
        init=False, repr=False, eq=False, factory=WeakKeyDictionary
    )

    @_prepared.default
    def _prepare(self) -> tuple[crypto.X509, ...]:
        return tuple(crypto.X509.from_cryptography(one) for one in self.authorities)

    @classmethod
    def load(cls, policy: Policy, ca: str, crl: str = "") -> ClientTrust:
        """Read PEM files: one of authorities, and one of revocation lists (empty for none).

        Raises:
            ConfigError: unreadable, not what it should be, or an authority without a list.
        """
        raw = read_pem("tls.client_ca", ca)
        try:
            authorities = x509.load_pem_x509_certificates(raw)
        except ValueError as error:
            raise ConfigError(
                "tls.client_ca",
                value=ca,
                remedy="must be a PEM file of the authorities that sign for clients",
            ) from error
        lists = _read_lists(crl) if crl else ()
        return cls.of(policy, authorities, lists, ca_source=ca, crl_source=crl)

    @classmethod
    def of(
        cls,
        policy: Policy,
        authorities: Sequence[x509.Certificate],
        lists: Sequence[x509.CertificateRevocationList] = (),
        *,
        ca_source: str = "",
        crl_source: str = "",
    ) -> ClientTrust:
        """Of what is in memory.

        Raises:
            ConfigError: a list that its authority has not signed, or an authority without one.
        """
        for one in lists:
            signers = [ca for ca in authorities if ca.subject == one.issuer]
            if signers and not any(_signed(one, ca) for ca in signers):
                remedy = f"holds a list that {_name(one.issuer)} has not signed: fetch it again"
                raise ConfigError("tls.client_crl", value=crl_source, remedy=remedy)
        issuers = {one.issuer for one in lists}
        for ca in authorities:
            if lists and ca.subject not in issuers:
                remedy = f"has no list of {_name(ca.subject)}: add one, or nobody whom it signed gets in"
                raise ConfigError("tls.client_crl", value=crl_source, remedy=remedy)
        return cls(policy, tuple(authorities), tuple(lists), ca_source, crl_source)

    def apply(self, context: SSL.Context) -> None:
        """Have ``context``, which is still fresh, ask its clients.

        The lists are copied into each context, which costs about a millisecond for a thousand
        certificates; ``read_pem`` bounds the file they come from, and contexts are shared.
        """
        if self.policy == "off":
            return
        store = context.get_cert_store()
        if store is None:
            raise ConfigError(
                "tls.client_ca", value=self.ca_source, remedy="cannot be used with this OpenSSL"
            )
        for authority in self._prepared:
            store.add_cert(authority)
        for certificate in self.authorities:
            context.add_client_ca(certificate)
        for one in self.lists:
            store.add_crl(one)
        if self.lists:
            store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)
        mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if self.policy == "require" else 0)
        context.set_verify(mode, self._verified)

    def watch(self, connection: SSL.Connection, notes: HandshakeNotes) -> None:
        """Note there why the client of ``connection``, whose app data are Twisted's, was refused."""
        self._watched[connection] = notes

    def _verified(
        self, connection: SSL.Connection, certificate: crypto.X509, code: int, _depth: int, good: int
    ) -> bool:
        """The verify callback: OpenSSL's verdict stands, and its reason is kept for whoever asks."""
        own = connection.get_app_data()
        notes = own if isinstance(own, HandshakeNotes) else self._watched.get(connection)
        if not good and notes is not None and not notes.refusal:
            shown = _name(certificate.to_cryptography().subject)
            reason = _REASONS.get(code, f"X.509 error {code}")
            notes.refusal = f"certificate {shown} refused: {reason}"
        return bool(good)

    def warnings(self, now: dt.datetime) -> list[str]:
        """What keeps clients out, or soon will."""
        if self.policy == "off":
            return []
        found: list[str] = []
        for ca in self.authorities:
            end = ca.not_valid_after_utc
            if end < now:
                found.append(
                    f"the authority {_name(ca.subject)} in {self.ca_source} expired on {end:%Y-%m-%d}: "
                    "nobody whom it signed gets in"
                )
            elif end - now < dt.timedelta(days=EXPIRY_DAYS):
                found.append(
                    f"the authority {_name(ca.subject)} in {self.ca_source} expires on {end:%Y-%m-%d}"
                )
        known = {ca.subject for ca in self.authorities}
        for one in self.lists:
            whose = f"the revocation list of {_name(one.issuer)} in {self.crl_source}"
            if one.next_update_utc is not None and one.next_update_utc < now:
                found.append(
                    f"{whose} expired on {one.next_update_utc:%Y-%m-%d %H:%M} UTC: "
                    "nobody whom it signed gets in until it is renewed"
                )
            if one.last_update_utc > now:
                found.append(
                    f"{whose} is not valid before {one.last_update_utc:%Y-%m-%d %H:%M} UTC: check the clock"
                )
            if one.issuer not in known:
                found.append(f"{whose} is of no authority in {self.ca_source}: is it the right one?")
        return found


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    """What ``certificate``, which OpenSSL has verified, says of its owner. At most MAX_NAMES names."""
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common_name = common[0].value if len(common) == 1 else ""
    names: list[str] = []
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        # None, or such as cannot be read: then it is known by the others.
        found = None
    for one in found or ():
        if isinstance(one, _KINDS):
            names.append(one.value)
        elif isinstance(one, x509.IPAddress):
            names.append(str(one.value))
    return CertificateFacts(
        common_name if isinstance(common_name, str) else "",
        tuple(names[:MAX_NAMES]),
        fingerprint(certificate),
    )


def _read_lists(path: str) -> list[x509.CertificateRevocationList]:
    found = _LIST.findall(read_pem("tls.client_crl", path))
    remedy = "must be a PEM file of certificate revocation lists"
    if not found:
        raise ConfigError("tls.client_crl", value=path, remedy=remedy)
    try:
        return [x509.load_pem_x509_crl(one) for one in found]
    except ValueError as error:
        raise ConfigError("tls.client_crl", value=path, remedy=remedy) from error


def _signed(one: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if not isinstance(
        key,
        rsa.RSAPublicKey
        | ec.EllipticCurvePublicKey
        | dsa.DSAPublicKey
        | ed25519.Ed25519PublicKey
        | ed448.Ed448PublicKey,
    ):
        return False
    try:
        return one.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False


def _name(name: x509.Name) -> str:
    """As short as it can be told apart, with nothing in it that a log could trip over."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return repr(text[:MAX_LOGGED])
