"""The schemes of the tutorial protocols: push://, fetch://, jsonftp:// and jim://, with ``s`` behind for TLS."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import attrs
import click
from twisted.internet.task import deferLater

from twisted_xfer.cli.calling import run
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say
from twisted_xfer.errors import (
    Busy,
    ConnectionLost,
    DigestMismatch,
    LocalProtocolError,
    LoginFailed,
    NotFound,
    QuotaExceeded,
    SourceChanged,
    TimedOut,
    Truncated,
    XferError,
)

#: Ports of the articles.
PORTS: Final = {"push": 5001, "fetch": 8888, "jsonftp": 9999, "jim": 7777}
#: Seconds before the first repetition; each later one waits twice as long, up to LONGEST.
FIRST_WAIT: Final = 0.5
LONGEST: Final = 30.0
_CODES: Final[tuple[tuple[type[XferError], Exit], ...]] = (
    (LoginFailed, Exit.AUTHENTICATION),
    (NotFound, Exit.STORAGE),
    (QuotaExceeded, Exit.REFUSED),
    (Busy, Exit.REFUSED),
    (LocalProtocolError, Exit.USAGE),
    (DigestMismatch, Exit.INTEGRITY),
    (SourceChanged, Exit.INTEGRITY),
    (Truncated, Exit.RESUMABLE),
    (TimedOut, Exit.NO_CONNECTION),
    (ConnectionLost, Exit.NO_CONNECTION),
)


@attrs.frozen
class Place:
    """Where a URL of one of our schemes leads."""

    protocol: str
    host: str
    port: int
    path: str
    username: str
    tls: bool

    def endpoint(self, reactor: Any, ca: str = "") -> Any:
        """How to connect: by name, over IPv4 or IPv6, in TLS with the system's authorities or ``ca``."""
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

        make: Any = HostnameEndpoint
        endpoint = make(reactor, self.host, self.port)
        if not self.tls:
            return endpoint
        from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

        trust: Any = trustRootFromCertificates
        root: Any = trust([Certificate.loadPEM(ca.encode())]) if ca else None
        return wrapClientTLS(optionsForClientTLS(self.host, trustRoot=root), endpoint)

    def entered(self, asked: Any) -> tuple[Place, str, str]:
        """The place with its user, the password if the protocol has one, and the authorities to trust."""
        ca = asked.ca.read() if asked.ca is not None else ""
        if self.protocol not in {"jsonftp", "jim"}:
            return self, "", ca
        username = asked.user or self.username
        if not username:
            raise click.UsageError(f"who? Write {self.protocol}://USER@{self.host} or give --user")
        place = attrs.evolve(self, username=username)
        return place, asked.password_of(username, f"{self.host}:{self.port}"), ca


def parse(url: str, *protocols: str) -> Place | None:
    """The place, or None when ``url`` is of another scheme.

    Raises:
        click.UsageError: one of ours that is no place.
    """
    scheme, mark, _ = url.partition("://")
    protocol = scheme if scheme in PORTS else scheme.removesuffix("s")
    if not mark or protocol not in protocols:
        return None
    try:
        split = urlsplit(url)
        port = split.port if split.port is not None else PORTS[protocol]
    except ValueError as error:
        raise click.UsageError(f"{url}: {error}") from error
    if not split.hostname or split.password is not None or split.query or split.fragment:
        raise click.UsageError(f"{url}: write {scheme}://[USER@]HOST[:PORT][/NAME], without a password")
    path = unquote(split.path, errors="surrogateescape").removeprefix("/")
    return Place(protocol, split.hostname, port, path, unquote(split.username or ""), scheme != protocol)


def finish(error: BaseException) -> Any:
    """Say what went wrong and end with the exit code for it."""
    if not isinstance(error, XferError):
        raise error
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Exit.OTHER)
    text = "".join(char if char.isprintable() else "?" for char in f"{error.code} {error.detail}".strip())
    fail(text, code)


def work(begin: Callable[[Any], Awaitable[Any]], retries: int = 0) -> Any:
    """Run ``begin(reactor)`` to its end, again when there was no connection; what it answered."""

    async def trying(reactor: Any) -> Any:
        wait = FIRST_WAIT
        for left in range(retries, -1, -1):
            try:
                return await begin(reactor)
            except (ConnectionLost, TimedOut) as error:
                if not left:
                    raise
                say(f"xfer: {error.code} {error.detail}; trying again in {wait:.1f} s")
            await deferLater(reactor, wait)
            wait = min(wait * 2, LONGEST)
        return None

    outcome = run(trying)
    return finish(outcome) if isinstance(outcome, BaseException) else outcome


def bar(name: str, size: int | None, *, as_json: bool) -> Any:
    """A tqdm bar on a terminal's standard error, or one that shows nothing."""
    from tqdm import tqdm

    hidden = as_json or not sys.stderr.isatty()
    return tqdm(
        total=size, unit="B", unit_scale=True, desc=name[-40:], disable=hidden, file=sys.stderr, leave=False
    )


