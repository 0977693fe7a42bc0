"""Whether an upload that ended is whole: what the control connection tells, and ALLO."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twisted_xfer.interfaces import IChannel, IUpload
from twisted_xfer.protocols.ftp.session import FTPSession

#: Bytes and seconds of an upload up to which it is looked at once: what a client sends in one write or a
#: few, and how long that takes on loopback. Each further wait would be several times as long as that.
FEW_WRITES: Final = 64 * 1024
TOO_SHORT: Final = 0.001
#: The last look comes after so many times what the upload took, and not before FIRST_WAIT and not after
#: LAST_LOOK seconds. On two CPUs with nine busy processes the two connections of killed clients
#: ended up to 12 ms apart, which was up to 3 times what their uploads had taken.
PATIENCE: Final = 4
FIRST_WAIT: Final = 0.004
LAST_LOOK: Final = 0.05
#: The same for an upload that has fewer bytes than ALLO announced.
LONGER_LOOK: Final = 0.5


class Ending:
    """Looks at the end of one upload.

    The end of a data connection in stream mode looks the same for a client that is done and for one
    that was killed; but the killed one's control connection ends with it, or a moment later, when
    its machine is busy or the network is between. So it is looked at once more, where that costs little
    beside the upload itself. That is a good guess and no proof, which TLS, a digest or ALLO gives.

    ALLO (RFC 959 section 4.1.3) asks for room: as many bytes as announced are all of the file, as
    they are in TLS; fewer are suspicious but may be all the same, since a client may ask for too much.

    Args:
        size: what ALLO announced for an upload in binary mode, or None.
    """

    __slots__ = ("_began", "_channel", "_session", "_size", "_start", "_upload")

    def __init__(self, session: FTPSession, channel: IChannel, upload: IUpload, size: int | None) -> None:
        self._session = session
        self._channel = channel
        self._upload = upload
        self._size = size
        self._start = upload.offset
        self._began = session.host.clock.seconds()

    def look(self) -> Deferred[None] | None:
        """Raises Truncated, at once or later, when the client is not there to hear that all is well."""
        session, clock = self._session, self._session.host.clock
        there = self._upload.offset
        # As in TLS it is left open whether the size counts what lay before the restart point.
        if self._size is not None and self._size in {there, there - self._start}:
            return None
        session.check_client()
        if self._channel.secure:
            return None
        if self._size is not None and there < self._size:
            wait = LONGER_LOOK
        else:
            took = clock.seconds() - self._began
            if took < TOO_SHORT and there - self._start <= FEW_WRITES:
                return None
            wait = min(max(took * PATIENCE, FIRST_WAIT), LAST_LOOK)
        return deferLater(clock, wait, session.check_client)
