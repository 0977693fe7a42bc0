"""Who may log in: the checkers of the configuration, and settings of accounts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import attrs
from twisted.cred import strcred
from twisted.cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

from twisted_xfer.accounts.certificates import CertificateIndex
from twisted_xfer.accounts.realm import ANONYMOUS_NAME
from twisted_xfer.accounts.rights import parse_rights
from twisted_xfer.accounts.users_text import check_setting
from twisted_xfer.app.config import Auth, Config
from twisted_xfer.app.explain import explain
from twisted_xfer.app.rules import HOME
from twisted_xfer.errors import ConfigError, XferError
from twisted_xfer.interfaces import Account, IClientCertificate, QuotaScope
from twisted_xfer.plugins.options import options_from_table

__all__ = ["ANONYMOUS", "Accounts", "inline_accounts", "make_checkers"]


class AccountLookup(Protocol):
    """A checker that knows settings too."""

    def account(self, username: str) -> Account | None:
        """The settings of ``username``, or None."""
        ...


@implementer(ICredentialsChecker)
class _Nobody:
    """The checker of a daemon without any: knows nobody, so a login is refused and not an error."""

    credentialInterfaces: Sequence[type[Any]] = (IUsernamePassword,)

    def requestAvatarId(self, credentials: object) -> Any:
        """Refuse."""
        from twisted.cred.error import UnauthorizedLogin

        raise UnauthorizedLogin

    def account(self, username: str) -> Account | None:
        """Of nobody."""
        return None


@implementer(ICredentialsChecker)
class _OwnCertificates:
    """Whose certificates are, for accounts of the configuration itself."""

    credentialInterfaces: Sequence[type[Any]] = (IClientCertificate,)

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self.index = CertificateIndex(
            (rule, name) for name, account in accounts.items() for rule in account.certificates
        )

    def requestAvatarId(self, credentials: object) -> Any:
        """The account's name. Raises UnauthorizedLogin."""
        return self.index.find(credentials).encode("utf-8", "surrogateescape")


class Accounts:
    """Settings by user name: the configuration's own first, then those of the checkers in turn."""

    def __init__(self, inline: Mapping[str, Account], lookups: Iterable[AccountLookup]) -> None:
        self._inline = dict(inline)
        self._lookups = tuple(lookups)

    def anonymous(self) -> Account | None:
        """What the configuration, and no file of users, says of nobody in particular."""
        return self._inline.get(ANONYMOUS_NAME)

    def account(self, username: str) -> Account | None:
        """The settings of ``username``, or None when nobody has any."""
        found = self._inline.get(username)
        if found is not None:
            return found
        for lookup in self._lookups:
            found = lookup.account(username)
            if found is not None:
                return found
        return None


def make_checkers(config: Config, file: str = "") -> list[ICredentialsChecker]:
    """The checkers that ``config`` names, in order, and anonymous access if it is on.

    Raises:
        ConfigError: an unknown type or a bad argument; its text never holds the argument.
    """
    checkers = [_make_checker(auth, file) for auth in config.auth]
    inline = inline_accounts(config, file)
    for checker in checkers:
        # A users file answers with settings of its own; ours replace them whoever is asked.
        prefer = getattr(checker, "prefer", None)
        if callable(prefer) and inline:
            prefer(inline)
    own = _OwnCertificates(inline)
    if own.index:
        checkers.append(own)
    if config.anonymous:
        checkers.append(AllowAnonymousAccess())
    return checkers or [_Nobody()]


def _make_checker(auth: Auth, file: str) -> ICredentialsChecker:
    try:
        factory = strcred.findCheckerFactory(auth.type)  # type: ignore[no-untyped-call]
    except strcred.InvalidAuthType as error:
        known = sorted(found.authType for found in strcred.findCheckerFactories())  # type: ignore[no-untyped-call]
        remedy = f"no such type; there are {', '.join(known)} (see --help-auth)"
        raise ConfigError("auth", value=auth.type, file=file, remedy=remedy) from error
    if auth.type == "file" and auth.argument.strip() and not os.path.isfile(auth.argument):
        # Twisted's own only warns of it, and then nobody can log in.
        remedy = "no such file: name one of lines NAME:PASSWORD, in full"
        raise ConfigError("auth", value="file:...", file=file, remedy=remedy)
    try:
        checker: ICredentialsChecker = factory.generateChecker(auth.argument)
    except strcred.InvalidAuthArgumentString as error:
        # Ours names what is wrong in the file; a stranger's text may repeat a password.
        remedy = str(error) if auth.type in {"users", "certificate"} else _usage(factory)
        raise ConfigError("auth", value=f"{auth.type}:...", file=file, remedy=remedy) from error
    except (XferError, OSError) as error:
        raise ConfigError("auth", value=f"{auth.type}:...", file=file, remedy=explain(error)) from error
    except Exception as error:  # a stranger's factory raises what it likes, with the argument in it
        raise ConfigError("auth", value=f"{auth.type}:...", file=file, remedy=_usage(factory)) from error
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        _as_bytes(checker)
    return checker


