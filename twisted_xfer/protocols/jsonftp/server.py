"""Serving the JSON "FTP": one session per connection, each with a directory of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.cred.credentials import UsernamePassword

from twisted_xfer.errors import (
    DigestMismatch,
    LoginFailed,
    LoginRefused,
    NameInvalid,
    RemoteProtocolError,
    XferError,
)
from twisted_xfer.interfaces import Expected, IAvatar, IEnters, IHost, ILease, IListing, IUpload, WriteIntent
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.protocols.jsonftp.wire import (
    ACTION_KEYS,
    ACTIONS,
    DONE,
    GO_ON,
    NAME_KEYS,
    NOT_DONE,
    PATH_KEYS,
    REFUSED,
    SIZE_KEYS,
    Action,
    Chunk,
    DialectName,
    Meaning,
    Message,
    MessageReader,
    encode,
    frame,
    reply,
    size_of,
    text_of,
)
from twisted_xfer.streams import ServedFactory, ServedStream, commit, let_go, open_whole

#: Wrong passwords before the connection is closed.
MAX_FAILURES: Final = 5
#: Names in one answer to ls: a client takes it in one piece.
MAX_NAMES: Final = 10_000
Values = dict[str, Any]


class JSONFTPStream(ServedStream):
    """One session."""

    reader: MessageReader

    def __init__(self, host: IHost, peer: str, lease: ILease, idle: float, dialect: DialectName) -> None:
        super().__init__(host, "jsonftp", peer, lease, idle)
        self.reader = MessageReader(framed=None)
        self._dialect = dialect
        self._cwd = ROOT
        self._failures = 0

    def answer(self, meaning: Meaning, text: str = "", **extra: object) -> None:
        """Send an answer."""
        self.tell(reply(self._dialect, meaning, text, **extra))

    def tell(self, message: bytes) -> None:
        """Send a message, with its length before it to those who say theirs."""
        self.transport.write(frame(message) if self.reader.framed else message)

    def say(self, word: bytes, meaning: Meaning) -> None:
        """Send a word: with lengths there are only objects, so it is the text of one then."""
        if self.reader.framed:
            self.answer(meaning, word.decode())
        else:
            self.transport.write(word)

    async def serve(self) -> None:
        """See ServedStream."""
        self.guard()
        try:
            while (event := await self.next_event()) is not None:
                await self._handle(event)
                await self.breathe()
        except RemoteProtocolError:
            # Where the next object begins is not known any more.
            self.answer("bad_format")
            raise

    async def _handle(self, event: object) -> None:
        message = event.value if isinstance(event, Message) else None
        said = text_of(message, *ACTION_KEYS) if isinstance(message, dict) else ""
        if not isinstance(message, dict) or not said:
            self.answer("bad_format")
            return
        action = ACTIONS.get(said)
        if action is None:
            self.answer("bad_command")
        elif action == "auth":
            await self._authenticate(message)
        elif self.avatar is None:
            self.answer("auth_invalid", "Authenticate first")
        else:
            try:
                await _COMMANDS[action](self, self.avatar, message)
            except RemoteProtocolError:
                raise
            except NameInvalid:
                self.answer("no_filename")

    async def _authenticate(self, message: Values) -> None:
        username, password = message.get("username"), message.get("password")
        if not (isinstance(username, str) and isinstance(password, str) and username):
            self.answer("auth_invalid")
            return
        credentials = UsernamePassword(_bytes(username), _bytes(password))
        try:
            await self.log_in(credentials)
        except XferError as error:
            if self.lost is not None:
                raise
            self._failures += 1
            self.answer("auth_failed")
            if self._failures >= MAX_FAILURES or not isinstance(error, LoginFailed):
                raise LoginRefused(detail="too many failures") from error
            return
        self._cwd = ROOT
        self.answer("auth_passed")

    def path(self, message: Values, *keys: str) -> VirtualPath:
        r"""The path in ``message``, from the session's directory; ``\`` separates too.

        Raises:
            NameInvalid: there is none.
        """
        text = text_of(message, *keys)
        if not text:
            raise NameInvalid(detail="no name")
        return VirtualPath.parse(_bytes(text).replace(b"\\", b"/"), self._cwd)

    async def get(self, avatar: IAvatar, message: Values) -> None:
        """Send a file, or its rest from the breakpoint on."""
        path = self.path(message, *NAME_KEYS)
        offset = size_of(message, "breakpoint") if text_of(message, *ACTION_KEYS) == "breakpoint" else 0
        if offset is None:
            self.answer("bad_format")
            return
        try:
            file = await open_whole(avatar, path, offset)
        except XferError:
            self.answer("not_found")
            return
        try:
            await self._send(avatar, file, offset, wants_md5=message.get("md5") is True)
        except Exception as error:
            file.close(error)
            raise
        file.close()

    async def _send(self, avatar: IAvatar, file: Any, offset: int, *, wants_md5: bool) -> None:
        size = file.info.size
        if not self.reader.framed:
            self.reader.expect_go_on()
        self.answer("ready", file_size=size)
        if not self.reader.framed:
            # With lengths the answer cannot stick to the file, and nobody waits.
            await self.need_event()
        digest = hashlib.md5(usedforsecurity=False)
        # The digest's object must not stick to the file.
        await self.send_bytes(
            file.read,
            size - offset,
            avatar.download_limiter,
            sent=digest.update if wants_md5 else None,
            alone=wants_md5,
        )
        if wants_md5:
            self.answer("md5", md5=digest.hexdigest())

    async def put(self, avatar: IAvatar, message: Values) -> None:
        """Take a file: the size comes in an object of its own, stuck to the first or not, or in the first."""
        path = self.path(message, *NAME_KEYS)
        announced = message if any(key in message for key in SIZE_KEYS) else (await self.need_event()).value
        size = size_of(announced, *SIZE_KEYS) if isinstance(announced, dict) else None
        if size is None:
            self.answer("bad_format")
            return
        try:
            upload = await resolve(avatar.open_write(path, WriteIntent(size=size)))
        except XferError as error:
            self.answer("refused", f"{REFUSED}{error.code}")
            return
        said = message.get("md5")
        md5 = said if said is True or isinstance(said, str) else ""
        try:
            await self._store(avatar, upload, size, md5)
        except DigestMismatch:
            self.say(NOT_DONE, "md5")
        except XferError as error:
            if self.lost is None and not isinstance(error, RemoteProtocolError):
                self.answer("refused", f"{REFUSED}{error.code}")
            raise
        else:
            if md5 or self.reader.framed:
                self.say(DONE, "md5")

    async def _store(self, avatar: IAvatar, upload: IUpload, size: int, md5: str | bool) -> None:
        try:
            expected = await self._receive(avatar, upload, size, md5)
        except Exception as error:
            await let_go(upload, error)
            raise
        await commit(upload, expected)

    async def _receive(self, avatar: IAvatar, upload: IUpload, size: int, md5: str | bool) -> Expected:
        """The file; ``md5`` is its digest in hex, or true if that comes behind it."""
        self.reader.expect_bytes(size)
        self.say(GO_ON, "ready")
        left = size
        while left:
            event = await self.need_event()
            if not isinstance(event, Chunk):
                raise RemoteProtocolError(detail="not a file")
            left -= len(event.data)
            await self.store(upload, event.data, avatar.upload_limiter)
        if not md5:
            return Expected(size=size)
        if not isinstance(md5, str):
            said = (await self.need_event()).value
            md5 = text_of(said, "md5") if isinstance(said, dict) else ""
        try:
            digest = bytes.fromhex(md5)
        except ValueError:
            raise RemoteProtocolError(detail="no MD5") from None
        return Expected(size=size, digest=("md5", digest))

    async def change(self, avatar: IAvatar, message: Values) -> None:
        """Move this session, and nobody else's."""
        path = self.path(message, *PATH_KEYS)
        try:
            entering = avatar.enter(path) if IEnters.providedBy(avatar) else avatar.stat(path)
            info = await resolve(entering)
        except XferError:
            self.answer("not_found")
            return
        if info.kind != "dir":
            self.answer("not_found")
            return
        self._cwd = path
        self.answer("directory", path=_text(bytes(path)))

    async def where(self, avatar: IAvatar, message: Values) -> None:
        """Tell the directory."""
        self.answer("directory", _text(bytes(self._cwd)), path=_text(bytes(self._cwd)))

    async def names(self, avatar: IAvatar, message: Values) -> None:
        """A bare list of names."""
        path = self.path(message, *PATH_KEYS) if text_of(message, *PATH_KEYS) else self._cwd
        try:
            listing = await resolve(avatar.list(path))
        except XferError:
            self.answer("not_found")
            return
        try:
            self.tell(encode(sorted(await _names(listing))))
        finally:
            listing.close()


async def _names(listing: IListing) -> list[str]:
    names: list[str] = []
    while len(names) < MAX_NAMES and (batch := await resolve(listing.next_batch())):
        names += [_text(entry.name) for entry in batch]
    return names[:MAX_NAMES]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    """As it was meant; lone surrogates that are no bytes of a name are refused by storages as such."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise NameInvalid(detail="not a name") from None


_COMMANDS: Final[dict[Action, Callable[[JSONFTPStream, IAvatar, Values], Awaitable[None]]]] = {
    "get": JSONFTPStream.get,
    "breakpoint": JSONFTPStream.get,
    "put": JSONFTPStream.put,
    "cd": JSONFTPStream.change,
    "ls": JSONFTPStream.names,
    "pwd": JSONFTPStream.where,
}


def make_factory(host: IHost, idle: float, dialect: DialectName) -> ServedFactory:
    """The factory for sessions."""
    return ServedFactory(host, "jsonftp", lambda peer, lease: JSONFTPStream(host, peer, lease, idle, dialect))
