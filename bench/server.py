"""One running server: started, watched and stopped by its own process ids."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import IO

from . import cpu
from .packages import PeerError
from .peers import Peer, Place

START_SECONDS = 20
STOP_SECONDS = 5
SETTLE_SECONDS = 4
# The tail of a transfer (closing files, the log line, the next poll) comes just after the reply that the client saw.
TAIL_SECONDS = 0.03


class Server:
    """A peer between `start` and `stop`."""

    def __init__(self, peer: Peer, place: Place) -> None:
        self.peer = peer
        self.place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._meter: cpu.Meter | None = None
        self._log: IO[bytes] | None = None
        self._quiet = 0

    def start(self) -> None:
        """Start and wait for a greeting.

        Raises:
            PeerError: it ended or stayed silent; the text holds the end of its output.

        """
        launch = self.peer.launch(self.place)
        meter = cpu.meter(self.peer.name)
        log = (self.place.state / "output").open("wb")
        self._meter, self._log = meter, log

        def enter() -> None:
            meter.enter()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))

        self._process = subprocess.Popen(
            launch.command,
            env={**os.environ, **launch.environment},
            cwd=self.place.state,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=enter,
            start_new_session=True,
        )
        meter.started(self._process.pid)
        self._await_greeting()
        self._quiet = len(self.pids())

    def _await_greeting(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.place.port), timeout=2) as probe,
            ):
                if probe.recv(4).startswith(b"220"):
                    probe.sendall(b"QUIT\r\n")
                    while probe.recv(512):
                        pass
                    time.sleep(0.3)
                    return
            time.sleep(0.1)
        output = (self.place.state / "output").read_text(errors="replace").strip()[-600:]
        self.stop()
        raise PeerError(f"did not start: {output or 'no output'}")

    def _counts(self) -> cpu.Meter:
        if self._meter is None:
            raise PeerError("is not running")
        return self._meter

    def seconds(self) -> float:
        """Return the CPU seconds that it and its children have used."""
        return self._counts().seconds()

    def pids(self) -> list[int]:
        """Return its processes."""
        return self._counts().pids()

    def pss_kib(self) -> int:
        """Return the memory of its processes, shared pages divided among those who share them."""
        return cpu.pss_kib(self.pids())

    def settle_tail(self) -> None:
        """Let the tail of the work end."""
        time.sleep(TAIL_SECONDS)

    def settle(self) -> None:
        """Wait, boundedly, for the processes of finished sessions to exit."""
        until = time.monotonic() + SETTLE_SECONDS
        while len(self.pids()) > self._quiet and time.monotonic() < until:
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and what is left of its children."""
        if self._process is not None and self._meter is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            for pid in (
                {*self._meter.pids(), self._process.pid}
                if self._process.poll() is None
                else self._meter.pids()
            ):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            self._meter.close()
        if self._log is not None:
            self._log.close()
        self._process = self._meter = self._log = None
