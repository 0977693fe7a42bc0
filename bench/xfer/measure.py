"""One sample: both ends started, the CPU of both process trees, and a look at what arrived."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from bench import cpu
from bench.client import RowError
from bench.packages import PeerError
from bench.peers import Launch

from .movers import Mover, Place

START_SECONDS = 30
#: Beyond the slowest mover's time for the largest row.
SAMPLE_SECONDS = 240
STOP_SECONDS = 5
#: What the receiver does behind its last answer.
TAIL_SECONDS = 0.05


def _environment() -> dict[str, str]:
    """What is inherited: not that byte code is to be made anew each time, which nobody's own commands do."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Process:
    """A process with all its children, and what they cost."""

    def __init__(self, launch: Launch, name: str, state: Path) -> None:
        self.log = state / f"{name}.output"
        self.meter = meter = cpu.meter(f"{state.name}-{name}")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                launch.command,
                env={**_environment(), **launch.environment},
                cwd=state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=meter.enter,
                start_new_session=True,
            )
        meter.started(self.process.pid)

    def output(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text(errors="replace").strip()[-400:]

    def wait(self, until: float) -> None:
        """Wait for a good end.  Raises RowError."""
        try:
            code = self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise RowError(f"took too long: {self.output()}") from None
        if code:
            raise RowError(f"ended with {code}: {self.output()}")

    def stop(self) -> None:
        """End it, by its own ids, and remove its meter."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        for pid in self.meter.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.meter.close()


def _listens(port: int) -> bool:
    """Whether somebody listens there, found without connecting: `nc` takes only one caller."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted) and fields[3] == "0A":
            return True
    return False


class Contest:
    """One mover through all rounds of a row."""

    def __init__(self, mover: Mover, place: Place, what: str) -> None:
        self.mover, self.place, self.what = mover, place, what
        self._daemons: list[Process] = []

    def start(self) -> None:
        """Start what runs through all rounds.  Raises PeerError."""
        launches = self.mover.daemons(self.place) if self.mover.daemons is not None else []
        self._daemons = [
            Process(launch, f"daemon{number}", self.place.state) for number, launch in enumerate(launches)
        ]
        if self._daemons:
            self._await(self._daemons[-1])

    def _await(self, process: Process) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and process.process.poll() is None:
            if all(_listens(self.place.port + extra) for extra in self.mover.listening):
                return
            time.sleep(0.02)
        raise PeerError(f"does not listen: {process.output()}")

    def stop(self) -> None:
        """End everything."""
        while self._daemons:
            self._daemons.pop().stop()

    def sample(self, files: int, size: int) -> dict[str, float]:
        """Move once.  Raises RowError when it fails or something else arrived."""
        store = self.place.store
        receiver = self._daemons[-1] if self._daemons else None
        own = None
        sender = None
        try:
            if self.mover.receive is not None:
                receiver = own = Process(
                    self.mover.receive(self.place, self.what), "receive", self.place.state
                )
                if not self._daemons:
                    self._await(own)
            if receiver is None:
                raise RowError("nobody receives")
            # A receiver of this sample alone counts from its start, as the sender does.
            before = 0.0 if own is not None else receiver.meter.seconds()
            began = time.monotonic()
            until = began + SAMPLE_SECONDS
            sender = Process(self.mover.send(self.place, self.what), "send", self.place.state)
            sender.wait(until)
            if own is not None:
                own.wait(until)
            wall = time.monotonic() - began
            time.sleep(TAIL_SECONDS)
            sent, received = sender.meter.seconds(), receiver.meter.seconds() - before
        finally:
            for process in (sender, own):
                if process is not None:
                    process.stop()
        check(store, self.place.source, self.what, files, size)
        return {"CPU s": sent + received, "wall s": wall, "sender CPU s": sent, "receiver CPU s": received}


def check(store: Path, source: Path, what: str, files: int, size: int) -> None:
    """Look whether exactly what was sent is in `store`, byte for byte, and empty it.  Raises RowError."""
    try:
        wrong = subprocess.run(
            ["diff", "-rq", str(source / what), str(store / what)],
            capture_output=True, text=True, timeout=SAMPLE_SECONDS, check=False,
        )  # fmt: skip
        if wrong.returncode:
            raise RowError(f"something else arrived: {(wrong.stdout + wrong.stderr)[:200]}")
        found = [path for path in store.rglob("*") if path.is_file()]
        total = sum(path.stat().st_size for path in found)
        if (len(found), total) != (files, size):
            raise RowError(f"{len(found)} files of {total} bytes instead of {files} of {size}")
    finally:
        empty(store)


def empty(store: Path) -> None:
    """Remove everything in `store`; a tidy daemon's own lock files too."""
    for path in store.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def free_port_base(count: int) -> int:
    """Return a port with `count` free ones from it on, below the kernel's own range."""
    for base in range(23_000, 32_000, count):
        sockets = []
        try:
            for port in range(base, base + count):
                sock = socket.socket()
                sockets.append(sock)
                sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
        return base
    raise PeerError("no free ports")
