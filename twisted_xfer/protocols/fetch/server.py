"""Serving fetches from the account that the listener names."""

from __future__ import annotations

import hashlib
from typing import Final

from twisted_xfer.errors import RemoteProtocolError, XferError
from twisted_xfer.interfaces import IAvatar, IHost, ILease, IReadFile
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.fetch.wire import Asked, CommandReader
from twisted_xfer.streams import ServedFactory, ServedStream, open_whole

#: Seconds without a byte after which a command is taken for whole.
QUIET: Final = 0.02
#: Seconds in which the rest of a name may still come, when there is no file of what came.
GRACE: Final = 0.5


class FetchStream(ServedStream):
    """One connection: any number of files, one after the other."""

    reader: CommandReader

    def __init__(
        self, host: IHost, peer: str, lease: ILease, idle: float, account: str, directory: str, md5: bool
    ) -> None:
        super().__init__(host, "fetch", peer, lease, idle)
        self.reader = CommandReader()
        self._account = account
        self._directory = directory
        self._md5 = md5

    async def serve(self) -> None:
        """See ServedStream. What cannot be served closes: silence would hang the client."""
        self.guard()
        avatar = await self.log_in_as(self._account)
        base = VirtualPath.parse(self._directory.encode("utf-8", "surrogateescape"))
        while (file := await self._next_file(avatar, base)) is not None:
            try:
                await self._send(avatar, file)
            except Exception as error:
                file.close(error)
                raise
            file.close()
            await self.breathe()

    async def _next_file(self, avatar: IAvatar, base: VirtualPath) -> IReadFile | None:
        """The file of the next command, or None at the end."""
        reader = self.reader
        while True:
            event = reader.next_event()
            if event is None and not reader.pending:
                # Waits without a clock of its own: the idle limit is the only one between files.
                if not await self.any_bytes():
                    return None
                continue
            if event is None and await self.more(QUIET):
                continue
            try:
                asked = event if isinstance(event, Asked) else reader.silence()
                return await open_whole(avatar, self._path(base, asked.name))
            except XferError:
                # Half a command or half a name, perhaps: there is no other sign of that.
                if event is not None or not await self.more(GRACE) or self.lost is not None:
                    raise

    def _path(self, base: VirtualPath, name: bytes) -> VirtualPath:
        """``name`` below ``base``: an absolute one too, and what leads out of it is refused."""
        path = VirtualPath.parse(name.replace(b"\\", b"/").lstrip(b"/"), base)
        if not path.is_within(base) or path == base:
            raise RemoteProtocolError(detail="not a file below the directory")
        return path

    async def _ready(self) -> None:
        """Wait for the client's words; other ones than the scripts' are whole after a moment of silence."""
        while self.reader.next_event() is None:
            if self.reader.pending:
                if not await self.more(QUIET):
                    return
            elif not await self.any_bytes():
                raise self.gone()

    async def _send(self, avatar: IAvatar, file: IReadFile) -> None:
        size = file.info.size
        self.reader.begin()
        self.transport.write(b"%d" % size)
        await self._ready()
        digest = hashlib.md5(usedforsecurity=False)
        # The digest must not stick to the file: clients that read on would write it to their copy.
        await self.send_bytes(
            file.read,
            size,
            avatar.download_limiter,
            sent=digest.update if self._md5 else None,
            alone=self._md5,
        )
        self.reader.finish()
        if self._md5:
            self.transport.write(digest.hexdigest().encode())


def make_factory(host: IHost, idle: float, account: str, directory: str, md5: bool) -> ServedFactory:
    """The factory for fetches from ``directory`` of ``account``."""
    return ServedFactory(
        host, "fetch", lambda peer, lease: FetchStream(host, peer, lease, idle, account, directory, md5)
    )
