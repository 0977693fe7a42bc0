"""Quota ledgers."""

from __future__ import annotations

from typing import NamedTuple

from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._storage import Eventually


class Usage(NamedTuple):
    """What an account uses: published bytes and files, and bytes reserved by uploads under way."""

    bytes: int
    files: int
    reserved: int = 0


class IReservation(Interface):
    """Room set aside for one upload."""

    granted: int = Attribute("bytes set aside so far")

    def extend(size: int) -> int:
        """Ask for ``size`` more; how many were granted, at least 1. Raises QuotaExceeded."""

    def commit(actual: int, files: int = 1) -> None:
        """The upload was published with a net growth of ``actual`` bytes and ``files`` files."""

    def release() -> None:
        """Nothing was published. May be called after commit, and twice."""


class IQuotaLedger(Interface):
    """Counts bytes and files per account; the only truth about quota."""

    def reserve(
        username: str, size: int | None, *, limit_bytes: int | None, limit_files: int | None
    ) -> Eventually[IReservation]:
        """Set room aside; ``size`` None means unknown. Fails with QuotaExceeded."""

    def adjust(username: str, size: int, files: int) -> Eventually[None]:
        """A delete, rename or recount changed what is published by these amounts (may be negative)."""

    def usage(username: str) -> Eventually[Usage]:
        """What is used."""

    def close() -> None:
        """Let go. May be called twice."""
