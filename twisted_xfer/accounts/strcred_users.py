"""``--auth users:FILE``: a strcred factory that imports what it needs only when it is used."""

from __future__ import annotations

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(ICheckerFactory, IPlugin)
class UsersCheckerFactory:
    """Makes a checker over a users file; hashes are checked in threads once the daemon attaches its pools."""

    authType = "users"
    authHelp = (
        "Accounts from a file, in TOML or one line each (NAME:HASH[:HOME[:RIGHTS]]), with argon2 hashes. "
        "The file is read again when it changes."
    )
    argStringFormat = "Path of the users file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> ICredentialsChecker:
        """The checker for the file ``argstring``.

        Raises:
            InvalidAuthArgumentString: file, key and remedy of what is wrong.
        """
        import time

        from twisted_xfer.accounts.users_file import UsersFile
        from twisted_xfer.errors import ConfigError

        path = argstring.strip()
        if not path:
            raise InvalidAuthArgumentString("users: give a path: users:FILE")
        try:
            return UsersFile(path, seconds=time.monotonic)
        except ConfigError as error:
            raise InvalidAuthArgumentString(
                f"{error.file}: {error.key}: {error.remedy} (now {error.value!r})"
            ) from None
