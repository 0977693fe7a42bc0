"""A real daemon in a process of its own: for integration tests, interop tests and benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import twisted_xfer

#: A start takes half a second on an idle machine; a loaded one gets this much.
START_SECONDS: Final = 30.0
#: Ten seconds of grace are the daemon's own default.
STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_LISTENING: Final = re.compile(r"xfer: (\S+) listening on (\[[^\]]+\]|[^\s:]+):(\d+)( \(udp\))?")
_READY: Final = "xfer: serving"
_TWISTD: Final = "from twisted.scripts.twistd import run; run()"


class Address(NamedTuple):
    """Where a daemon listens."""

    host: str
    port: int
    datagram: bool = False


class DaemonFailed(Exception):
    """The daemon did not start, or did not stop; the message holds what it wrote."""


class Daemon:
    """``twistd -n xfer ARGS`` in a process of its own, stopped by its process id.

    Use it as a context manager, or call start() and stop(). ``--listen PROTOCOL=tcp:0:interface=127.0.0.1``
    chooses a free port, to be asked for with address().

    Args:
        args: what stands behind ``twistd xfer``.
        directory: working directory, for the pid file; a temporary one unless given.
        env: variables on top of this process's own.
        twistd_args: what stands before ``xfer``, beside ``-n``.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        directory: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        twistd_args: Sequence[str] = (),
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="xfer-daemon-") if directory is None else None
        self.directory = Path(directory if self._temporary is None else self._temporary.name)  # type: ignore[arg-type]
        self.pidfile = self.directory / "twistd.pid"
        self.args = [*twistd_args, "-n", f"--pidfile={self.pidfile}", "xfer", *args]
        self._env = dict(env or {})
        self._log = self.directory / "daemon-output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._last_output = ""

    def __enter__(self) -> Self:
        """Start."""
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, by force if need be, and clean up."""
        try:
            if self.running:
                self.stop()
        finally:
            self.close()

    def start(self, timeout: float = START_SECONDS) -> Self:
        """Start and wait until it serves.

        Raises:
            DaemonFailed: it ended instead, or ``timeout`` seconds have passed.
        """
        self.spawn()
        deadline = time.monotonic() + timeout
        while _READY not in self.output:
            if not self.running:
                raise DaemonFailed(f"ended with {self.wait(0)}:\n{self.output}")
            if time.monotonic() > deadline:
                self.kill()
                raise DaemonFailed(f"not serving after {timeout} s:\n{self.output}")
            time.sleep(_POLL_SECONDS)
        return self

    def spawn(self) -> None:
        """Start and do not wait: for daemons that are to fail."""
        # The package that runs this also runs there, installed or not.
        above = str(Path(twisted_xfer.__file__).resolve().parent.parent)
        path = os.pathsep.join(part for part in (above, os.environ.get("PYTHONPATH", "")) if part)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TWISTD, *self.args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": path, **self._env},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The daemon's process id.

        Raises:
            DaemonFailed: it was never started.
        """
        if self._process is None:
            raise DaemonFailed("never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """Everything that it wrote until now, to standard output and standard error."""
        if self._log.exists():
            self._last_output = self._log.read_text("utf-8", "replace")
        return self._last_output

    def addresses(self, label: str) -> list[Address]:
        """Where ``label`` (``PROTOCOL`` or ``PROTOCOL@ACCOUNT``) listens, in the order of the configuration."""
        return [
            Address(match[2].strip("[]"), int(match[3]), match[4] is not None)
            for match in _LISTENING.finditer(self.output)
            if match[1] == label
        ]

    def address(self, label: str, *, datagram: bool = False) -> tuple[str, int]:
        """Host and port of the first place where ``label`` listens.

        Raises:
            DaemonFailed: it listens nowhere.
        """
        for address in self.addresses(label):
            if address.datagram is datagram:
                return address.host, address.port
        raise DaemonFailed(f"{label} listens nowhere:\n{self.output}")

    def signal(self, number: int) -> None:
        """Send a signal to the daemon."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Its exit code, once it has ended by itself.

        Raises:
            DaemonFailed: it has not after ``timeout`` seconds; it is killed then.
        """
        if self._process is None:
            raise DaemonFailed("never started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonFailed(f"still there after {timeout} s:\n{self.output}") from None

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM, then wait for the end: its exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """SIGKILL: the end without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Kill it if it runs, and remove the temporary directory."""
        if self.running:
            self.kill()
        _ = self.output  # kept for whoever asks later
        if self._temporary is not None:
            self._temporary.cleanup()
