"""Moving files: RETR, STOR, APPE, STOU, ABOR (RFC 959 section 4.1.3)."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from twisted_xfer.errors import Busy, Cancelled, RemoteProtocolError, XferError
from twisted_xfer.interfaces import Eventually, IChannel, IReadFile, IUpload, TransferMode, WriteIntent
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.ftp.commands.ending import Ending
from twisted_xfer.protocols.ftp.commands.takeover import taken_over
from twisted_xfer.protocols.ftp.data import as_connection_failure
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


async def connect(session: FTPSession, opening: bytes) -> IChannel:
    """Say 150 and make the data connection: in that order, for clients that wait for the 150.

    A connection that is there already costs no turn of the reactor, and then the 150 leaves in
    one segment with what follows it.
    """
    if session.abort_replies:
        raise Cancelled(None, "aborted before it began")
    session.say(opening)
    waiting: Deferred[IChannel] = session.data.open()
    if not waiting.called:
        session.flush()
    try:
        return await waiting
    except CancelledError:
        raise Cancelled from None
    except XferError as error:
        raise as_connection_failure(error) from error


async def send(session: FTPSession, file: IReadFile, opening: bytes, mode: TransferMode) -> bytes:
    """Send ``file`` over the data connection and close it; the reply for a good end."""
    try:
        channel = await connect(session, opening)
        if session.closed:
            channel.abort()
            raise Cancelled(None, "control connection lost")
    except BaseException as error:
        file.close(error if isinstance(error, Exception) else None)
        raise
    transfer = session.host.transfers.download(
        file, channel, mode, session.user().download_limiter, session.host.timeouts.stall
    )
    session.transfer = transfer
    await transfer.result
    session.protection.delivered()
    return TRANSFER_COMPLETE


def retrieve(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """RETR."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    return Deferred.fromCoroutine(_retrieve(session, argument))


async def _retrieve(session: FTPSession, argument: bytes) -> bytes:
    offset = _take_restart(session)
    file = await resolve(session.user().open_read(session.path(argument), offset))
    return await send(session, file, _OPENING[session.mode], session.mode)


def store(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """STOR: the whole file, or from the restart point on."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    if_exists = session.user().account.if_exists or session.options.if_exists
    intent = WriteIntent(offset=_take_restart(session), size=_take_size(session), if_exists=if_exists)
    return Deferred.fromCoroutine(_receive(session, argument, intent))


def append(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """APPE: after what is there, which may be the part of an upload that broke off."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    _take_restart(session)
    return Deferred.fromCoroutine(
        _receive(session, argument, WriteIntent(append=True, size=_take_size(session)))
    )


def store_unique(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """STOU: under a name that is free; RFC 1123 section 4.1.2.9 gives the form of its 150 reply."""
    refusal = session.data.refusal
    if refusal is not None:
        return refusal
    _take_restart(session)
    intent = WriteIntent(unique=True, size=_take_size(session))
    return Deferred.fromCoroutine(_receive(session, argument or b"upload", intent))


def _take_size(session: FTPSession) -> int | None:
    size, session.size_hint = session.size_hint, None
    return size


async def _receive(session: FTPSession, argument: bytes, intent: WriteIntent) -> bytes:
    avatar = session.user()
    mode = session.mode
    path = session.path(argument)
    upload: IUpload
    try:
        upload = await resolve(avatar.open_write(path, intent))
    except Busy:
        if not ((intent.offset or intent.append) and await taken_over(session, path)):
            raise
        upload = await resolve(avatar.open_write(path, intent))
    opening = _OPENING[mode]
    if intent.unique:
        opening = reply(150, b"FILE: " + session.codec.to_wire(upload.path.name))
    try:
        channel = await connect(session, opening)
        if session.closed:
            channel.abort()
            raise Cancelled(None, "control connection lost")
    except BaseException as error:
        await resolve(upload.suspend(error if isinstance(error, Exception) else None))
        raise
    # In text mode lines have other lengths on the wire than in the file.
    size = intent.size if mode is TransferMode.IMAGE else None
    session.protection.expect(channel, size, intent.offset)
    transfer = session.host.transfers.upload(
        upload,
        channel,
        mode,
        avatar.upload_limiter,
        session.host.timeouts.stall,
        confirm=Ending(session, channel, upload, size).look,
    )
    session.transfer = transfer
    session.uploading = path
    try:
        await transfer.result
    finally:
        session.uploading = None
    if not intent.unique and upload.path != path:
        # The name was taken, and the policy is to choose another.
        return reply(226, b"Transfer complete; stored as " + session.codec.to_wire(upload.path.name))
    return TRANSFER_COMPLETE


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
