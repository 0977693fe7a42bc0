"""The messages of the JSON "FTP": objects without frames, single bytes and raw files between them. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from twisted_xfer.errors import (
    LoginFailed,
    NameInvalid,
    NoSpace,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
    RightMissing,
    TooLarge,
    Vetoed,
    XferError,
)
from twisted_xfer.sansio.json import JSONReader, decode_json

#: The largest object: the scripts read 1024 bytes, dialects more.
MAX_OBJECT: Final = 64 * 1024
#: The largest list of names that a client takes.
MAX_LIST: Final = 4 * 1024 * 1024
#: A file has at most so many bytes.
MAX_SIZE: Final = 2**63 - 1
#: ``struct.pack('i', size)`` before an object, as courses write it that do not like sticking objects.
LENGTH: Final = struct.Struct("<i")
#: What says "go on" in both directions.
GO_ON: Final = b"1"
DONE: Final = b"done"
NOT_DONE: Final = b"md5 false"

DialectName: TypeAlias = Literal["article", "wide"]
Meaning: TypeAlias = Literal[
    "bad_format",
    "bad_command",
    "auth_invalid",
    "auth_failed",
    "auth_passed",
    "no_filename",
    "not_found",
    "ready",
    "md5",
    "directory",
    "refused",
]

_ARTICLE: Final[dict[Meaning, tuple[int, str]]] = {
    "bad_format": (250, "Invalid cmd format, e.g: {'action':'get','filename':'test.py','size':344}"),
    "bad_command": (251, "Invalid cmd"),
    "auth_invalid": (252, "Invalid auth data"),
    "auth_failed": (253, "Wrong username or password"),
    "auth_passed": (254, "Passed authentication"),
    "no_filename": (255, "Filename doesn't provided"),
    "not_found": (256, "File doesn't exist on server"),
    "ready": (257, "Ready to send file"),
    "md5": (258, "md5 verification"),
    "directory": (259, "Directory switched"),
    # The article has no code for it; its client prints the text of any.
    "refused": (251, "Refused"),
}

#: Codes and texts by dialect: what servers of this family answer.
CODES: Final[dict[DialectName, Mapping[Meaning, tuple[int, str]]]] = {
    "article": _ARTICLE,
    "wide": {**_ARTICLE, "refused": (260, "Refused, the quota perhaps")},
}
#: What a code means to our client, in any dialect.
MEANINGS: Final[dict[int, Meaning]] = {
    **{code: meaning for meaning, (code, _) in _ARTICLE.items() if meaning != "refused"},
    260: "refused",
    800: "refused",
    801: "refused",
    802: "ready",
    900: "md5",
}
#: The error of each answer that is one.
ERRORS: Final[dict[Meaning, type[XferError]]] = {
    "auth_invalid": LoginFailed,
    "auth_failed": LoginFailed,
    "not_found": NotFound,
    "refused": QuotaExceeded,
}

#: Before the reason for which an upload is refused, which is the code of an error.
REFUSED: Final = "Refused: "
#: Those that our client knows.
REFUSALS: Final[dict[str, type[XferError]]] = {
    f"{REFUSED}{error.code}": error
    for error in (QuotaExceeded, RightMissing, TooLarge, NoSpace, NameInvalid, NotFound, Vetoed)
}

Action: TypeAlias = Literal["auth", "get", "breakpoint", "put", "cd", "ls", "pwd"]
#: Names of commands, in all dialects at once: none of them is ambiguous.
ACTIONS: Final[dict[str, Action]] = {
    "auth": "auth",
    "get": "get",
    "breakpoint": "breakpoint",
    "put": "put",
    "cd": "cd",
    "change_dir": "cd",
    "ls": "ls",
    "listdir": "ls",
    "pwd": "pwd",
}
#: Keys under which the command, the name and the size may stand.
ACTION_KEYS: Final = ("action", "action_type", "cmd")
NAME_KEYS: Final = ("filename", "file_name")
SIZE_KEYS: Final = ("file_size", "filesize", "total_size", "size")
#: Keys under which a directory may stand: the article's listing cuts it off.
PATH_KEYS: Final = ("path", "dir", "dirname", "filename")


class Message(NamedTuple):
    """An object, or a list of names."""

    value: Any


class GoOn(NamedTuple):
    """The other side is ready."""


class Chunk(NamedTuple):
    """Bytes of a file."""

    data: bytes


class Word(NamedTuple):
    """What a server says after an upload with MD5: whether it was right."""

    good: bool


Event: TypeAlias = Message | GoOn | Chunk | Word


def encode(value: object) -> bytes:
    """One message as the scripts send it."""
    return json.dumps(value).encode("ascii")


def frame(data: bytes) -> bytes:
    """A message with its length before it."""
    return LENGTH.pack(len(data)) + data


def reply(dialect: DialectName, meaning: Meaning, text: str = "", **extra: object) -> bytes:
    """A server's answer; ``text`` in place of the table's."""
    code, message = CODES[dialect][meaning]
    return encode({"status_code": code, "status_msg": text or message, **extra})


def text_of(message: Mapping[str, Any], *keys: str) -> str:
    """The first of ``keys`` that holds text; empty when none does."""
    return next((value for key in keys if isinstance(value := message.get(key), str)), "")


def size_of(message: Mapping[str, Any], *keys: str) -> int | None:
    """A size or an offset under the first of ``keys`` that is there; None when it is none."""
    value = next((message[key] for key in keys if key in message), None)
    return value if type(value) is int and 0 <= value <= MAX_SIZE else None


class MessageReader:
    """Either side: what comes next is what was asked for, an object unless something else was.

    Bounded: ``most`` bytes of an object, one read of a file; a word and a go-on are a few bytes.

    ``lists``: whether a list of names may come as well. ``framed``: whether each object has its length
    before it; None lets the first four bytes tell: JSON has no zeros, and a length below 64 KiB has two.
    """

    def __init__(self, most: int = MAX_OBJECT, *, lists: bool = False, framed: bool | None = False) -> None:
        self.framed = framed
        self._most = most
        self._lists = lists
        self._json = JSONReader(most, arrays=lists)
        self._buffer = bytearray()
        self._mode: Literal["object", "go_on", "bytes", "word"] = "object"
        self._left = 0

    def receive_data(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data

    def expect_go_on(self) -> None:
        """The other side says that it is ready, or says why not in an object."""
        self._switch("go_on")

    def expect_bytes(self, size: int) -> None:
        """So many raw bytes, then objects again."""
        self._left = size
        self._switch("bytes" if size else "object")

    def expect_word(self) -> None:
        """What a server says after an upload."""
        self._switch("word")

    def _switch(self, mode: Literal["object", "go_on", "bytes", "word"]) -> None:
        self._mode = mode
        # Between two values: all that the JSON reader has is what came after the last one.
        self._buffer[:0] = self._json.take(self._json.pending)

    def next_event(self) -> Event | None:
        """The next event, or None when it needs more.

        Raises:
            RemoteProtocolError: not JSON, too long, or not what had to come.
        """
        buffer = self._buffer
        if self._mode == "bytes":
            if not buffer:
                return None
            data = bytes(buffer[: self._left])
            del buffer[: len(data)]
            self._left -= len(data)
            if not self._left:
                self._mode = "object"
            return Chunk(data)
        if self.framed is None and not self._detect():
            return None
        if self.framed:
            return self._framed_message()
        if self._mode != "object":
            if not buffer:
                return None
            if buffer[:1] != b"{":
                return self._go_on() if self._mode == "go_on" else self._word()
            self._mode = "object"
        return self._message()

    def _detect(self) -> bool:
        """Find out whether objects are framed; False while that is open."""
        head = self._buffer[: LENGTH.size]
        # The shortest object is shorter than a length; nobody begins with a frame of 32 123 bytes.
        bare = any(head[2:]) or head[:2] == b"{}"
        if len(head) < LENGTH.size and not bare:
            return False
        self.framed = not bare
        return True

    def _framed_message(self) -> Message | None:
        buffer = self._buffer
        # Behind a length there is JSON; a zero there says that a go-on, which nobody needs, is before the length.
        if buffer[:1] == GO_ON and len(buffer) > LENGTH.size and not buffer[LENGTH.size]:
            del buffer[:1]
        if len(buffer) <= LENGTH.size:
            return None
        (size,) = LENGTH.unpack_from(buffer)
        if not 0 < size <= self._most:
            raise RemoteProtocolError(detail="JSON object too long", limit=self._most)
        end = LENGTH.size + size
        if len(buffer) < end:
            return None
        value = decode_json(bytes(buffer[LENGTH.size : end]))
        del buffer[:end]
        if not isinstance(value, (dict, list) if self._lists else dict):
            raise RemoteProtocolError(detail="not a JSON object")
        self._mode = "object"
        return Message(value)

    def _go_on(self) -> GoOn:
        if self._buffer[:1] != GO_ON:
            raise RemoteProtocolError(detail="neither a go-on nor an object")
        del self._buffer[:1]
        self._mode = "object"
        return GoOn()

    def _word(self) -> Word | None:
        for word in (DONE, NOT_DONE):
            if self._buffer.startswith(word):
                del self._buffer[: len(word)]
                self._mode = "object"
                return Word(word == DONE)
            if word.startswith(self._buffer):
                return None
        raise RemoteProtocolError(detail="an unknown word")

    def _message(self) -> Message | None:
        if not self._json.pending:
            # A go-on that nobody waits for any more may stick to the next object.
            del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"1 \t\r\n"))]
        self._json.receive_data(bytes(self._buffer))
        self._buffer.clear()
        value = self._json.next_value()
        return None if value is None else Message(value)
