"""Running a program for an event: JSON in, an exit code out, within bounds."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from twisted_xfer.errors import ConfigError, TimedOut

#: Bytes kept of what a program writes; the rest is read and thrown away.
MAX_OUTPUT: Final = 4096
#: Processes that a program started and that are killed with it: more than any sane one has.
MAX_DESCENDANTS: Final = 1000
#: Characters of one list of children in /proc: for so many of them.
_MAX_READ: Final = 8 * MAX_DESCENDANTS
#: Where a program finds the file that an event is about, when there is one.
FILE_DESCRIPTOR: Final = 3
#: The search path of programs; nothing of the daemon's own environment but what is named here.
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON: Final = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


class Outcome(NamedTuple):
    """How a program ended: its exit code, or minus the signal that ended it, and what it wrote first."""

    code: int
    output: bytes


def check_program(argv: Sequence[str], key: str) -> None:
    """Refuse a program that cannot be run.

    Raises:
        ConfigError: no absolute path, or nothing there that can be run.
    """
    if not argv or not os.path.isabs(argv[0]):
        raise ConfigError(key, value=list(argv), remedy='give a list with an absolute path: ["/usr/bin/x"]')
    if any("\0" in word for word in argv):
        raise ConfigError(key, remedy="leave NUL out")
    if not (os.path.isfile(argv[0]) and os.access(argv[0], os.X_OK)):
        raise ConfigError(key, value=argv[0], remedy="name a program that can be run")


def environment(own: Mapping[str, str], mine: Mapping[str, str]) -> dict[str, str]:
    """The variables of a program: a search path, language and time zone of ``mine``, and ``own`` ones."""
    passed = {name: mine[name] for name in _PASSED_ON if name in mine}
    return {"PATH": _PATH, **passed, **own}


def run_program(
    reactor: Any,
    argv: Sequence[str],
    variables: Mapping[str, str],
    given: bytes,
    *,
    timeout: float,
    descriptor: int | None = None,
) -> Deferred[Outcome]:
    """Run ``argv`` with ``given`` on its standard input; fires when it has ended.

    ``descriptor``, of a file open in this process, is opened anew for reading, and is there for the
    program as descriptor 3. Cancelling kills the program.

    Fails with TimedOut after ``timeout`` seconds, the program then being killed, and with OSError when
    no process can be had.
    """
    run = _Run(given)
    opened: list[int] = []
    try:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        opened.append(null)
        fds: dict[int, Any] = {0: "w", 1: "r", 2: null}
        if descriptor is not None:
            # Of this process's own table: no name is looked up, so nobody can put another in its place.
            opened.append(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC))
            fds[FILE_DESCRIPTOR] = opened[-1]
        reactor.spawnProcess(run, argv[0], list(argv), env=dict(variables), path="/", childFDs=fds)
    except OSError:
        run.ended.errback(Failure())  # type: ignore[no-untyped-call]
        return run.ended
    finally:
        for number in opened:
            os.close(number)
    run.late = reactor.callLater(timeout, run.expire)
    return run.ended


def descendants(pid: int | None) -> list[int]:
    """The processes that ``pid`` started, and those that they did; none on systems without Linux's /proc."""
    found: list[int] = []
    waiting = [] if pid is None else [pid]
    while waiting and len(found) < MAX_DESCENDANTS:
        children = _children(waiting.pop())[: MAX_DESCENDANTS - len(found)]
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    try:
        texts = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                texts.append(file.read(_MAX_READ))
    except OSError:
        return []
    return [int(word) for text in texts for word in text.split()]


def _kill(processes: Sequence[int]) -> None:
    for pid in processes:
        # Gone by itself, or another user's by its own doing.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


class _Run(ProcessProtocol):
    """One process."""

    def __init__(self, given: bytes) -> None:
        self.ended: Deferred[Outcome] = Deferred(lambda _ended: self.kill())
        self.late: Any = None
        self._given = given
        self._output = b""
        self._expired = False

    def connectionMade(self) -> None:
        """Hand over what it is about."""
        transport: Any = self.transport
        transport.write(self._given)
        transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Keep the beginning."""
        self._output += data[: MAX_OUTPUT - len(self._output)]

    def expire(self) -> None:
        """It took too long."""
        self._expired = True
        self.kill()

    def kill(self) -> None:
        """End it, and what it started: a shell that is killed would leave what it waits for."""
        transport: Any = self.transport
        if transport is not None:
            started = descendants(getattr(transport, "pid", None))
            with contextlib.suppress(ProcessExitedAlready):
                transport.signalProcess("KILL")
            _kill(started)

    def processExited(self, reason: Failure) -> None:
        """It has ended; others that it left behind may hold its pipes, and are not waited for."""
        transport: Any = self.transport
        transport.loseConnection()
        if self.late is not None and self.late.active():
            self.late.cancel()
        if self.ended.called:
            return
        if self._expired:
            self.ended.errback(TimedOut(detail="the program took too long"))
            return
        status: Any = reason.value
        code = status.exitCode if status.exitCode is not None else -int(status.signal or 0)
        self.ended.callback(Outcome(code, self._output))
