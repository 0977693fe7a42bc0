"""A worker process: ``python -m twisted_xfer.app.workers.child NUMBER SOCKETS``, started by the parent only."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final

from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from twisted_xfer.app import load, logs
from twisted_xfer.app.build import build
from twisted_xfer.app.explain import explain
from twisted_xfer.app.reactor import chosen_reactor
from twisted_xfer.app.workers.parent import FIRST_SOCKET, READY, STATUS
from twisted_xfer.errors import XferError

#: The parent's configuration as JSON; twice what a file may hold, for its escapes.
MAX_TOLD: Final = 2 * load.MAX_FILE


def read_told(fd: int) -> dict[str, Any]:
    """The line of JSON that the parent wrote; what comes after it is left in the pipe.

    Raises:
        ValueError: it is not complete, or too long.
    """
    told = bytearray()
    while not told.endswith(b"\n"):
        piece = os.read(fd, 65536)
        told += piece
        if not piece or len(told) > MAX_TOLD:
            raise ValueError("no configuration from the parent")
    table = json.loads(told)
    if not isinstance(table, dict):
        raise ValueError("no configuration from the parent")  # noqa: TRY004 - a wrong value, for the one handler
    return table


class _Lifeline(Protocol):
    """Standard input: its end is the end of the parent."""

    def __init__(self, stop: Any) -> None:
        self._stop = stop

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The parent is gone."""
        self._stop()


def main() -> int:
    """Serve until told to stop; the exit code of the process."""
    reactor = chosen_reactor()
    number, sockets = int(sys.argv[1]), int(sys.argv[2])
    try:
        config = load.parse(read_told(0))
        daemon = build(config, reactor, adopt=range(FIRST_SOCKET, FIRST_SOCKET + sockets))
        globalLogBeginner.beginLoggingTo(
            [logs.LineObserver(config.log, sys.stdout)], redirectStandardIO=False
        )
        daemon.privilegedStartService()
        daemon.startService()
    except (XferError, ValueError) as error:
        sys.stderr.write(f"xfer: worker {number}: {explain(error)}\n")
        return 1
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    StandardIO(_Lifeline(daemon.end), reactor=reactor)  # type: ignore[no-untyped-call]
    reactor.callWhenRunning(_say_ready)
    reactor.run()
    return 0


def _say_ready() -> None:
    os.write(STATUS, READY)
    os.close(STATUS)


if __name__ == "__main__":
    sys.exit(main())
