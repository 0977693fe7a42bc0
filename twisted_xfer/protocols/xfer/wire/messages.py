"""The control messages: frozen values, read from JSON with every field checked."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.checks import (
    BYTES,
    FLAG,
    MAX_I64,
    MIN_I64,
    hexed,
    integer,
    integers,
    maybe,
    names,
    nanoseconds,
    path,
    several,
    text,
    word,
)
from twisted_xfer.protocols.xfer.wire.frames import (
    DEFAULT_MAX_DATA,
    LEAST_MAX_DATA,
    MAX_CONTROL,
    MAX_INLINE,
    Control,
    FrameType,
)
from twisted_xfer.protocols.xfer.wire.message import Message, field, layout_of, secret, value
from twisted_xfer.sansio import decode_json

#: More entries in the air than this would not be kept busy by any line.
MAX_WINDOW: Final = 4096
DEFAULT_WINDOW: Final = 64
#: SHA-512 is the longest digest that anybody would name.
MAX_DIGEST: Final = 64
NONCE_SIZE: Final = 16
#: Files of one FILES: with the longest names their JSON takes two thirds of a control frame.
MAX_FILES: Final = 64
#: One frame of zeros: hashing them must not keep a thread for long, nor may a few bytes of a peer's.
MAX_HOLE: Final = 256 * 1024 * 1024
_NAME: Final = text(64, 1)
_DIGEST: Final = hexed(MAX_DIGEST, 16)
#: Permission bits only: set-uid, set-gid and sticky never travel.
_MODE: Final = integer(0, 0o777)
_TIME: Final = nanoseconds()
#: Patterns of a GET, and how long one may be: each is tried for each name of a tree.
MAX_PATTERNS: Final = 64
MAX_PATTERN: Final = 255
_PATTERNS: Final = several(text(MAX_PATTERN, 1), MAX_PATTERNS)
#: Why there is nothing to send; of a dry run also what would be done with it.
SKIPS: Final = ("same", "newer", "store", "replace")
POLICIES: Final = ("refuse", "overwrite", "rename", "newer", "skip-same")


@value
class Hello(Message):
    """Who speaks and what it can do; lists in order of preference."""

    TYPE = FrameType.HELLO
    NUMBERED = False
    nonce: bytes = field(hexed(NONCE_SIZE, NONCE_SIZE))
    versions: tuple[int, ...] = field(several(integer(1, 255), 16, 1), (1,))
    agent: str = field(text(64), "")
    role: str = field(word("send", "receive", "serve"), "serve")
    features: tuple[str, ...] = field(several(_NAME, 32), ())
    hashes: tuple[str, ...] = field(several(_NAME, 16, 1), ("blake3",))
    compressions: tuple[str, ...] = field(several(_NAME, 16, 1), ("none",))
    mechanisms: tuple[str, ...] = field(several(_NAME, 16), ())
    max_data: int = field(integer(LEAST_MAX_DATA, 2**30), DEFAULT_MAX_DATA)
    window: int = field(integer(1, 2**20), DEFAULT_WINDOW)


@value
class Select(Message):
    """What will be spoken: the listener's choice out of both HELLOs."""

    TYPE = FrameType.SELECT
    NUMBERED = False
    version: int = field(integer(1, 255))
    hash: str = field(_NAME)
    compression: str = field(_NAME)
    max_data: int = field(integer(LEAST_MAX_DATA, 2**30))
    window: int = field(integer(1, MAX_WINDOW))


@value
class Auth(Message):
    """The beginning of a login. The repr shows no secret."""

    TYPE = FrameType.AUTH
    NUMBERED = False
    mechanism: str = field(_NAME)
    hello_digest: bytes = field(hexed(32, 32))
    username: str = field(text(255), "")
    password: str = secret(text(1024), "")
    data: bytes = secret(hexed(1024), b"")


@value
class Challenge(Message):
    """The listener's step of a mechanism."""

    TYPE = FrameType.CHALLENGE
    NUMBERED = False
    data: bytes = field(hexed(1024))


@value
class Response(Message):
    """The caller's step of a mechanism. The repr shows no secret."""

    TYPE = FrameType.RESPONSE
    NUMBERED = False
    data: bytes = secret(hexed(1024))


@value
class Authenticated(Message):
    """The login was good; ``data`` proves the listener where the mechanism can.

    ``join`` is a secret that lets further connections join this session.
    """

    TYPE = FrameType.AUTHENTICATED
    NUMBERED = False
    hello_digest: bytes = field(hexed(32, 32))
    username: str = field(text(255), "")
    session: str = field(text(64), "")
    data: bytes = field(hexed(1024), b"")
    join: bytes = secret(hexed(64), b"")


@value
class Entry(Message):
    """One thing offered. ``size`` None: not known yet. ``inline``: INLINE follows, ``digest`` is its.

    ``dry_run`` only asks what would be done with it.
    """

    TYPE = FrameType.ENTRY
    path: bytes = field(path())
    type: str = field(word("file", "dir", "symlink"), "file")
    size: int | None = field(maybe(integer()), None)
    mode: int | None = field(maybe(_MODE), None)
    mtime_ns: int | None = field(maybe(_TIME), None)
    target: bytes | None = field(maybe(BYTES), None)
    if_exists: str = field(word(*POLICIES), "skip-same")
    inline: bool = field(FLAG, False)
    digest: bytes | None = field(maybe(_DIGEST), None)
    dry_run: bool = field(FLAG, False)


