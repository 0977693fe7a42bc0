"""What send, get, ls and rm have in common: the reactor, a key that is new, and exit codes."""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from twisted.internet.defer import Deferred

from twisted_xfer.cli import lean
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, say
from twisted_xfer.cli.words import error_text
from twisted_xfer.errors import (
    ChannelBindingFailed,
    ConfigError,
    ConnectionLost,
    DigestMismatch,
    LoginFailed,
    PrefixMismatch,
    SourceChanged,
    StorageFailure,
    TimedOut,
    XferError,
)
from twisted_xfer.protocols.xfer.caller import CannotConnect, Login, LoginImpossible, Target, UntrustedKey
from twisted_xfer.protocols.xfer.dialing import prepare
from twisted_xfer.protocols.xfer.errormap import PeerError, number_for
from twisted_xfer.protocols.xfer.report import Summary
from twisted_xfer.protocols.xfer.wire.paths import printable

if TYPE_CHECKING:
    from twisted_xfer.cli.asked import Asked

T = TypeVar("T")

_BY_HUNDRED = {
    1: Exit.OTHER,
    2: Exit.AUTHENTICATION,
    3: Exit.REFUSED,
    4: Exit.STORAGE,
    5: Exit.INTEGRITY,
    6: Exit.RESUMABLE,
}

#: Refused by policy and storage: it is about what the URL names.
_OF_A_PATH: Final = (3, 4)
#: Seconds that Ctrl-C may wait at a question.
_LOOK: Final = 0.2


def call(
    asked: Asked,
    target: Target,
    work: Callable[[Any, Login], Deferred[T]],
    on_end: Callable[[], object] = lambda: None,
    *,
    resumable: bool = True,
) -> T:
    """Run ``work(reactor, login)`` to its end; a new key is asked for and the call repeated.

    Ends the process with an exit code when it fails. ``on_end`` is called before connections are
    closed because the process ends. ``resumable``: whether the same command again goes on.
    """
    login = asked.login(target)
    with lean.twisted(tls=not login.plain):
        prepare(target, plain=login.plain)

    def begin(reactor: Any) -> Any:
        reactor.addSystemEventTrigger("before", "shutdown", on_end)
        return _trusting(reactor, asked, target, login, work)

    outcome = run(begin, resumable=resumable)
    if isinstance(outcome, BaseException):
        user = "" if login.token else asked.user or target.username
        fail(_sentence(outcome, target, asked.code, user), code_of(outcome))
    found: T = outcome
    return found


async def _trusting(
    reactor: Any, asked: Asked, target: Target, login: Login, work: Callable[[Any, Login], Deferred[T]]
) -> T:
    try:
        return await work(reactor, login)
    except UntrustedKey as error:
        if error.subject is None:
            raise
        from twisted_xfer.cli.trust import KnownKeys

        digest = str(error.subject)
        known = KnownKeys()
        if target.pin or known.get(target.place) is not None or not _accept(asked, target, digest):
            raise
        known.add(target.place, digest)
    return await work(reactor, login)


def _accept(asked: Asked, target: Target, digest: str) -> bool:
    """Whether a key that was never met is to be trusted."""
    if asked.accept_new:
        say(f"{target.place} is new; its key is sha256={digest}")
        return True
    if not sys.stdin.isatty():
        return False
    say(f"{target.place} was never met before. Its key is sha256={digest}")
    # While the reactor has the signal, Ctrl-C would wait for the answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _yes("Trust it from now on?")
    except KeyboardInterrupt:
        raise click.Abort from None
    finally:
        signal.signal(signal.SIGINT, before)


def _yes(question: str) -> bool:
    """Ask at the terminal; anything but yes is no."""
    click.echo(f"{question} [y/N]: ", nl=False, err=True)
    # Not a blocking read: Ctrl-C just before one would be seen only after the answer.
    while not select.select([sys.stdin], [], [], _LOOK)[0]:
        continue
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def run(begin: Callable[[Any], Any], *, resumable: bool = True) -> Any:
    """Turn the reactor until the coroutine is over: its value or its exception."""
    with lean.imports():
        from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    outcome: list[Any] = []
    stopping: list[bool] = []

    def over(result: Any) -> None:
        failed = hasattr(result, "getTraceback")
        if failed and stopping:
            # Whatever breaks because the process ends is no news.
            return
        outcome.append(result.value if failed else result)
        if reactor.running:
            reactor.stop()

    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin(reactor)).addBoth(over))
    reactor.run()
    if not outcome:
        again = "; the same command again goes on where it was" if resumable else ""
        fail(f"interrupted{again}", Exit.INTERRUPTED)
    return outcome[0]


