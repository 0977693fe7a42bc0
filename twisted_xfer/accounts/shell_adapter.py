"""Twisted's own FTP realms behind our avatars: an IFTPShell as a storage.

An IFTPShell knows no offsets, no append and no times; those verbs answer Unsupported or read past
what is skipped. Uploads go to a hidden name and are renamed when they are whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.protocols import ftp
from zope.interface import implementer

from twisted_xfer import errors
from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.realm import ANONYMOUS_NAME, plain_username
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.accounts.shell_files import Reader, Writer, ask, segments
from twisted_xfer.interfaces import (
    Account,
    FileInfo,
    IAvatar,
    IEvents,
    ILimits,
    IListing,
    IReadFile,
    IStorage,
    IUpload,
    LoginContext,
    RandomBytes,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath

_KEYS: Final = ("size", "directory", "permissions", "hardlinks", "modified")
#: Uploads under way; not shown in listings.
_HIDDEN: Final = b".xfer-upload-"
#: Names tried for STOU and "rename" before giving up.
_MAX_NAMES: Final = 100


def _info(name: bytes, values: Sequence[Any]) -> FileInfo:
    size, directory, permissions, links, modified = values
    mode = permissions if isinstance(permissions, int) else _mode(permissions)
    kind = "dir" if directory else "file"
    return FileInfo(name, kind, int(size), int(float(modified) * 1e9), mode & 0o7777, int(links))  # type: ignore[arg-type]


def _mode(permissions: Any) -> int:
    """The bits of a twisted.python.filepath.Permissions."""
    mode = 0
    for shift, who in ((6, permissions.user), (3, permissions.group), (0, permissions.other)):
        mode |= (4 * bool(who.read) + 2 * bool(who.write) + bool(who.execute)) << shift
    return mode


@implementer(IListing)
class _Listing:
    def __init__(self, entries: list[FileInfo]) -> None:
        self._entries = entries
        self._at = 0

    def next_batch(self, limit: int = 100) -> list[FileInfo]:
        batch = self._entries[self._at : self._at + limit]
        self._at += len(batch)
        return batch

    def close(self) -> None:
        self._entries = []


@implementer(IStorage)
class ShellStorage:
    """An IFTPShell as an IStorage: one user's tree, as a third-party realm made it.

    Args:
        shell: a ``twisted.protocols.ftp.IFTPShell``.
        random: for the hidden names of uploads.
    """

    capabilities: frozenset[str] = frozenset({"unique"})

    def __init__(self, shell: Any, random: RandomBytes) -> None:
        self._shell = shell
        self._random = random

    def view(self, home: str, *, owner: str, create: bool = False) -> IStorage:
        """The shell itself: its realm has chosen the home already."""
        return self

    def stat(self, path: VirtualPath) -> Deferred[FileInfo]:
        """As IStorage says."""
        return Deferred.fromCoroutine(self._stat(path))

    async def _stat(self, path: VirtualPath) -> FileInfo:
        return _info(path.name, await ask(path, self._shell.stat, segments(path), _KEYS))

    def list(self, path: VirtualPath) -> Deferred[IListing]:
        """As IStorage says; a shell gives a directory as a whole."""
        return Deferred.fromCoroutine(self._list(path))

    async def _list(self, path: VirtualPath) -> IListing:
        entries = await ask(path, self._shell.list, segments(path), _KEYS)
        infos = [
            _info(name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape"), values)
            for name, values in entries
        ]
        return _Listing([info for info in infos if not info.name.startswith(_HIDDEN)])

    def open_read(self, path: VirtualPath, offset: int = 0) -> Deferred[IReadFile]:
        """As IStorage says; what stands before ``offset`` is read and left out."""
        return Deferred.fromCoroutine(self._open_read(path, offset))

    async def _open_read(self, path: VirtualPath, offset: int) -> IReadFile:
        info = await self._stat(path)
        if info.kind == "dir":
            raise errors.IsADirectory(bytes(path))
        if offset > info.size:
            raise errors.OffsetInvalid(bytes(path), size=info.size)
        reader = Reader(info, offset)
        reader.begin(await ask(path, self._shell.openForReading, segments(path)), path)
        return reader

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Deferred[IUpload]:
        """As IStorage says, from the beginning only."""
        return Deferred.fromCoroutine(self._open_write(path, intent))

    async def _open_write(self, path: VirtualPath, intent: WriteIntent) -> IUpload:
        if intent.append or intent.offset:
            raise errors.Unsupported(bytes(path), "a shell's files are written from the beginning")
        if intent.unique or intent.if_exists != "overwrite":
            path = await self._free(path, refuse=intent.if_exists == "refuse" and not intent.unique)
        hidden = path.parent.child(_HIDDEN + self._random(8).hex().encode())
        file = await ask(path, self._shell.openForWriting, segments(hidden))
        consumer = await ask(path, file.receive)
        return Writer(self._shell, path, hidden, file, consumer)

    async def _free(self, path: VirtualPath, *, refuse: bool) -> VirtualPath:
        """``path``, or with a number where that is taken."""
        free = path
        for number in range(1, _MAX_NAMES):
            try:
                await self._stat(free)
            except errors.NotFound:
                return free
            if refuse:
                break
            free = path.parent.child(path.name + b".%d" % number)
        raise errors.AlreadyExists(bytes(path))

    def make_directory(self, path: VirtualPath) -> Deferred[None]:
        """As IStorage says."""
        return self._plain(path, self._shell.makeDirectory, segments(path))

    def remove(self, path: VirtualPath) -> Deferred[None]:
        """As IStorage says."""
        return self._plain(path, self._shell.removeFile, segments(path))

    def remove_directory(self, path: VirtualPath) -> Deferred[None]:
        """As IStorage says."""
        if not path.parts:
            raise errors.ForbiddenPath(b"/")
        return self._plain(path, self._shell.removeDirectory, segments(path))

    def rename(self, source: VirtualPath, target: VirtualPath) -> Deferred[None]:
        """As IStorage says."""
        return self._plain(source, self._shell.rename, segments(source), segments(target))

    def set_times(self, path: VirtualPath, mtime_ns: int) -> None:
        """Not in a shell.

        Raises:
            Unsupported: always.
        """
        raise errors.Unsupported(bytes(path))

    def set_mode(self, path: VirtualPath, mode: int) -> None:
        """Not in a shell.

        Raises:
            Unsupported: always.
        """
        raise errors.Unsupported(bytes(path))

    def close(self) -> None:
        """Nothing is held."""

    def _plain(self, path: VirtualPath, call: Callable[..., Any], *args: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(ask(path, call, *args)).addCallback(lambda _any: None)


@implementer(IRealm)
class ShellRealm:
    """A realm of IFTPShell avatars (``twisted.protocols.ftp.FTPRealm`` and its like) behind ours.

    Args:
        realm: the realm to ask for ``IFTPShell``.
        defaults: rights and limits of all its users.
        events, limits, clock, random: as everywhere.
    """

    def __init__(
        self,
        realm: IRealm,
        *,
        events: IEvents,
        limits: ILimits,
        clock: IReactorTime,
        random: RandomBytes,
        defaults: Account | None = None,
    ) -> None:
        self._realm = realm
        self._events = events
        self._limits = limits
        self._clock = clock
        self._random = random
        self._defaults = defaults or Account("")

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """An IAvatar over the shell that the realm gives for ``avatarId``."""
        if IAvatar not in interfaces:
            raise NotImplementedError("only IAvatar")
        return Deferred.fromCoroutine(self._avatar(avatarId, mind))

    async def _avatar(self, avatar_id: Any, mind: Any) -> Any:
        name = avatar_id.username if isinstance(avatar_id, Account) else avatar_id or ANONYMOUS_NAME
        account = attrs.evolve(self._defaults, username=plain_username(name))
        context = mind if isinstance(mind, LoginContext) else LoginContext("", "", "")
        if not context.secure and (account.tls_login or (account.tls_data and not context.data_apart)):
            raise errors.TLSRequired(account.username)
        lease = self._limits.session(account.username, context.peer, account.max_sessions)
        # As text, which is what Twisted's own FTP gives them: a home of bytes takes no path of text.
        their_id: Any = account.username if avatar_id else avatar_id
        try:
            answer: Any = await maybeDeferred(self._realm.requestAvatar, their_id, mind, ftp.IFTPShell)
        except BaseException:
            lease.release()
            raise
        _interface, shell, logout = answer
        avatar = Avatar(
            account,
            _Closing(shell, self._random, logout),
            PathRights(account.rights, account.path_rights),
            Reporter(self._events, self._clock, context, account.username),
            lease=lease,
        )
        return IAvatar, avatar, avatar.logout


class _Closing(ShellStorage):
    """A shell whose realm hears when its session ends."""

    def __init__(self, shell: Any, random: RandomBytes, logout: Callable[[], object]) -> None:
        super().__init__(shell, random)
        self._logout: Callable[[], object] | None = logout

    def close(self) -> None:
        """Call the realm's logout, once."""
        logout, self._logout = self._logout, None
        if logout is not None:
            logout()