def told(name: str, size: int, *, verified: bool, as_json: bool) -> None:
    """The result of one file."""
    if as_json:
        result(json.dumps({"event": "done", "path": name, "size": size, "verified": verified}))
    else:
        result(name)
        say("verified by MD5" if verified else "sent; this protocol does not verify")


def send(place: Place, paths: tuple[str, ...], asked: Any, *, retries: int, as_json: bool) -> None:
    """Send plain files; ends the process with an exit code when one fails."""
    place, password, ca = place.entered(asked)
    for path in paths:
        name = os.path.basename(path)
        try:
            stream = open(path, "rb")  # noqa: SIM115 - closed below, after the reactor's turn
        except OSError as error:
            fail(f"{path}: {error.strerror}", Exit.STORAGE)
        with stream, contextlib.closing(bar(name, None, as_json=as_json)) as shown:
            if not Path(path).is_file():
                fail(f"{path}: only plain files can be sent this way", Exit.STORAGE)
            size = os.fstat(stream.fileno()).st_size
            shown.total = size

            async def once(
                reactor: Any,
                stream: IO[bytes] = stream,
                size: int = size,
                shown: Any = shown,
                name: str = name,
            ) -> bool:
                stream.seek(0)
                shown.reset(size)
                return await _SENDERS[place.protocol](
                    reactor, place, ca, password, (name, size, stream.read, shown.update)
                )

            verified = work(once, retries)
        told(name, size, verified=verified, as_json=as_json)


async def _push(reactor: Any, place: Place, ca: str, _password: str, file: Any) -> bool:
    from twisted_xfer.protocols.push import send as push

    name, size, read, progress = file
    await push(place.endpoint(reactor, ca), os.fsencode(name), size, read, reactor, progress=progress)
    return False


async def _put(reactor: Any, place: Place, ca: str, password: str, file: Any) -> bool:
    from twisted_xfer.protocols.jsonftp import log_in

    name, size, read, progress = file
    session = await log_in(place.endpoint(reactor, ca), place.username, password, reactor)
    try:
        if place.path:
            await session.cd(place.path)
        verified = await session.put(name, size, read, progress=lambda count, _size: progress(count))
        await session.closed()
        return verified
    finally:
        session.leave()


_SENDERS: Final = {"push": _push, "jsonftp": _put}


def get(place: Place, destination: str, asked: Any, *, retries: int, as_json: bool) -> None:
    """Fetch one file into ``destination``, whole or not at all; ends with an exit code when that fails."""
    name = place.path.rpartition("/")[2]
    if not name or name in {".", ".."} or "\0" in name:
        raise click.UsageError("which file? Write its name behind the host")
    place, password, ca = place.entered(asked)
    target = Path(destination) / name
    part = target.with_name(f".{name[:200]}.{os.getpid()}.part")
    try:
        with part.open("xb") as stream, contextlib.closing(bar(name, None, as_json=as_json)) as shown:

            def progress(count: int, size: int) -> None:
                shown.total = size
                shown.update(count)

            async def once(reactor: Any) -> int:
                stream.seek(0)
                stream.truncate()
                shown.reset()
                return await _GETTERS[place.protocol](reactor, place, ca, password, (stream.write, progress))

            size = work(once, retries)
        part.replace(target)
    except OSError as error:
        fail(f"{target}: {error.strerror}", Exit.STORAGE)
    finally:
        part.unlink(missing_ok=True)
    told(str(target), size, verified=True, as_json=as_json)


async def _fetch(reactor: Any, place: Place, ca: str, _password: str, file: Any) -> int:
    from twisted_xfer.protocols.fetch import get as fetch

    write, progress = file
    name = os.fsencode(place.path)
    return await fetch(place.endpoint(reactor, ca), name, write, reactor, progress=progress)


async def _retrieve(reactor: Any, place: Place, ca: str, password: str, file: Any) -> int:
    from twisted_xfer.protocols.jsonftp import log_in

    write, progress = file
    session = await log_in(place.endpoint(reactor, ca), place.username, password, reactor)
    try:
        return await session.get(place.path, write, progress=progress)
    finally:
        session.leave()


_GETTERS: Final = {"fetch": _fetch, "jsonftp": _retrieve}


def ls(place: Place, asked: Any, *, as_json: bool) -> None:
    """The names at a jsonftp:// place, one a line."""
    from twisted_xfer.protocols.jsonftp import log_in

    place, password, ca = place.entered(asked)

    async def once(reactor: Any) -> list[str]:
        session = await log_in(place.endpoint(reactor, ca), place.username, password, reactor)
        try:
            return await session.ls(place.path)
        finally:
            session.leave()

    for name in work(once):
        shown = "".join(char if char.isprintable() else "?" for char in name)
        result(json.dumps({"name": name}) if as_json else shown)
