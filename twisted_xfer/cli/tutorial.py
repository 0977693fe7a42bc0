"""The schemes of the tutorial protocols: push://, fetch://, jsonftp:// and jim://, with ``s`` behind for TLS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import attrs
import click
from click.core import ParameterSource

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail
from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    ConnectionLost,
    DigestMismatch,
    LocalProtocolError,
    LoginFailed,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
    RightMissing,
    SourceChanged,
    TimedOut,
    Truncated,
    XferError,
)
from twisted_xfer.values import Value

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: Ports of the articles.
PORTS: Final = {"push": 5001, "fetch": 8888, "jsonftp": 9999, "jim": 7777}
#: Seconds before the first repetition; each later one waits twice as long, up to LONGEST.
FIRST_WAIT: Final = 1.0
LONGEST: Final = 30.0
#: Under which name the two options below are kept for the command that has them.
_META: Final = "twisted_xfer.tutorial"
_CODES: Final[tuple[tuple[type[XferError], Exit], ...]] = (
    (LoginFailed, Exit.AUTHENTICATION),
    (NotFound, Exit.STORAGE),
    (QuotaExceeded, Exit.REFUSED),
    (RightMissing, Exit.REFUSED),
    (AlreadyExists, Exit.REFUSED),
    (Busy, Exit.REFUSED),
    (LocalProtocolError, Exit.USAGE),
    (DigestMismatch, Exit.INTEGRITY),
    (SourceChanged, Exit.INTEGRITY),
    (Truncated, Exit.RESUMABLE),
    (TimedOut, Exit.NO_CONNECTION),
    (ConnectionLost, Exit.NO_CONNECTION),
)
#: Sentences for the errors that people meet; the others say their code and detail.
_SENTENCES: Final[tuple[tuple[type[XferError], str], ...]] = (
    (LoginFailed, "wrong user or password"),
    (NotFound, "no such file or directory"),
    (QuotaExceeded, "refused: over quota"),
    (RightMissing, "refused: the account may not do that"),
    (AlreadyExists, "refused: the name is taken"),
    (DigestMismatch, "what arrived is not what was sent: the MD5 differs"),
    (SourceChanged, "the file changed while it was sent"),
    (Truncated, "the connection ended in the middle of the file"),
    (RemoteProtocolError, "the other side does not keep the rules"),
    (Busy, "refused"),
    (LocalProtocolError, "cannot be sent"),
)


#: Of these a detail that begins with a code is the other side's own words for the same.
_PLAIN: Final = (LoginFailed, NotFound, QuotaExceeded, RightMissing)


def options(command: F) -> F:
    """Options that only the scripts' servers need; ``chosen`` tells what they are."""

    def keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        context.meta.setdefault(_META, {})[parameter.name] = value

    for name, text in (
        ("--framed", "jsonftp: the length of each object goes before it."),
        ("--no-md5", "fetch, jsonftp: the server knows no MD5."),
    ):
        command = click.option(name, is_flag=True, expose_value=False, callback=keep, help=text)(command)
    return command


def chosen(name: str) -> bool:
    """Whether one of those options was given to the command that runs."""
    found: bool = click.get_current_context().meta.get(_META, {}).get(name, False)
    return found


def refuse(place: Place, *names: str) -> None:
    """End with an explanation when an option was given that means nothing to such a place."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name in names and given:
            raise click.UsageError(f"{parameter.opts[0]} means nothing to {place.scheme}://")


@attrs.frozen(eq=False, repr=False)
class Place(Value):
    """Where a URL of one of our schemes leads."""

    protocol: str
    host: str
    port: int
    path: str
    username: str
    tls: bool

    @property
    def scheme(self) -> str:
        """As in the URL."""
        return f"{self.protocol}s" if self.tls else self.protocol

    def __str__(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

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
        return place, asked.password_of(username, str(self)), ca


def parse(url: str, *protocols: str) -> Place | None:
    """The place, or None when ``url`` is of another scheme.

    Raises:
        click.UsageError: one of ours that is no place, or not for this command.
    """
    scheme, mark, _ = url.partition("://")
    scheme = scheme.lower()
    protocol = scheme if scheme in PORTS else scheme.removesuffix("s")
    if not mark or protocol not in PORTS:
        return None
    if protocol not in protocols:
        name = click.get_current_context().info_name
        raise click.UsageError(f"{protocol}:// cannot do that; `xfer {name}` takes {', '.join(protocols)}")
    try:
        split = urlsplit(url)
        port = split.port if split.port is not None else PORTS[protocol]
    except ValueError as error:
        raise click.UsageError(f"{url}: {error}") from error
    if not split.hostname or split.password is not None or split.query or split.fragment:
        raise click.UsageError(f"{url}: write {scheme}://[USER@]HOST[:PORT][/NAME], without a password")
    path = unquote(split.path, errors="surrogateescape").removeprefix("/")
    return Place(protocol, split.hostname, port, path, unquote(split.username or ""), scheme != protocol)


def printable(text: str) -> str:
    """``text`` with nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def sentence(error: XferError, place: Place) -> str:
    """What went wrong, for people."""
    from twisted.internet.error import ConnectError, DNSLookupError

    from twisted_xfer.protocols.xfer.errormap import no_connection

    if isinstance(error, ConnectionLost | TimedOut):
        # What Twisted raises where there is no connection yet, it says in more words.
        cause = error.__cause__
        detail = no_connection(cause) if isinstance(cause, ConnectError | DNSLookupError) else error.detail
        return printable(f"{place}: {detail or error.code}")
    subject = error.subject.decode("utf-8", "replace") if isinstance(error.subject, bytes) else error.subject
    words = next((words for kind, words in _SENTENCES if type(error) is kind), error.code)
    same = type(error) in _PLAIN and error.detail[:1].isdigit()
    detail = f" ({error.detail})" if error.detail and not same else ""
    return printable(f"{subject or place}: {words}{detail}")


def code_of(error: XferError, *, moved: bool = False) -> Exit:
    """The exit code for an error; ``moved``: whether bytes did before it."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Exit.OTHER)
    return Exit.RESUMABLE if moved and code is Exit.NO_CONNECTION else code


async def attempts(
    reactor: Any,
    begin: Callable[[], Awaitable[T]],
    retries: int,
    moved: Callable[[], int],
    reached: Callable[[], int],
    again: Callable[[XferError, float], object],
) -> T:
    """What ``begin()`` answers, begun again when there was no connection or it broke.

    ``retries`` counts those in a row after which ``reached()`` is no further than ever before: bytes that
    ``moved()`` may be the same ones each time. ``again`` is told of each. A server that is there and says
    nothing is not asked again: scripts do that for files that they do not have.
    """
    from twisted.internet.task import deferLater

    wait, left, furthest = FIRST_WAIT, retries, reached()
    while True:
        before = moved()
        try:
            return await begin()
        except (ConnectionLost, TimedOut, Truncated) as error:
            if reached() > furthest:
                wait, left, furthest = FIRST_WAIT, retries, reached()
            elif moved() == before and isinstance(error, TimedOut) and error.detail != "no connection":
                raise
            if not left:
                raise
            again(error, wait)
        left -= 1
        await deferLater(reactor, wait)
        wait = min(wait * 2, LONGEST)


def work(place: Place, begin: Callable[[Any], Awaitable[Any]]) -> Any:
    """Run ``begin(reactor)`` to its end, once in a process: what it answered. Ends with an exit code if it fails."""
    from twisted_xfer.cli.calling import run

    outcome = run(begin)
    if isinstance(outcome, XferError):
        fail(sentence(outcome, place), code_of(outcome))
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
