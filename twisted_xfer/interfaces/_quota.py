"""Quota ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._storage import Eventually
from twisted_xfer.paths import VirtualPath
from twisted_xfer.values import Value


class Usage(NamedTuple):
    """What an account uses: published bytes and files, and bytes reserved by uploads under way."""

    bytes: int
    files: int
    reserved: int = 0


@attrs.frozen(eq=False, repr=False)
class QuotaScope(Value):
    """One thing that is counted: an account, a group of accounts, or a directory of an account.

    ``name`` is its name in the ledger: the user name of an account, anything that starts with a
    slash for the others. ``below`` is the virtual directory of the account in which it counts,
    ``/`` being all of it. A limit of None is none.
    """

    name: str
    limit_bytes: int | None = None
    limit_files: int | None = None
    below: str = "/"


class QuotaStatus(NamedTuple):
    """One scope with what is used of it."""

    scope: QuotaScope
    usage: Usage


class IReservation(Interface):
    """Room set aside for one upload."""

    granted: int = Attribute("bytes set aside so far")

    def extend(size: int) -> int:
        """Ask for ``size`` more; how many were granted, at least 1.

        Raises:
            QuotaExceeded: none. Its field ``left`` is what would be left without this upload.
        """

    def commit(actual: int, files: int = 1) -> None:
        """The upload was published with a net growth of ``actual`` bytes and ``files`` files."""

    def release() -> None:
        """Nothing was published. May be called after commit, and twice."""


class IQuotaLedger(Interface):
    """Counts bytes and files per account; the only truth about quota."""

    def reserve(
        username: str,
        size: int | None,
        *,
        limit_bytes: int | None,
        limit_files: int | None,
        also: Sequence[QuotaScope] = (),
        files: int = 1,
    ) -> Eventually[IReservation]:
        """Set room aside; ``size`` None means unknown. Fails with QuotaExceeded.

        The same room is set aside in the scopes of ``also``, in all or in none. ``files`` is 0
        where a file that is counted already is to be replaced.
        """

    def adjust(username: str, size: int, files: int) -> Eventually[None]:
        """A delete, rename or recount changed what is published by these amounts (may be negative)."""

    def usage(username: str) -> Eventually[Usage]:
        """What is used."""

    def close() -> None:
        """Let go. May be called twice."""


class ICountsAnew(Interface):
    """A ledger that knows when it may be wrong, and takes a fresh count."""

    def exact(name: str) -> bool:
        """Whether ``name`` has been counted, and nothing has happened since that was not told."""

    def doubt(name: str) -> None:
        """What is known of ``name`` may be wrong from here on, until it is counted."""

    def begin_count(name: str) -> int | None:
        """Before counting: what to give to end_count; None while uploads of ``name`` are under way."""

    def end_count(name: str, size: int, files: int, began: int, also: Sequence[str] = ()) -> bool:
        """This is what was found; False when something changed meanwhile and nothing was set.

        The scopes in ``also`` change by the difference, for an account's group is off by as much
        as the account is.
        """


class IHasQuota(Interface):
    """An avatar that can tell what is left."""

    def quota(path: VirtualPath) -> Eventually[tuple[QuotaStatus, ...]]:
        """The scopes that a new file at ``path`` would count in, the account first; empty without limits."""
