"""Receiving pushes: one connection, one file, for the account that the listener names."""

from __future__ import annotations

from typing import Literal, TypeAlias

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from twisted_xfer.errors import RemoteProtocolError, Truncated
from twisted_xfer.interfaces import Expected, IAvatar, IHost, ILease, IUpload, WriteIntent
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.push.wire import Named, PushReader, plain_name
from twisted_xfer.streams import ServedFactory, ServedStream, commit, let_go

IfExists: TypeAlias = Literal["overwrite", "refuse", "rename"]


@implementer(IHalfCloseableProtocol)
class PushStream(ServedStream):
    """One push. Nothing is ever said, but how it ends tells: in order when the file is there, else a reset."""

    reader: PushReader

    def __init__(
        self, host: IHost, peer: str, lease: ILease, idle: float, account: str, place: tuple[str, IfExists]
    ) -> None:
        super().__init__(host, "push", peer, lease, idle)
        self.reader = PushReader()
        self._account = account
        self._directory, self._if_exists = place

    async def serve(self) -> None:
        """See ServedStream."""
        try:
            await self._receive(await self.log_in_as(self._account))
        except Exception:
            if self.lost is None:
                self.transport.abortConnection()
            raise

    async def _receive(self, avatar: IAvatar) -> None:
        first = await self.next_event()
        if not isinstance(first, Named):
            if self.ended_cleanly and not self.reader.pending:
                return
            raise RemoteProtocolError(detail="no header")
        upload: IUpload = await resolve(self._open(avatar, first.name))
        try:
            while (event := await self.next_event()) is not None:
                await self.store(upload, event.data, avatar.upload_limiter)
            # However the connection ended: a script's TLS socket never says close_notify, and the size is
            # what tells a whole file from a cut one.
            if self.timed_out:
                raise Truncated(detail="silence", transferred=upload.offset)
            last, whole = self.reader.end()
            if last is not None:
                await self.store(upload, last.data, avatar.upload_limiter)
        except Exception as error:
            await let_go(upload, error)
            raise
        await commit(upload, Expected(size=whole.size, prefix=whole.prefix))

    async def _open(self, avatar: IAvatar, name: bytes) -> IUpload:
        directory = VirtualPath.parse(self._directory.encode("utf-8", "surrogateescape"))
        path = directory.child(plain_name(name))
        return await resolve(avatar.open_write(path, WriteIntent(if_exists=self._if_exists)))


def make_factory(
    host: IHost, idle: float, account: str, directory: str, if_exists: IfExists
) -> ServedFactory:
    """The factory for pushes into ``directory`` of ``account``."""
    place = (directory, if_exists)
    return ServedFactory(
        host, "push", lambda peer, lease: PushStream(host, peer, lease, idle, account, place)
    )
