"""``--auth token:FILE``: passwords that a shop computes from user names and a secret.

A password is the HMAC-SHA256 of the user name in hex, so that no table of accounts is needed.
"""

import hashlib
import hmac
from pathlib import Path

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer


def password_for(username: bytes, secret: bytes) -> bytes:
    """What ``username`` logs in with."""
    return hmac.new(secret, username, hashlib.sha256).hexdigest().encode()


@implementer(ICredentialsChecker)
class TokenChecker:
    """Knows every user name, and the one password of each."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def requestAvatarId(self, credentials):
        """The user name, or UnauthorizedLogin; in a time that tells nothing."""
        username = credentials.username
        if not hmac.compare_digest(credentials.password, password_for(username, self._secret)):
            raise UnauthorizedLogin
        return username


@implementer(ICheckerFactory, IPlugin)
class TokenFactory:
    """Makes the checker from what stands behind ``token:``."""

    authType = "token"
    authHelp = "Passwords computed from user names with a secret."
    argStringFormat = "Path of the file with the secret."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> TokenChecker:
        """The checker with the secret in the file ``argstring``."""
        try:
            return TokenChecker(Path(argstring).read_bytes().strip())
        except OSError as error:
            raise InvalidAuthArgumentString(f"{argstring}: {error.strerror}") from None
