"""What is left: AVBL (draft-peterson-streamlined-ftp-command-extensions section 4) and SITE QUOTA."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from twisted_xfer.interfaces import Eventually, IHasQuota, IHasRoom, QuotaStatus
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire.replies import multiline, reply

_NO_QUOTA: Final = "No quota: only the disk is a limit."
_UNKNOWN: Final = "It is not known how much may be stored there."


async def _statuses(session: FTPSession, path: VirtualPath) -> tuple[QuotaStatus, ...]:
    avatar = session.user()
    if not IHasQuota.providedBy(avatar):
        return ()
    found: tuple[QuotaStatus, ...] = await resolve(avatar.quota(path))
    return found


def available(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """AVBL [path]: bytes that may still be stored in a directory, uploads under way not among them.

    The least of what the quotas leave and what the disk has free; 550 where neither is known.
    """
    path = session.path(argument) if argument else session.cwd
    return Deferred.fromCoroutine(_available(session, path))


async def _available(session: FTPSession, path: VirtualPath) -> bytes:
    left = [
        max(0, limit - usage.bytes - usage.reserved)
        for scope, usage in await _statuses(session, path)
        if (limit := scope.limit_bytes) is not None
    ]
    avatar = session.user()
    free = await resolve(avatar.room(path)) if IHasRoom.providedBy(avatar) else None
    if free is not None:
        left.append(free)
    return reply(213, str(min(left))) if left else reply(550, _UNKNOWN)


def show(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """SITE QUOTA [path]: each limit that a file there counts in."""
    path = session.path(argument) if argument else session.cwd
    return Deferred.fromCoroutine(_show(session, path))


async def _show(session: FTPSession, path: VirtualPath) -> bytes:
    statuses = await _statuses(session, path)
    if not statuses:
        return reply(200, _NO_QUOTA)
    lines = [
        f"{_title(one, first=not index)}: {_of(one.usage.bytes, one.scope.limit_bytes, 'bytes')}, "
        f"{_of(one.usage.files, one.scope.limit_files, 'files')}, {one.usage.reserved} bytes under way"
        for index, one in enumerate(statuses)
    ]
    return multiline(200, "Quota:", [line.encode("utf-8", "surrogateescape") for line in lines], "End.")


def _title(status: QuotaStatus, *, first: bool) -> str:
    if first:
        return "Account"
    below = status.scope.below
    return f"Group {status.scope.name.rpartition('/')[2]}" if below == "/" else f"Directory {below}"


def _of(used: int, limit: int | None, unit: str) -> str:
    return f"{used} {unit}" if limit is None else f"{used} of {limit} {unit}"


HANDLERS: Final[dict[bytes, Handler]] = {b"AVBL": available}
