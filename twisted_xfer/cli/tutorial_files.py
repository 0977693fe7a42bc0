"""send, get and ls by the tutorial protocols."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import click

from twisted_xfer.cli.calling import run
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say
from twisted_xfer.cli.tutorial import Place, chosen, code_of, printable, refuse, sentence, work
from twisted_xfer.cli.tutorial_file import NEVER, File, about, log_in_at, shown, tls_only
from twisted_xfer.errors import (
    ConnectionLost,
    DigestMismatch,
    LoginFailed,
    NotFound,
    PrefixMismatch,
    RemoteProtocolError,
    TimedOut,
    Unsupported,
    XferError,
)

#: Bytes before the end of a part that are fetched once more: they show whether it is the same file still.
OVERLAP: Final = 64 * 1024


def send(
    place: Place, paths: tuple[str, ...], asked: Any, *, retries: int, as_json: bool, rate: int | None = None
) -> None:
    """Send plain files; ends the process with an exit code when one fails."""
    refuse(place, *NEVER, "if_exists", "name", *tls_only(place))
    if place.protocol == "push" and place.path:
        raise click.UsageError(f"a push has no directories: write push://{place}")
    place, password, ca = place.entered(asked)
    files = [
        File(place, os.path.basename(path), shown(place, as_json=as_json), ca, password, rate)
        for path in paths
    ]
    with ExitStack() as opened:
        streams = [opened.enter_context(_plain_file(path)) for path in paths]

        async def all_of_them(reactor: Any) -> list[Exit]:
            return [
                await _send_one(reactor, file, stream, retries, as_json=as_json)
                for file, stream in zip(files, streams, strict=True)
            ]

        codes = work(place, all_of_them)
    if any(codes):
        raise SystemExit(int(codes[0] if len(set(codes)) == 1 else Exit.SOME_FAILED))


def _plain_file(path: str) -> IO[bytes]:
    if path == "-":
        fail("standard input has no size, which these protocols send first: give a file", Exit.USAGE)
    try:
        if os.path.isdir(path) or not Path(path).exists():
            return open(path, "rb")  # whose error says what is wrong
        if not Path(path).is_file():
            fail(f"{path}: only plain files can be sent this way", Exit.STORAGE)
        return open(path, "rb")
    except OSError as error:
        fail(f"{path}: {error.strerror}", Exit.STORAGE)


async def _send_one(reactor: Any, file: File, stream: IO[bytes], retries: int, *, as_json: bool) -> Exit:
    """Send one file; what is wrong with it alone does not keep others from being sent.

    Raises:
        LoginFailed, ConnectionLost, TimedOut: nor will the others get through.
    """

    async def once() -> bool:
        stream.seek(0)
        file.start(os.fstat(stream.fileno()).st_size)
        return await _SENDERS[file.place.protocol](reactor, file, stream)

    try:
        verified = await file.bring(reactor, once, retries)
    except LoginFailed:
        raise
    except XferError as error:
        code = code_of(error, moved=bool(file.moved))
        if code is Exit.NO_CONNECTION:
            raise
        say(f"xfer: {sentence(error, file.place)}")
        return code
    file.done(file.name, verified=verified, as_json=as_json)
    return Exit.VERIFIED


async def _push(reactor: Any, file: File, stream: IO[bytes]) -> bool:
    from twisted_xfer.protocols.push import send as push

    endpoint, name = file.place.endpoint(reactor, file.ca), os.fsencode(file.name)
    limiter = file.limiter(reactor)
    try:
        await push(endpoint, name, file.size, stream.read, reactor, progress=file.step, limiter=limiter)
    except ConnectionLost as error:
        if error.detail in {"the connection broke", "the connection was closed"}:
            raise ConnectionLost(None, f"{error.detail}: the receiver has not stored {file.name}") from error
        raise
    return False


async def _put(reactor: Any, file: File, stream: IO[bytes]) -> bool:
    session = await log_in_at(reactor, file.place, file.ca, file.password)
    try:
        if file.place.path:
            with about(file.place.path):
                await session.cd(file.place.path)
        verified: bool = await session.put(
            file.name,
            file.size,
            stream.read,
            md5=not chosen("no_md5"),
            progress=lambda count, _size: file.step(count),
            limiter=file.limiter(reactor),
        )
        await session.closed()
        return verified
    finally:
        session.leave()


_SENDERS: Final = {"push": _push, "jsonftp": _put}


def get(
    place: Place,
    destination: str,
    asked: Any,
    *,
    retries: int,
    as_json: bool,
    if_exists: str = "overwrite",
    rate: int | None = None,
) -> None:
    """Fetch one file into ``destination``, whole or not at all; ends with an exit code when that fails.

    What came of a jsonftp:// file before the connection broke is kept beside it, hidden, and gone on with.
    """
    refuse(place, *NEVER, *tls_only(place))
    if if_exists in {"newer", "skip-same"}:
        refuse(place, "if_exists")
    name = place.path.rpartition("/")[2]
    if not name or name in {".", ".."} or "\0" in name:
        raise click.UsageError("which file? Write its name behind the host")
    target = Path(destination) / name
    if if_exists == "refuse" and os.path.lexists(target):
        fail(f"{target}: the name is taken", Exit.REFUSED)
    place, password, ca = place.entered(asked)
    file = File(place, name, shown(place, as_json=as_json), ca, password, rate)
    try:
        with _part(target) as (part, stream):
            try:

                async def all_of_it(reactor: Any) -> bool:
                    getter = _GETTERS[place.protocol]
                    return await file.bring(reactor, lambda: getter(reactor, file, stream), retries)

                verified = _worked(file, all_of_it)
                stream.flush()
                target = _publish(part, target, if_exists)
            except BaseException:
                if place.protocol != "jsonftp" or not stream.seek(0, os.SEEK_END):
                    part.unlink(missing_ok=True)
                raise
    except OSError as error:
        fail(f"{target}: {error.strerror}", Exit.STORAGE)
    file.done(str(target), verified=verified, as_json=as_json)


def _worked(file: File, begin: Callable[[Any], Awaitable[bool]]) -> bool:
    outcome = run(begin)
    if isinstance(outcome, XferError):
        fail(sentence(outcome, file.place), code_of(outcome, moved=bool(file.moved)))
    if isinstance(outcome, BaseException):
        raise outcome
    return bool(outcome)


@contextmanager
def _part(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The hidden part of ``target``, which one process has at a time."""
    part = target.with_name(f".{target.name[:200]}.xfer-part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with open(descriptor, "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before may have given it its final name meanwhile.
            mine = os.path.samestat(os.fstat(stream.fileno()), os.stat(part))
        except OSError:
            mine = False
        if not mine:
            fail(f"{target}: another process fetches it", Exit.REFUSED)
        yield part, stream


def _publish(part: Path, target: Path, if_exists: str) -> Path:
    """Give the whole file its name, or with ``rename`` the first that is free; the name."""
    if if_exists not in {"refuse", "rename"}:
        part.replace(target)
        return target
    for number in range(1000 if if_exists == "rename" else 1):
        free = target.with_stem(f"{target.stem} ({number})") if number else target
        with suppress(FileExistsError):
            os.link(part, free)
            part.unlink()
            return free
    return fail(f"{target}: the name is taken", Exit.REFUSED)


async def _fetch(reactor: Any, file: File, stream: IO[bytes]) -> bool:
    from twisted_xfer.protocols.fetch import get as fetch

    stream.seek(0)
    stream.truncate()
    verify = not chosen("no_md5")
    begun = False

    def progress(count: int, size: int) -> None:
        nonlocal begun
        if not begun:
            file.start(size)
        begun = True
        file.step(count)

    endpoint, name = file.place.endpoint(reactor, file.ca), os.fsencode(file.place.path)
    try:
        file.size = await fetch(
            endpoint,
            name,
            stream.write,
            reactor,
            md5=verify,
            progress=progress,
            limiter=file.limiter(reactor),
        )
    except TimedOut as error:
        if error.detail == "no answer":
            detail = "no answer; scripts' servers give none for a file that they do not have"
            raise TimedOut(error.subject, detail) from error
        raise _hinted(error) from error
    return verify


def _hinted(error: TimedOut) -> TimedOut:
    """The error, with the way out when it is the digest that is missing."""
    if error.detail == "no MD5 came":
        return TimedOut(error.subject, "the whole file came, but no MD5: give --no-md5 for such a server")
    return error


async def _retrieve(reactor: Any, file: File, stream: IO[bytes]) -> bool:
    """The rest of a part if there is one and it is a beginning of the file, else all of it."""
    if stream.seek(0, os.SEEK_END):
        with suppress(NotFound, Unsupported, PrefixMismatch, RemoteProtocolError):
            return await _retrieve_from(reactor, file, stream)
    stream.seek(0)
    stream.truncate()
    return await _retrieve_from(reactor, file, stream)


async def _retrieve_from(reactor: Any, file: File, stream: IO[bytes]) -> bool:
    """Whether all of it is verified. From OVERLAP bytes before the end of the part. Raises PrefixMismatch, and what Session.get does."""
    end = stream.seek(0, os.SEEK_END)
    offset = max(0, end - OVERLAP)
    stream.seek(offset)
    known = stream.read(end - offset)
    stream.seek(offset)
    begun = False

    def write(data: bytes) -> None:
        nonlocal known
        if not known.startswith(data[: len(known)]):
            raise PrefixMismatch(file.name)
        known = known[len(data) :]
        stream.write(data)

    def progress(count: int, size: int) -> None:
        nonlocal begun
        if not begun:
            file.start(size, offset)
        begun = True
        file.step(count)

    session = await log_in_at(reactor, file.place, file.ca, file.password)
    try:
        file.size = await session.get(
            file.place.path,
            write,
            offset=offset,
            md5=not chosen("no_md5"),
            progress=progress,
            limiter=file.limiter(reactor),
        )
    except DigestMismatch:
        stream.truncate(0)
        raise
    except TimedOut as error:
        raise _hinted(error) from error
    finally:
        session.leave()
    if known:
        raise PrefixMismatch(file.name)
    if not begun:
        file.start(file.size, offset)
    return not offset and not chosen("no_md5")


_GETTERS: Final = {"fetch": _fetch, "jsonftp": _retrieve}


def ls(place: Place, asked: Any, *, as_json: bool) -> None:
    """The names at a jsonftp:// place, one a line."""
    refuse(place, *NEVER, *tls_only(place))
    place, password, ca = place.entered(asked)

    async def once(reactor: Any) -> list[str]:
        session = await log_in_at(reactor, place, ca, password)
        try:
            with about(place.path):
                names: list[str] = await session.ls(place.path)
                return names
        finally:
            session.leave()

    for name in work(place, once):
        result(json.dumps({"name": name}) if as_json else printable(name))
