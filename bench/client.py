"""The client: a C program, because a client dearer than the server would measure itself.  Built when it is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .isolate import PASSWORD, USER
from .packages import PeerError, Unpacked
from .server import Server

SOURCES = Path(__file__).with_name("client")
BINARY = Path(".cache/bench-client")
OPENSSL_HEADER = Path("/usr/include/openssl/ssl.h")
GRACE_SECONDS = 5


class RowError(Exception):
    """A measurement did not come to its end, or not to the right one."""


def build() -> Path:
    """Compile the client unless the binary is newer than its sources.

    Raises:
        RowError: no compiler, or the compiler's complaint.

    """
    sources = sorted(SOURCES.glob("*.c"))
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if BINARY.exists() and BINARY.stat().st_mtime > newest:
        return BINARY.resolve()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RowError(
            "the benchmark's client is written in C: install gcc (Debian: apt-get install gcc libc6-dev)"
        )
    BINARY.parent.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-pthread", "-o", str(BINARY)]
    command += [*map(str, sources), *_openssl()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RowError(f"the client does not compile: {done.stderr.strip()[-600:]}")
    return BINARY.resolve()


def _openssl() -> list[str]:
    """Return what the compiler needs for TLS: the system's OpenSSL, or Debian's package, unpacked."""
    if OPENSSL_HEADER.exists():
        return ["-lssl", "-lcrypto"]
    package = Unpacked("openssl")
    try:
        package.obtain()
    except PeerError as problem:
        raise RowError(f"the client needs OpenSSL's headers (Debian: libssl-dev): {problem}") from None
    folders = [package.path("usr/include"), package.path(f"usr/include/{package.triplet}")]
    # Its archives: the shared libraries are another package's.
    archives = [package.path(f"usr/lib/{package.triplet}/{name}") for name in ("libssl.a", "libcrypto.a")]
    return [*(f"-I{folder}" for folder in folders), *map(str, archives), "-ldl"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the client: what it says, and the server's CPU meanwhile."""

    answer: dict[str, Any]
    server_cpu: float

    @property
    def done(self) -> int:
        """How many things were done."""
        return int(self.answer["done"])

    @property
    def seconds(self) -> float:
        """Wall time of the work."""
        return float(self.answer["seconds"])


class Client:
    """Runs the C program against one server."""

    def __init__(self, binary: Path, server: Server, deadline: int) -> None:
        self._binary = binary
        self._server = server
        self._deadline = deadline

    def run(
        self, mode: str, *arguments: object, at_ready: Callable[[], None] = lambda: None, hold: bool = True
    ) -> Sample:
        """Measure `mode`; the CPU counts from the client's `ready` to its result and the server's rest after it.

        Args:
            mode: the client's mode, with its arguments behind it.
            at_ready: called when the sessions are open and nothing moves.
            hold: read the CPU while the sessions are still open; else after they ended, their ends included.

        Raises:
            RowError: the client reported an error, or its deadline passed.

        """
        if self._server.place.certificate is not None:
            mode = f"tls-{mode}"
        command = [str(self._binary), str(self._server.place.port), USER, PASSWORD, str(self._deadline), mode]
        with subprocess.Popen(
            [*command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            if process.stdin is None or process.stdout is None:
                raise RowError("no pipes to the client")
            try:
                self._answer(process.stdout.readline())
                at_ready()
                before = self._server.seconds()
                process.stdin.write("\n")
                process.stdin.flush()
                answer = self._answer(process.stdout.readline())
                self._server.settle_tail()
                used = self._server.seconds() - before
                process.stdin.close()
                process.wait(GRACE_SECONDS)
                if not hold:
                    self._server.settle()
                    used = self._server.seconds() - before
            finally:
                process.kill()
        return Sample(answer, used)

    @staticmethod
    def _answer(line: str) -> dict[str, Any]:
        if not line:
            raise RowError("the client ended without a word")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RowError(str(answer["error"]))
        return answer