@value
class Files(Message):
    """Small files of the directory ``path``, numbered from ``stream`` on. One INLINE with what is in all of them follows.

    Each list has one for each file; ``digests`` are one behind the other.
    """

    TYPE = FrameType.FILES
    names: tuple[bytes, ...] = field(names(MAX_FILES))
    sizes: tuple[int, ...] = field(integers(0, MAX_INLINE, MAX_FILES))
    modes: tuple[int | None, ...] = field(integers(0, 0o777, MAX_FILES, null=True))
    mtimes_ns: tuple[int | None, ...] = field(integers(MIN_I64, MAX_I64, MAX_FILES, null=True))
    digests: bytes = field(hexed(MAX_FILES * MAX_DIGEST, 16))
    path: bytes = field(path(root=True), b"")
    if_exists: str = field(word(*POLICIES), "skip-same")


@value
class EndOfOffer(Message):
    """No more entries (of the request ``stream``); ``failed``: so many more could not even be offered."""

    TYPE = FrameType.END_OF_OFFER
    entries: int = field(integer(), 0)
    size: int = field(integer(), 0)
    failed: int = field(integer(), 0)


@value
class Take(Message):
    """Send it, from ``offset`` on, if your first ``offset`` bytes have this digest."""

    TYPE = FrameType.TAKE
    offset: int = field(integer(), 0)
    prefix_digest: bytes | None = field(maybe(_DIGEST), None)


@value
class Skip(Message):
    """Nothing to be done."""

    TYPE = FrameType.SKIP
    why: str = field(word(*SKIPS), "same")


@value
class Refuse(Message):
    """Not wanted, for a reason of the error table."""

    TYPE = FrameType.REFUSE
    code: int = field(integer(100, 699))
    name: str = field(_NAME)
    text: str = field(text(1024), "")


class Restart(Message):
    """The prefix is not the source's: what follows begins at 0."""

    __slots__ = ()
    TYPE = FrameType.RESTART


@value
class Segment(Message):
    """The digest of the bytes [0, offset)."""

    TYPE = FrameType.SEGMENT
    offset: int = field(integer(1))
    digest: bytes = field(_DIGEST)


@value
class Hole(Message):
    """So many zeros come next; they are hashed as such, and need no room where files may have holes."""

    TYPE = FrameType.HOLE
    size: int = field(integer(1, MAX_HOLE))


@value
class End(Message):
    """All was sent; ``changed``: the source was written to meanwhile, so it is worth nothing."""

    TYPE = FrameType.END
    size: int = field(integer())
    digest: bytes = field(_DIGEST)
    changed: bool = field(FLAG, False)


@value
class Done(Message):
    """It is stored under its final name (or removed, for a REMOVE)."""

    TYPE = FrameType.DONE
    digest: bytes | None = field(maybe(_DIGEST), None)
    stored_as: bytes | None = field(maybe(BYTES), None)
    size: int = field(integer(), 0)


@value
class Stored(Message):
    """The first ``count`` of a FILES are stored under their names, in the directory ``stored_in``."""

    TYPE = FrameType.STORED
    count: int = field(integer(1, MAX_FILES))
    digests: bytes = field(hexed(MAX_FILES * MAX_DIGEST, 16))
    stored_in: bytes = field(BYTES)


@value
class Ack(Message):
    """So much is stored: for progress only."""

    TYPE = FrameType.ACK
    durable_offset: int = field(integer())


class Ping(Message):
    """Are you there?"""

    __slots__ = ()
    TYPE = FrameType.PING
    NUMBERED = False


class Pong(Message):
    """Yes."""

    __slots__ = ()
    TYPE = FrameType.PONG
    NUMBERED = False


class Abort(Message):
    """The sender gives this entry up."""

    __slots__ = ()
    TYPE = FrameType.ABORT


@value
class Error(Message):
    """``stream`` 0: the connection ends. Else this entry or request failed."""

    TYPE = FrameType.ERROR
    code: int = field(integer(100, 699))
    name: str = field(_NAME)
    retry: bool = field(FLAG, False)
    text: str = field(text(1024), "")


@value
class Get(Message):
    """Offer me ``path``: a file, or of a tree what the patterns let through (see ``patterns``)."""

    TYPE = FrameType.GET
    path: bytes = field(path(root=True), b"")
    include: tuple[str, ...] = field(_PATTERNS, ())
    exclude: tuple[str, ...] = field(_PATTERNS, ())
    dry_run: bool = field(FLAG, False)


@value
class List(Message):
    """Tell me what is in ``path``: as ENTRY frames that are not to be answered."""

    TYPE = FrameType.LIST
    path: bytes = field(path(root=True), b"")


@value
class Remove(Message):
    """Remove ``path``: a file, or an empty directory."""

    TYPE = FrameType.REMOVE
    path: bytes = field(path())


MESSAGES: Final[dict[FrameType, type[Message]]] = {
    kind.TYPE: kind
    for kind in (
        Hello, Select, Auth, Challenge, Response, Authenticated, Entry, EndOfOffer, Take, Skip, Refuse,
        Restart, Segment, Hole, End, Done, Files, Stored, Ack, Ping, Pong, Abort, Error, Get, List, Remove,
    )
}  # fmt: skip


def read_message(frame: Control) -> Message:
    """The message of a control frame.

    Raises:
        RemoteProtocolError: not a JSON object, a field is missing or wrong, or the stream number is.
    """
    kind = MESSAGES[frame.type]
    if not kind.NUMBERED and frame.stream:
        raise RemoteProtocolError(detail="a stream number where there is no stream")
    if len(frame.payload) > MAX_CONTROL:
        raise RemoteProtocolError(detail="frame too long", limit=MAX_CONTROL)
    given = decode_json(frame.payload)
    if not isinstance(given, dict):
        raise RemoteProtocolError(detail="not a JSON object")
    return kind(stream=frame.stream, **layout_of(kind).read(given))
