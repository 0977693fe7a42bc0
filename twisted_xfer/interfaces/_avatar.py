"""Accounts as protocols see them."""

from __future__ import annotations

import enum
from typing import Literal

import attrs
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._both import ILimiter
from twisted_xfer.interfaces._certificate import CertificateFacts
from twisted_xfer.interfaces._quota import QuotaScope
from twisted_xfer.interfaces._storage import Eventually, IStorage
from twisted_xfer.values import Value


class Right(enum.StrEnum):
    """What an account may do; each is asked for in one place, the avatar."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    OVERWRITE = "overwrite"
    APPEND = "append"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    CHMOD = "chmod"
    UTIME = "utime"

    # enum's own is written in Python, and sets of rights are asked several times for each file.
    __hash__ = str.__hash__


READ_ONLY = frozenset({Right.LIST, Right.READ})
ALL_RIGHTS = frozenset(Right)


@attrs.frozen(eq=False, repr=False)
class LoginContext(Value):
    """Facts of the connection that asks for an avatar: the ``mind`` of the portal.

    ``peer`` and ``local`` are IP addresses as text; ``session_id`` is unique in the daemon's life.
    ``certificate`` says what a verified client certificate says, None without one. ``factors`` are what
    proved the account where that certificate had a part in it, {"certificate"} or {"certificate",
    "password"}, and are empty otherwise; ``certificate_of`` is the account whose certificate came with a
    password. ILogin fills both in, protocols leave them. ``data_apart``: content does not go over this
    connection, and the protocol asks for ``Account.tls_data`` itself where it does. ``login`` counts the
    logins of a session that may have several, one after the other, from 1 on.
    """

    protocol: str
    session_id: str
    peer: str
    local: str = ""
    secure: bool = False
    certificate: CertificateFacts | None = None
    factors: frozenset[str] = frozenset()
    certificate_of: str = ""
    data_apart: bool = False
    login: int = 1


@attrs.frozen(eq=False, repr=False)
class Account(Value):
    """The settings of one account, as a checker or the configuration gives them. No password.

    ``home`` replaces the daemon's template when it is not empty; ``charset`` is the Python codec
    of its names on the wire; ``path_rights`` narrows or widens rights below a virtual path
    pattern, last match wins. ``quota_scopes`` are what its files count in besides: groups that
    share a limit, and directories that have one. ``if_exists`` is what an upload to a taken name
    does unless the protocol says so; empty: as the daemon's setting. It may log in while it is
    ``enabled``, before ``expires`` (Unix seconds), within ``hours`` (such as "mon-fri 08:00-18:00",
    local time; none: always) and from ``networks`` (such as "10.0.0.0/8"; none: anywhere). ``within`` is a
    virtual directory outside of which it has no right, whatever the others say; empty: none.

    ``require_tls`` is what must not be in clear; true means both.

    ``certificates`` say by which client certificates it may log in: "cn:alice", "san:alice@example.com" or
    "sha256:HEX". ``require`` is what it takes; empty: a certificate of its own or its password, whichever comes.
    """

    username: str
    home: str = ""
    rights: frozenset[Right] = ALL_RIGHTS
    path_rights: tuple[tuple[str, frozenset[Right]], ...] = ()
    charset: str = ""
    max_sessions: int = 0
    require_tls: bool | Literal["none", "control", "data", "both"] = False
    quota_bytes: int | None = None
    quota_files: int | None = None
    rate_up: int = 0
    rate_down: int = 0
    comment: str = ""
    groups: tuple[str, ...] = ()
    quota_scopes: tuple[QuotaScope, ...] = ()
    if_exists: Literal["", "overwrite", "refuse", "rename"] = ""
    enabled: bool = True
    expires: float | None = None
    hours: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    within: str = ""
    certificates: tuple[str, ...] = ()
    require: Literal["", "password", "certificate", "certificate+password"] = ""

    @property
    def tls_login(self) -> bool:
        """Whether it may not log in in clear."""
        return self.require_tls in {"control", "both", True}

    @property
    def tls_data(self) -> bool:
        """Whether nothing of it may be transferred in clear."""
        return self.require_tls in {"data", "both", True}


class IAvatar(IStorage):
    """A logged-in user: the verbs of IStorage with rights, quota and events applied.

    Every verb may also fail with RightMissing and QuotaExceeded.
    """

    username: str = Attribute("account name")
    session_id: str = Attribute("the session it belongs to")
    account: Account = Attribute("its settings")
    upload_limiter: ILimiter | None = Attribute("ILimiter or None")
    download_limiter: ILimiter | None = Attribute("ILimiter or None")

    def may(right: Right, path: object = None) -> bool:
        """Whether the account has ``right`` (at ``path``, a VirtualPath): for facts and hints only."""

    def logout() -> None:
        """End: release limits and descriptors. May be called twice."""


class ILogin(Interface):
    """The one way in: back-off, portal, checker chain, realm, events, in equal time."""

    anonymous: bool = Attribute("whether IAnonymous credentials are accepted at all")

    def requires_tls(username: str) -> bool:
        """Whether ``username``, real or not, must not send a password in clear."""

    def login(credentials: object, context: LoginContext) -> Eventually[IAvatar]:
        """``credentials`` provides a twisted.cred credentials interface.

        Fails with LoginFailed, LoginRefused, LimitReached, Banned, TLSRequired.
        """

    def takes(kind: type[Interface]) -> bool:
        """Whether credentials that provide ``kind`` can log anybody in now: what a protocol may offer."""

    def by_certificate(username: str, context: LoginContext) -> Eventually[IAvatar | None]:
        """With the certificate in ``context`` and nothing else, for protocols that ask for a password next.

        None when that is not enough: the certificate is not this account's, or the account wants a
        password as well, or is not there. Then nothing counts as a guess and no event is told, for the
        password decides. Fails with LoginRefused, LimitReached, Banned, TLSRequired.
        """

    def trusted(username: str, context: LoginContext) -> Eventually[IAvatar]:
        """Without a password: the account that the operator gave to a listener (``PROTOCOL@ACCOUNT``).

        Never with a name that came over a wire. Fails with LoginRefused, LimitReached, TLSRequired.
        """