def code_of(error: BaseException) -> Exit:
    """The exit code for what ended a command."""
    if isinstance(error, click.Abort):
        return Exit.INTERRUPTED
    if isinstance(error, CannotConnect):
        return Exit.NO_CONNECTION
    if isinstance(error, UntrustedKey | LoginImpossible | LoginFailed):
        return Exit.AUTHENTICATION
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, ConnectionLost | TimedOut):
        return Exit.RESUMABLE
    if isinstance(error, DigestMismatch | SourceChanged | PrefixMismatch):
        return Exit.INTEGRITY
    if isinstance(error, PeerError):
        return _BY_HUNDRED.get(error.number // 100, Exit.OTHER)
    if isinstance(error, XferError):
        return _BY_HUNDRED.get(number_for(error)[1] // 100, Exit.OTHER)
    return Exit.OTHER


def summary_code(summary: Summary) -> Exit:
    """The exit code for what was done: 3 when some entries failed and others did not."""
    if not summary.failed:
        return Exit.VERIFIED
    codes = {code_of(error) for _, error in summary.failures}
    others = summary.files or summary.links or summary.skipped or summary.would
    if len(codes) == 1 and not others:
        return codes.pop()
    return Exit.SOME_FAILED


def _sentence(error: BaseException, target: Target, code: str = "", user: str = "") -> str:
    if isinstance(error, CannotConnect):
        hint = "" if "TLS" not in error.detail else "; if it was started with --plain, this must be too"
        return f"cannot connect to {target.place}: {printable_detail(error)}{hint}"
    if isinstance(error, ConfigError):
        return f"--{error.key}: {error.remedy}"
    if isinstance(error, StorageFailure) and isinstance(error.subject, str):
        return f"{error.subject}: {error.detail}"
    if isinstance(error, UntrustedKey) and error.subject is None:
        return f"{target.place} is not trusted: {printable_detail(error)}"
    if isinstance(error, UntrustedKey):
        if target.pin:
            return (
                f"{target.place} has another key than the URL says: sha256={error.subject!s}. Either the pin behind # is "
                "wrong or old, or somebody is in between"
            )
        from twisted_xfer.cli.trust import KnownKeys

        expected = KnownKeys().get(target.place)
        if expected:
            return (
                f"{target.place} has another key than before: sha256={error.subject!s}, not sha256={expected}. "
                f"Somebody may be in between; if the key was changed on purpose, remove it from {KnownKeys().path}"
            )
        return (
            f"{target.place} is not known; its key is sha256={error.subject!s}. To a waiting `xfer receive` give --code "
            "as it shows it; else --accept-new trusts that key from now on, and #sha256=... behind the URL this once"
        )
    if isinstance(error, ChannelBindingFailed) or (
        isinstance(error, PeerError) and error.name == "channel_binding"
    ):
        return f"{target.place} sees another TLS session than we do: somebody is in between"
    if isinstance(error, LoginFailed) and error.detail:
        return f"{target.place} could not prove itself: {printable_detail(error)}"
    if isinstance(error, LoginImpossible):
        return f"{target.place} wants another login ({printable_detail(error)}): give a user, --token-file, --cert or --code"
    if isinstance(error, LoginFailed) or (isinstance(error, PeerError) and error.name == "login_failed"):
        if code:
            return "wrong code; one guess is all there is, so that `xfer receive` must be started again"
        return f"wrong {'user or password' if user else 'token or certificate'}"
    if isinstance(error, PeerError) and error.number // 100 in _OF_A_PATH:
        return f"{printable(target.path) or '/'}: {error_text(error)}"
    if isinstance(error, Exception) and not isinstance(error, click.Abort):
        return error_text(error)
    return "interrupted"


def printable_detail(error: XferError) -> str:
    """An error's detail, escaped."""
    return "".join(c if c.isprintable() else "?" for c in error.detail)
