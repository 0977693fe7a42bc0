"""Credentials of logins that send no password: SCRAM, tokens, client certificates."""

from __future__ import annotations

import attrs
from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface, implementer

from twisted_xfer.interfaces._certificate import CertificateFacts
from twisted_xfer.sansio.scram import Verifier
from twisted_xfer.values import Value


class IScramProof(ICredentials):
    """A peer that will prove that it knows a password, once it is asked with the salt of that password.

    A checker that has a verifier for ``username`` calls ``prove`` and answers with the account when
    that has fired; one that knows no such user fails with UnauthorizedLogin at once and leaves it
    to the others. The last in the chain asks strangers for a proof that nobody can give.
    """

    username: bytes = Attribute("the account asked for, UTF-8")

    def prove(verifier: Verifier) -> Deferred[None]:
        """Ask the peer. Once only.

        Fails with LoginFailed for a wrong proof, and with what else ends the exchange.
        """


class IToken(ICredentials):
    """A secret that stands for an account, with less rights than it and for a while."""

    username: bytes = Attribute("what to call it in events, and whose guesses count")
    account: bytes = Attribute("the account that it is said to be of; empty: whosever it is")
    token: bytes = Attribute("the secret; never in a representation, a log or an event")


class IKnowsVerifiers(Interface):
    """A checker of passwords that can tell whether SCRAM would do for all its users."""

    def scram_for_all() -> bool:
        """Whether every user with a password has a verifier too, and there is one at all."""


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
