"""A session with a script's JSON "FTP" server, or with ours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from twisted_xfer.errors import (
    ConnectionLost,
    DigestMismatch,
    LocalProtocolError,
    QuotaExceeded,
    RemoteProtocolError,
    TimedOut,
    Truncated,
    Unsupported,
    XferError,
)
from twisted_xfer.interfaces import Eventually, ILimiter
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.jsonftp.wire import (
    ERRORS,
    GO_ON,
    MAX_LIST,
    MAX_OBJECT,
    MEANINGS,
    NOT_DONE,
    REFUSALS,
    SIZE_KEYS,
    Chunk,
    Message,
    MessageReader,
    Word,
    encode,
    frame,
    size_of,
    text_of,
)
from twisted_xfer.streams import ClientStream, Queued, dial, kernel_queue

#: Seconds of silence after which a server is given up.
WITHIN: Final = 30.0
#: Seconds that a server has for its last word after an upload: not all of them say one.
LAST_WORD: Final = 5.0
#: What a server that knows no digests looks like to who waits for one.
NO_MD5: Final = "no MD5 came"
#: What is told of progress: the bytes of a piece, and the size of the file.
Progress = Callable[[int, int], object]


class Session:
    """Logged in. Close it in a ``finally``. Each method may raise TimedOut, ConnectionLost, RemoteProtocolError."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        self._reader: MessageReader = stream.reader

    async def authenticate(self, username: str, password: str) -> None:
        """Log in. Raises LoginFailed."""
        await self._ask("auth", {"auth_passed"}, username=username, password=password)

    async def get(
        self,
        filename: str,
        write: Callable[[bytes], Eventually[object]],
        *,
        offset: int = 0,
        md5: bool = True,
        progress: Progress | None = None,
        limiter: ILimiter | None = None,
    ) -> int:
        """Write ``filename`` from ``offset`` on; the size of the whole.

        The digest covers what was sent, not what was there before.

        Raises:
            NotFound: no such file.
            Unsupported: an offset, and a server that does not know breakpoints.
            DigestMismatch, Truncated: what came is not what was to come.
        """
        more: dict[str, Any] = {"md5": True} if md5 else {}
        if offset:
            more["breakpoint"] = offset
        said = await self._say("breakpoint" if offset else "get", filename=filename, **more)
        answer = self._meant(Message(said), {"ready"}, Unsupported if offset else RemoteProtocolError)
        size = size_of(answer, *SIZE_KEYS)
        if size is None or size < offset:
            raise RemoteProtocolError(detail="no size")
        self._reader.expect_bytes(size - offset)
        if not self._reader.framed:
            self._stream.transport.write(GO_ON)
        digest = hashlib.md5(usedforsecurity=False)
        left = size - offset
        while left:
            event = await self._stream.next_event()
            if not isinstance(event, Chunk):
                gone = self._stream.gone()
                raise (
                    Truncated(filename, transferred=size - offset - left)
                    if isinstance(gone, ConnectionLost)
                    else gone
                )
            left -= len(event.data)
            digest.update(event.data)
            await resolve(write(event.data))
            if progress is not None:
                progress(len(event.data), size)
            await self._stream.paced(len(event.data), limiter)
        if md5:
            event = await self._stream.next_event()
            if event is None:
                silent = self._stream.timed_out
                raise TimedOut(filename, NO_MD5) if silent else Truncated(filename, transferred=size - offset)
            said = self._meant(event, {"md5"})
            if text_of(said, "md5").lower() != digest.hexdigest():
                raise DigestMismatch(filename, "md5", transferred=size - offset)
        return size

    async def put(
        self,
        filename: str,
        size: int,
        read: Callable[[int], Eventually[bytes]],
        *,
        md5: bool = True,
        progress: Progress | None = None,
        limiter: ILimiter | None = None,
    ) -> bool:
        """Send ``size`` bytes of ``read`` as ``filename``; whether the server said that they are right.

        Raises:
            QuotaExceeded, RightMissing, TooLarge, NoSpace: refused; QuotaExceeded where no reason was given.
            DigestMismatch: the server says that they are not right.
        """
        stream = self._stream
        framed = self._reader.framed
        command = {"action": "put", "filename": filename, **({"md5": True} if md5 else {})}
        if framed:
            self._tell({**command, "file_size": size})
        else:
            self._reader.expect_go_on()
            # Two objects in one read end the scripts' server.
            await stream.write_alone(encode(command))
            self._tell({"status_code": 257, "status_msg": "Ready to send file", "file_size": size})
        event = await stream.need_event()
        if isinstance(event, Message):
            self._meant(event, {"ready"} if framed else set(), QuotaExceeded)
        digest = hashlib.md5(usedforsecurity=False)
        await stream.send_bytes(
            read,
            size,
            limiter,
            progress=None if progress is None else lambda count: progress(count, size),
            sent=digest.update if md5 else None,
            alone=not framed,
        )
        if not md5 and not framed:
            return False
        if not framed:
            self._reader.expect_word()
        if md5:
            self._tell({"status_code": 258, "status_msg": "md5 verification", "md5": digest.hexdigest()})
        return await self._last_word(filename, size) and md5

    async def _last_word(self, filename: str, size: int) -> bool:
        while (event := self._reader.next_event()) is None:
            if not await self._stream.more(LAST_WORD):
                return False
        if isinstance(event, Word):
            good = event.good
        else:
            good = text_of(self._meant(event, {"md5", "ready"}), "status_msg") != NOT_DONE.decode()
        if not good:
            raise DigestMismatch(filename, "md5", transferred=size)
        return True

    async def ls(self, path: str = "") -> list[str]:
        """The names in a directory."""
        value = await self._say("ls", **({"path": path} if path else {}))
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return value
        self._meant(Message(value), set())
        return []

    async def cd(self, path: str) -> None:
        """Change the directory. Raises NotFound."""
        await self._ask("cd", {"directory"}, path=path)

    async def closed(self) -> None:
        """Close in order."""
        await self._stream.closed()

    def leave(self) -> None:
        """Cut the connection, if it is up."""
        self._stream.leave()

    def _tell(self, message: dict[str, Any]) -> None:
        data = encode(message)
        if len(data) > MAX_OBJECT:
            raise LocalProtocolError(detail="command too long", limit=MAX_OBJECT)
        self._stream.transport.write(frame(data) if self._reader.framed else data)

    async def _say(self, action: str, **more: Any) -> Any:
        self._tell({"action": action, **more})
        event = await self._stream.need_event()
        return event.value

    async def _ask(self, action: str, wanted: set[str], **more: Any) -> dict[str, Any]:
        return self._meant(Message(await self._say(action, **more)), wanted)

    def _meant(
        self, event: object, wanted: set[str], unknown: type[XferError] = RemoteProtocolError
    ) -> dict[str, Any]:
        """The answer, if it is one of those ``wanted``; ``unknown`` is what "invalid command" stands for.

        Raises:
            XferError: the one that the code stands for.
        """
        answer = event.value if isinstance(event, Message) else None
        code = answer.get("status_code") if isinstance(answer, dict) else None
        meaning = MEANINGS.get(code) if type(code) is int else None
        if isinstance(answer, dict) and meaning in wanted:
            return answer
        text = text_of(answer, "status_msg")[:200] if isinstance(answer, dict) else "not an answer"
        error = unknown if meaning == "bad_command" else RemoteProtocolError
        error = REFUSALS.get(text, ERRORS.get(meaning, error) if meaning else error)
        raise error(detail=f"{code}: {text}")


async def log_in(
    endpoint: IStreamClientEndpoint,
    username: str,
    password: str,
    clock: IReactorTime,
    *,
    within: float = WITHIN,
    framed: bool = False,
    queued: Queued = kernel_queue,
) -> Session:
    """A session; ``framed`` for servers that want the length of each object before it.

    Raises:
        LoginFailed, RemoteProtocolError, TimedOut, ConnectionLost.
    """
    stream = await dial(endpoint, MessageReader(MAX_LIST, lists=True, framed=framed), clock, within, queued)
    session = Session(stream)
    try:
        await session.authenticate(username, password)
    except Exception:
        stream.leave()
        raise
    return session
