"""Client certificates: what a verified one says, and the credentials that it makes."""

from __future__ import annotations

import attrs
from twisted.cred.credentials import ICredentials
from zope.interface import Attribute, implementer

from twisted_xfer.values import Value


@attrs.frozen(eq=False, repr=False)
class CertificateFacts(Value):
    """What a client's certificate says of whom it is for.

    There are facts only of a certificate that TLS has verified: signed by an authority of ours,
    valid today, not revoked, its key shown to be there. ``common_name`` is the subject's, empty
    unless there is exactly one. ``names`` are its alternative names: DNS names, e-mail addresses,
    URIs and IP addresses as text. ``fingerprint`` is SHA-256 of the whole, in lower-case hex.
    """

    common_name: str
    names: tuple[str, ...]
    fingerprint: str

    def __str__(self) -> str:
        """By what an operator knows it."""
        return repr(self.common_name or next(iter(self.names), "")) + f" (sha256:{self.fingerprint})"


class IClientCertificate(ICredentials):
    """Credentials for a checker that knows whose a certificate is.

    It answers with the account asked for, if the certificate is that one's, and fails with
    UnauthorizedLogin otherwise, whether or not there is such an account. Asked for no account, it
    answers with the one that the certificate is of, and fails unless there is exactly one.
    """

    username: bytes = Attribute("the account asked for; empty for the one that the certificate is of")
    certificate: CertificateFacts = Attribute("CertificateFacts of the verified certificate")


@implementer(IClientCertificate)
@attrs.frozen(eq=False, repr=False)
class ClientCertificate(Value):
    """See IClientCertificate. Made by protocols, of ``ITLSSession.facts`` and never of what a peer said."""

    username: bytes
    certificate: CertificateFacts
