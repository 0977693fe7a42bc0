"""What may be fetched over a stream that has no word for half a file."""

from __future__ import annotations

from twisted_xfer.errors import NotFound
from twisted_xfer.interfaces import IAvatar, IReadFile
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath


async def open_whole(avatar: IAvatar, path: VirtualPath, offset: int = 0) -> IReadFile:
    """Open a published file; what an upload left to be gone on with is none.

    Raises:
        NotFound: there is none. XferError: see IAvatar.open_read.
    """
    file: IReadFile = await resolve(avatar.open_read(path, offset))
    if file.info.kept:
        error = NotFound(bytes(path))
        file.close(error)
        raise error
    return file
