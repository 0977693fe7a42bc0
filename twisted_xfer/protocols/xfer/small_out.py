"""Small files on their way out: each read whole, so that it can go with its offer."""

from __future__ import annotations

from collections.abc import Callable

from twisted_xfer.errors import SourceChanged
from twisted_xfer.interfaces import IHasFileno
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE


def read_now(offer: Offer, whole: Callable[[int], bytes], size: int) -> bytes:
    """All of it. Raises SourceChanged when it is not the size that was announced, and as DiskContent."""
    data = whole(size)
    if len(data) != size:
        raise SourceChanged(offer.path)
    return data


async def read_small(offer: Offer) -> bytes:
    """All of it from wherever it is. Raises as ``read_now``."""
    size = offer.size or 0
    if offer.whole is not None:
        return read_now(offer, offer.whole, size)
    file = await resolve(offer.open())
    try:
        pieces, read = [], 0
        while read <= size:
            data = await resolve(file.read(MAX_INLINE + 1))
            if not data:
                break
            pieces.append(data)
            read += len(data)
            if read == size and IHasFileno.providedBy(file):
                # Less than was asked for: a plain file has no more.
                break
    finally:
        file.close()
    if read != size:
        raise SourceChanged(offer.path)
    return b"".join(pieces)
