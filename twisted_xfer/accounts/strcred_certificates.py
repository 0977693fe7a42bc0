"""``--auth certificate:FILE``: a strcred factory that imports what it needs only when it is used."""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import Interface, implementer


@implementer(ICheckerFactory, IPlugin)
class CertificateCheckerFactory:
    """Makes a checker that knows whose client certificates are, for accounts that are kept elsewhere."""

    authType = "certificate"
    authHelp = (
        "Client certificates and the accounts that they are of, from a TOML file: "
        '"cn:NAME", "san:NAME" or "sha256:HEX" = "ACCOUNT"; "cn:*" = "*" takes the name for the account. '
        "TLS must ask for certificates: --tls-client-ca. The file is read again when it changes."
    )
    argStringFormat = "Path of the file."

    @property
    def credentialInterfaces(self) -> tuple[type[Interface], ...]:
        """What its checkers take."""
        from twisted_xfer.interfaces import IClientCertificate

        return (IClientCertificate,)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """The checker for the file ``argstring``.

        Raises:
            InvalidAuthArgumentString: file, key and remedy of what is wrong.
        """
        from twisted_xfer.accounts.certificate_file import CertificateFile
        from twisted_xfer.errors import ConfigError

        path = argstring.strip()
        if not path:
            raise InvalidAuthArgumentString("certificate: give a path: certificate:FILE")
        try:
            return CertificateFile(path)
        except ConfigError as error:
            raise InvalidAuthArgumentString(
                f"{error.file}: {error.key}: {error.remedy} (now {error.value!r})"
            ) from None
