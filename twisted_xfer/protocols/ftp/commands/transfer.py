"""Moving files: RETR, STOR, APPE, STOU, ABOR (RFC 959 section 4.1.3)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from twisted_xfer.errors import Busy, Cancelled, RemoteProtocolError
from twisted_xfer.interfaces import (
    Eventually,
    IChannel,
    IReadFile,
    ITransfer,
    IUpload,
    TransferMode,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import resolve, then, then_or, waiting
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.commands.ending import Ending
from twisted_xfer.protocols.ftp.commands.takeover import taken_over
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire.replies import NOTHING_TO_ABORT, TRANSFER_COMPLETE, reply

_OPENING: Final = {
    TransferMode.IMAGE: reply(150, "Opening BINARY mode data connection."),
    TransferMode.ASCII: reply(150, "Opening ASCII mode data connection."),
}


def _take_restart(session: FTPSession) -> int:
    """The restart point, used up by the transfer command that follows it."""
    offset = session.sequence.take_restart()
    if offset and session.mode is TransferMode.ASCII:
        raise RemoteProtocolError(None, "restart needs TYPE I")
    return offset


def _refused(session: FTPSession, refusal: bytes) -> bytes:
    """``refusal``, with which the restart point of this file goes: the next command may be about another one."""
    session.sequence.take_restart()
    return refusal


def connect(session: FTPSession, opening: bytes, sending: bool = False) -> IChannel | Deferred[IChannel]:
    """Say 150 and make the data connection: in that order, for clients that wait for the 150.

    Before a download in clear a connection that is there already costs no turn of the reactor, and
    then the 150 leaves in one segment with what follows it. Else it is the client's turn, who often
    has sent something by the time we look. Raises nothing, and fails with XferError.
    """
    if session.abort_replies:
        return fail(Cancelled(None, "aborted before it began"))
    session.say(opening)
    if not sending or session.protection.private:
        session.flush()
    answer = session.data.open()
    if isinstance(answer, Deferred) and (answer.paused or not answer.called):
        session.flush()
    return answer


def _outcome(transfer: ITransfer) -> int | Deferred[int]:
    """What came of it: the small ones have ended already, and then nobody needs a Deferred."""
    result = transfer.result
    if result.called:
        value: object = result.result
        if isinstance(value, int):
            return value
    return result


def send(session: FTPSession, file: IReadFile, opening: bytes, mode: TransferMode) -> bytes | Deferred[bytes]:
    """Send ``file`` over the data connection and close it; the reply for a good end. Fails with XferError."""

    def failed(failure: Failure) -> Failure:
        file.close(failure.value if isinstance(failure.value, Exception) else None)
        return failure

    def begin(channel: IChannel) -> bytes | Deferred[bytes]:
        if session.closed:
            channel.abort()
            error = Cancelled(None, "control connection lost")
            file.close(error)
            raise error
        transfer = session.host.transfers.download(
            file, channel, mode, session.user().download_limiter, session.host.timeouts.stall
        )
        session.transfer = transfer
        return then(_outcome(transfer), delivered)

    def delivered(_count: int) -> bytes:
        session.protection.delivered()
        return TRANSFER_COMPLETE

    answer = connect(session, opening, sending=True)
    if isinstance(answer, Deferred):
        return answer.addCallbacks(begin, failed)
    return begin(answer)


def retrieve(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """RETR."""
    refusal = session.data.refusal
    if refusal is not None:
        return _refused(session, refusal)
    offset = _take_restart(session)
    mode = session.mode
    file = session.user().open_read(session.path(argument), offset)
    return then(file, lambda file: send(session, file, _OPENING[mode], mode))


def store(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """STOR: the whole file, or from the restart point on."""
    size = _take_size(session)
    refusal = session.data.refusal
    if refusal is not None:
        return _refused(session, refusal)
    if_exists = session.user().account.if_exists or session.options.if_exists
    return _receive(session, argument, _intent(_take_restart(session), size, if_exists))


@lru_cache(64)
def _intent(offset: int, size: int | None, if_exists: Any) -> WriteIntent:
    """Nearly all uploads have the same."""
    return WriteIntent(offset=offset, size=size, if_exists=if_exists)


def append(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """APPE: after what is there, which may be the part of an upload that broke off."""
    size = _take_size(session)
    refusal = session.data.refusal
    if refusal is not None:
        return _refused(session, refusal)
    _take_restart(session)
    return _receive(session, argument, WriteIntent(append=True, size=size))


def store_unique(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """STOU: under a name that is free; RFC 1123 section 4.1.2.9 gives the form of its 150 reply."""
    size = _take_size(session)
    refusal = session.data.refusal
    if refusal is not None:
        return _refused(session, refusal)
    _take_restart(session)
    intent = WriteIntent(unique=True, size=size)
    return _receive(session, argument or b"upload", intent)


def _take_size(session: FTPSession) -> int | None:
    session.size_taken, session.size_hint = session.size_hint, None
    return session.size_taken


def _receive(session: FTPSession, argument: bytes, intent: WriteIntent) -> bytes | Deferred[bytes]:
    path = session.path(argument)
    goes_on = intent.append or intent.offset != 0
    try:
        upload = session.user().open_write(path, intent)
    except Busy as busy:
        if not goes_on:
            raise
        upload = fail(busy)
    if goes_on and waiting(upload):
        upload = Deferred.fromCoroutine(_take_over(session, path, intent, upload))
    return then(upload, _Receiving(session, path, intent).connect)


async def _take_over(
    session: FTPSession, path: VirtualPath, intent: WriteIntent, opened: Eventually[IUpload]
) -> IUpload:
    """The upload, or another try to open it once the one that has it has made way."""
    try:
        return await resolve(opened)
    except Busy:
        if not await taken_over(session, path):
            raise
        return await resolve(session.user().open_write(path, intent))


class _Receiving:
    """One upload of a session, from the moment when its file is open."""

    __slots__ = ("_intent", "_mode", "_path", "_session", "_upload")

    _upload: IUpload

    def __init__(self, session: FTPSession, path: VirtualPath, intent: WriteIntent) -> None:
        self._session = session
        self._path = path
        self._intent = intent
        self._mode = session.mode

    def connect(self, upload: IUpload) -> bytes | Deferred[bytes]:
        """Make the data connection and receive. Raises XferError."""
        self._upload = upload
        session = self._session
        opening = _OPENING[self._mode]
        if self._intent.unique:
            opening = reply(150, b"FILE: " + session.codec.to_wire(upload.path.name))
        return then_or(connect(session, opening), self._begin, self._not_begun)

    def _not_begun(self, failure: Failure) -> Deferred[bytes]:
        """Keep what is there of the file; then the failure."""
        error = failure.value
        kept = self._upload.suspend(error if isinstance(error, Exception) else None)
        return Deferred.fromCoroutine(resolve(kept)).addCallback(lambda _none: failure)

    def _begin(self, channel: IChannel) -> bytes | Deferred[bytes]:
        session, upload, intent = self._session, self._upload, self._intent
        if session.closed:
            channel.abort()
            lost: Failure = Failure(Cancelled(None, "control connection lost"))  # type: ignore[no-untyped-call]
            return self._not_begun(lost)
        # In text mode lines have other lengths on the wire than in the file.
        size = intent.size if self._mode is TransferMode.IMAGE else None
        session.protection.expect(channel, size, intent.offset)
        transfer = session.host.transfers.upload(
            upload,
            channel,
            self._mode,
            session.user().upload_limiter,
            session.host.timeouts.stall,
            confirm=Ending(session, channel, upload, size).look,
        )
        session.transfer = transfer
        session.uploading = self._path
        return then_or(_outcome(transfer), self._stored, self._broken)

    def _stored(self, _count: int) -> bytes:
        self._session.uploading = None
        path = self._upload.path
        if not self._intent.unique and path != self._path:
            # The name was taken, and the policy is to choose another.
            return reply(226, b"Transfer complete; stored as " + self._session.codec.to_wire(path.name))
        return TRANSFER_COMPLETE

    def _broken(self, failure: Failure) -> Failure:
        self._session.uploading = None
        return failure


def abort(session: FTPSession, argument: bytes) -> bytes:
    """ABOR when nothing runs; the session itself ends a running transfer."""
    session.data.cancel()
    return NOTHING_TO_ABORT


HANDLERS: Final[dict[bytes, Handler]] = {
    b"RETR": retrieve,
    b"STOR": store,
    b"APPE": append,
    b"STOU": store_unique,
    b"ABOR": abort,
}
