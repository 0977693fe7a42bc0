"""The end of an upload that came over a stream: as ITransfers has it for channels."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import (
    AlreadyExists,
    DigestMismatch,
    QuotaExceeded,
    TooLarge,
    Truncated,
    Vetoed,
)
from twisted_xfer.interfaces import Expected, FileInfo, IUpload
from twisted_xfer.interfaces.answers import resolve

#: Nothing of such an upload may be kept; everything else may be resumed.
DROPPED: Final = (QuotaExceeded, TooLarge, Vetoed, AlreadyExists)
#: After these commit() has kept the part itself.
KEPT_BY_COMMIT: Final = (Truncated, DigestMismatch)


async def commit(upload: IUpload, expected: Expected) -> FileInfo:
    """Publish ``upload``, or end it as its failure wants.

    Raises:
        XferError: see IUpload.commit, and QuotaExceeded for what ``expected`` puts before it.
    """
    try:
        wanted = len(expected.prefix)
        while wanted > 0:
            wanted -= upload.reserve(wanted)
        return await resolve(upload.commit(expected))
    except KEPT_BY_COMMIT:
        raise
    except Exception as error:
        await let_go(upload, error)
        raise


async def let_go(upload: IUpload, error: Exception) -> None:
    """End ``upload`` because of ``error``: keep the part where it may be resumed, else drop it."""
    if isinstance(error, DROPPED):
        await resolve(upload.abort(error))
    else:
        await resolve(upload.suspend(error))
