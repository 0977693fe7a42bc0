"""Open files of an IFTPShell: its pushing and taking turned into our reading and writing."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.protocols import ftp
from zope.interface import implementer

from twisted_xfer import errors
from twisted_xfer.interfaces import Expected, FileInfo, IReadFile, IUpload
from twisted_xfer.paths import VirtualPath

#: Bytes that a shell may be ahead of its reader before it is paused.
_AHEAD: Final = 1 << 20
_ERRORS: Final[Sequence[tuple[type[Exception], type[errors.XferError]]]] = (
    (ftp.FileNotFoundError, errors.NotFound),
    (ftp.PermissionDeniedError, errors.PermissionDenied),
    (ftp.AnonUserDeniedError, errors.PermissionDenied),
    (ftp.FileExistsError, errors.AlreadyExists),
    (ftp.IsADirectoryError, errors.IsADirectory),
    (ftp.IsNotADirectoryError, errors.NotADirectory),
    (ftp.CmdNotImplementedForArgError, errors.Unsupported),
    (FileNotFoundError, errors.NotFound),
    (FileExistsError, errors.AlreadyExists),
    (PermissionError, errors.PermissionDenied),
    (IsADirectoryError, errors.IsADirectory),
    (NotADirectoryError, errors.NotADirectory),
)
#: What a shell that uses the operating system lets out as it is, and clients are to be told.
_NUMBERS: Final = {
    errno.ENOTEMPTY: errors.DirectoryNotEmpty,
    errno.ENOSPC: errors.NoSpace,
    errno.EDQUOT: errors.NoSpace,
    errno.EROFS: errors.ReadOnly,
    errno.ENAMETOOLONG: errors.NameInvalid,
}


def segments(path: VirtualPath) -> list[str]:
    """A path as shells take it; names that are not UTF-8 survive as surrogates."""
    return [part.decode("utf-8", "surrogateescape") for part in path.parts]


async def ask(path: VirtualPath, call: Callable[..., Any], *args: Any) -> Any:
    """The shell's answer, its errors in our terms."""
    try:
        return await maybeDeferred(call, *args)
    except errors.XferError:
        raise
    except Exception as error:  # noqa: BLE001 - a shell may raise anything
        for theirs, ours in _ERRORS:
            if isinstance(error, theirs):
                raise ours(bytes(path)) from None
        if isinstance(error, OSError) and error.errno in _NUMBERS:
            raise _NUMBERS[error.errno](bytes(path)) from None
        raise errors.StorageFailure(bytes(path), type(error).__name__) from None