def _as_bytes(checker: Any) -> None:
    """Names and passwords as bytes: strcred's memory factory keeps str, which no credentials equal."""
    for name, password in list(checker.users.items()):
        if isinstance(name, str):
            del checker.users[name]
            checker.addUser(
                name.encode("utf-8", "surrogateescape"), password.encode("utf-8", "surrogateescape")
            )


def _usage(factory: Any) -> str:
    return f"cannot be used: write {factory.authType}:ARGUMENT with {factory.argStringFormat}"


@attrs.frozen
class _AccountTable:
    """``[accounts.NAME]`` as written; see interfaces.Account."""

    home: str = ""
    rights: str | list[str] = "all"
    paths: dict[str, str | list[str]] = attrs.field(factory=dict)
    path_rights: dict[str, str | list[str]] = attrs.field(factory=dict)
    charset: str = ""
    max_sessions: int = 0
    require_tls: Literal["none", "control", "data", "both"] | bool = False
    quota_bytes: int | str | None = None
    quota_files: int | None = None
    directory_quotas: dict[str, Any] = attrs.field(factory=dict)
    rate_up: int | str = 0
    rate_down: int | str = 0
    comment: str = ""
    groups: tuple[str, ...] = ()
    if_exists: Literal["", "overwrite", "refuse", "rename"] = ""
    enabled: bool = True
    expires: str = ""
    hours: str | tuple[str, ...] = ()
    networks: str | tuple[str, ...] = ()
    certificates: str | tuple[str, ...] = ()
    require: Literal["", "password", "certificate", "certificate+password"] = ""


#: Settings whose values are read as in a users file.
_CHECKED: Final = (
    "charset",
    "max_sessions",
    "quota_bytes",
    "quota_files",
    "rate_up",
    "rate_down",
    "expires",
    "hours",
    "networks",
    "certificates",
)


def inline_accounts(config: Config, file: str = "") -> dict[str, Account]:
    """The accounts that the configuration sets by itself.

    Raises:
        ConfigError: a wrong key or value.
    """
    return {name: _account(name, table, file) for name, table in config.accounts.items()}


def _account(name: str, table: Mapping[str, Any], file: str) -> Account:
    where = f"accounts.{name}"
    plain = options_from_table(_AccountTable, table, where=where, file=file)
    fields = {field.name: getattr(plain, field.name) for field in attrs.fields(_AccountTable)}
    quotas = check_setting(
        "directory_quotas", fields.pop("directory_quotas"), f"{where}.directory_quotas", file
    )
    fields["quota_scopes"] = tuple(
        QuotaScope(f"/user/{name}{place}", limit, below=place) for place, limit in quotas.items()
    )
    if plain.home:
        _check_home(plain.home, where, file)
    fields["rights"] = parse_rights(plain.rights, key=f"{where}.rights", file=file)
    fields["expires"] = None
    for setting in _CHECKED:
        if given := getattr(plain, setting):
            value = list(given) if isinstance(given, tuple) else given
            fields[setting] = check_setting(setting, value, f"{where}.{setting}", file)
    # The users file calls it path_rights; here the table [accounts.NAME.paths] was first.
    fields["path_rights"] = (
        *check_setting("path_rights", fields.pop("paths"), f"{where}.paths", file),
        *check_setting("path_rights", plain.path_rights, f"{where}.path_rights", file),
    )
    return Account(name, **fields)


def _check_home(home: str, where: str, file: str) -> None:
    try:
        HOME.parse(home)
    except ValueError:
        raise ConfigError(f"{where}.home", value=home, file=file, remedy=f"must be {HOME.expects}") from None
