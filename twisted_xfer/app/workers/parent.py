"""The parent of worker processes: it holds the sockets, starts the children and ends with them.

A child is told its configuration over its standard input, which stays open: when the parent is
gone, however that came, the child reads the end of it and stops. A child that dies is
replaced, except one of the first that never served; when none is left, the daemon ends too, as
failed, for a service manager to see. A process that cannot even be made counts as one that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.app.config import Config
from twisted_xfer.app.dump import thaw
from twisted_xfer.app.explain import explain
from twisted_xfer.app.listen import Place
from twisted_xfer.errors import ConfigError

#: Where a child finds its sockets; before it are the standard three and the one to say READY on.
FIRST_SOCKET: Final = 4
STATUS: Final = 3
READY: Final = b"ready\n"
#: Seconds that a child has beyond its own grace period before it is killed.
KILL_AFTER: Final = 5.0
#: Seconds until a dead child is replaced; doubled up to SLOWEST as long as its successors live no
#: longer than that, so that one that dies at every start costs little.
REPLACE_AFTER: Final = 1.0
SLOWEST: Final = 60.0
#: What can be adopted; anything else (TLS, systemd, plugins of others) wraps more than a socket.
_SHAREABLE: Final = ("tcp", "tcp6", "udp")


def check_shareable(config: Config) -> None:
    """Refuse places that only one process can serve.

    Raises:
        ConfigError: one of them is not plain TCP or UDP.
    """
    for listen in config.listen:
        if listen.endpoint.partition(":")[0] not in _SHAREABLE:
            remedy = f"{listen} cannot be shared by processes: use 1, or tcp:, tcp6: and udp: places only"
            raise ConfigError("workers", value=config.workers, remedy=remedy)


class _Child(ProcessProtocol):
    """One worker: ``ready`` fires when it serves (or has died), ``ended`` when it is gone."""

    def __init__(self, number: int, told: bytes, log: Logger, born: float) -> None:
        self.number = number
        self.born = born
        self.served = False
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.failed = False
        self.stopping = False
        self._told = told
        self._log = log

    def connectionMade(self) -> None:
        """Hand the configuration over; the pipe stays open."""
        if self.transport is not None:
            self.transport.writeToChild(0, self._told)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """READY is all that a child says here."""
        if childFD == STATUS and not self.ready.called:
            self.served = True
            self.ready.callback(None)

    def processEnded(self, reason: Failure) -> None:
        """It is gone; that is an error unless it was asked for."""
        if not self.stopping:
            self.failed = True
            status = "" if isinstance(reason.value, ProcessDone) else f": {reason.value}"
            self._log.error("xfer: worker {number} has ended{status}", number=self.number, status=status)
        self._gone()

    def not_made(self, error: OSError) -> None:
        """There is no process: its executable is gone, or the system has no room for one."""
        self.failed = not self.stopping
        self._log.error(
            "xfer: worker {number} cannot be started: {reason}", number=self.number, reason=explain(error)
        )
        self._gone()

    def _gone(self) -> None:
        # First whether any is left, so that nobody says that it serves when none is.
        self.ended.callback(None)
        if not self.ready.called:
            self.ready.callback(None)

    def signal(self, which: str | int) -> None:
        """Send a signal, if it is still there: HUP, TERM or KILL by these names, another by its number."""
        if self.transport is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess(which)


class WorkerGroup:
    """All workers of a daemon.

    Args:
        reactor: spawns processes and counts time.
        config: what each child builds.
        places: bound by the time start() is called.
        log_file: where children log when the configuration names no file; empty: standard output.
        on_last: called when the last child has died by itself.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        places: Sequence[Place],
        *,
        on_last: Callable[[], object],
        log: Logger,
        log_file: str = "",
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._places = places
        self._on_last = on_last
        self._log = log
        self.log_file = log_file
        self.children: list[_Child] = []
        self._told = b""
        self._fds: dict[int, Any] = {}
        #: By number: the delay before the next child of that number, and the call that makes it.
        self._delays: dict[int, float] = {}
        self._replacing: dict[int, IDelayedCall] = {}

    def start(self) -> Deferred[Any]:
        """Spawn the children once the reactor runs; fires when each serves or has failed."""
        started: Deferred[Any] = Deferred()
        self._reactor.callWhenRunning(self._spawn_all, started)
        return started

    def _spawn_all(self, started: Deferred[Any]) -> None:
        config = self._config
        if self.log_file and not config.log.file:
            config = attrs.evolve(config, log=attrs.evolve(config.log, file=self.log_file))
        sockets = [place.share() for place in self._places]
        self._told = json.dumps(thaw(config)).encode() + b"\n"
        self._fds = {0: "w", 1: 1, 2: 2, STATUS: "r"}
        self._fds.update({FIRST_SOCKET + index: number for index, number in enumerate(sockets)})
        self.children = [self._spawn(number) for number in range(1, config.workers + 1)]
        DeferredList([child.ready for child in self.children]).chainDeferred(started)

    def _spawn(self, number: int) -> _Child:
        child = _Child(number, self._told, self._log, self._reactor.seconds())
        sockets = len(self._fds) - FIRST_SOCKET
        arguments = [sys.executable, "-m", "twisted_xfer.app.workers.child", str(number), str(sockets)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        child.ended.addCallback(lambda _: self._one_less(child))
        try:
            self._reactor.spawnProcess(child, sys.executable, arguments, env=environment, childFDs=self._fds)
        except OSError as error:
            # As late as the end of a process is heard of: when all children are known.
            self._reactor.callLater(0, child.not_made, error)
        return child

    def _one_less(self, child: _Child) -> None:
        if all(other.failed for other in self.children):
            self._log.critical("xfer: no worker is left")
            self._forget_replacements()
            self._on_last()
        elif child.failed and (child.served or child.number in self._delays):
            number, lived = child.number, self._reactor.seconds() - child.born
            delay = REPLACE_AFTER if lived > SLOWEST else self._delays.get(number, REPLACE_AFTER)
            self._delays[number] = min(delay * 2, SLOWEST)
            self._replacing[number] = self._reactor.callLater(delay, self._replace, number)

    def _replace(self, number: int) -> None:
        del self._replacing[number]
        self._log.info("xfer: worker {number} is started anew", number=number)
        self.children[number - 1] = self._spawn(number)

    def _forget_replacements(self) -> None:
        for call in self._replacing.values():
            call.cancel()
        self._replacing.clear()

    def reload(self) -> None:
        """SIGHUP to each."""
        for child in self.children:
            if not child.ended.called:
                child.signal("HUP")

    def hurry(self) -> None:
        """No grace any more. SIGUSR1, since service managers send SIGTERM to all processes by themselves."""
        for child in self.children:
            if not child.ended.called:
                child.signal(signal.SIGUSR1)

    def stop(self) -> Deferred[Any]:
        """SIGTERM to each; fires when all are gone, killed if they must be."""
        self._forget_replacements()
        waiting = [child for child in self.children if not child.ended.called]
        if not waiting:
            return succeed(None)
        for child in waiting:
            child.stopping = True
            child.signal("TERM")
        gone = DeferredList([child.ended for child in waiting])
        late = self._reactor.callLater(self._config.grace + KILL_AFTER, self._kill, waiting)
        return gone.addCallback(lambda _: late.cancel() if late.active() else None)

    def _kill(self, children: list[_Child]) -> None:
        for child in children:
            if not child.ended.called:
                self._log.error("xfer: worker {number} is killed", number=child.number)
                child.signal("KILL")