@implementer(IReadFile, IConsumer)
class Reader:
    """Turns a shell that sends into a file that is read: a bounded buffer between the two."""

    def __init__(self, info: FileInfo, skip: int) -> None:
        self.info = info
        self.offset = skip
        self.mode = "image"
        self._skip = skip
        self._buffer = bytearray()
        self._producer: Any = None
        self._streaming = False
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiting: tuple[Deferred[bytes], int] | None = None

    def begin(self, source: Any, path: VirtualPath) -> None:
        """Let ``source`` (ftp.IReadFile) send."""
        sent = Deferred.fromCoroutine(ask(path, source.send, self))
        sent.addCallbacks(lambda _none: self._end(None), lambda failure: self._end(failure.value))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The shell begins to send."""
        self._producer = producer
        self._streaming = streaming
        if self._waiting is not None:
            self._pull()

    def unregisterProducer(self) -> None:
        """The shell has no more to send."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """The shell sends; it is paused when it is too far ahead."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer += data
        if self._waiting is not None:
            if self._buffer:
                self._deliver()
            elif not self._streaming:
                self._pull()
        elif self._streaming and not self._paused and len(self._buffer) >= _AHEAD:
            self._paused = True
            self._producer.pauseProducing()

    def read(self, size: int) -> bytes | Deferred[bytes]:
        """What is there, or what comes next."""
        if self._buffer:
            return self._take(size)
        if self._error is not None:
            raise self._error
        if self._ended:
            return b""
        answer: Deferred[bytes] = Deferred()
        self._waiting = (answer, size)
        self._pull()
        return answer

    def advance(self, size: int) -> None:
        """There is no descriptor.

        Raises:
            Unsupported: always.
        """
        raise errors.Unsupported(self.info.name, "no descriptor")

    def close(self, reason: Exception | None = None) -> None:
        """Stop the shell."""
        producer, self._producer = self._producer, None
        self._buffer.clear()
        self._ended = True
        if producer is not None:
            producer.stopProducing()

    def _pull(self) -> None:
        producer = self._producer
        if producer is not None and (self._paused or not self._streaming):
            self._paused = False
            producer.resumeProducing()

    def _take(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.offset += len(piece)
        return piece

    def _deliver(self) -> None:
        if self._waiting is not None:
            (answer, size), self._waiting = self._waiting, None
            answer.callback(self._take(size))

    def _end(self, error: BaseException | None) -> None:
        self._ended = True
        self._producer = None
        if isinstance(error, Exception):
            self._error = error
        if self._waiting is None:
            return
        (answer, _size), self._waiting = self._waiting, None
        if self._error is not None:
            answer.errback(self._error)
        else:
            answer.callback(b"")


@implementer(IUpload, IPushProducer)
class Writer:
    """An upload into a shell's file of a hidden name."""

    def __init__(self, shell: Any, path: VirtualPath, hidden: VirtualPath, file: Any, consumer: Any) -> None:
        self.path = path
        self.offset = 0
        self.mode = "image"
        self._shell = shell
        self._hidden = hidden
        self._file = file
        self._consumer = consumer
        self._room: Deferred[None] | None = None
        self._paused = False
        consumer.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The shell's file takes no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It takes more again."""
        self._paused = False
        if self._room is not None:
            room, self._room = self._room, None
            room.callback(None)

    def stopProducing(self) -> None:
        """It takes nothing any more: nobody may wait for it."""
        self.resumeProducing()

    def reserve(self, size: int) -> int:
        """A shell has no limits."""
        return size

    def write(self, data: bytes | bytearray | memoryview) -> Deferred[None] | None:
        """Answers when the shell's file takes more."""
        self._consumer.write(bytes(data))
        self.offset += len(data)
        if not self._paused:
            return None
        self._room = Deferred()
        return self._room

    def advance(self, size: int) -> None:
        """There is no descriptor.

        Raises:
            Unsupported: always.
        """
        raise errors.Unsupported(bytes(self.path), "no descriptor")

    def commit(self, expected: Expected | None = None) -> Deferred[FileInfo]:
        """Rename to the final name."""
        return Deferred.fromCoroutine(self._commit(expected or Expected()))

    async def _commit(self, expected: Expected) -> FileInfo:
        if expected.digest is not None:
            raise errors.Unsupported(bytes(self.path), "no digest of a shell's file")
        await self._close()
        if expected.size is not None and expected.size != self.offset:
            await self._drop()
            raise errors.Truncated(bytes(self.path), transferred=self.offset)
        await ask(self.path, self._shell.rename, segments(self._hidden), segments(self.path))
        self._file = None
        return FileInfo(self.path.name, "file", self.offset)

    def suspend(self, reason: Exception | None = None) -> Deferred[None]:
        """A shell keeps no parts."""
        return self.abort(reason)

    def abort(self, reason: Exception | None = None) -> Deferred[None]:
        """Remove what was written under the hidden name."""
        return Deferred.fromCoroutine(self._drop())

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.unregisterProducer()
            await ask(self.path, self._file.close)

    async def _drop(self) -> None:
        if self._file is None:
            return
        await self._close()
        self._file = None
        await ask(self._hidden, self._shell.removeFile, segments(self._hidden))
