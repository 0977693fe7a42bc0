"""What the interop tests share: a site to talk to, files to move, and bounded runs of foreign programs."""

from __future__ import annotations

import ftplib
import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

PASSWORD: Final = "s3cret"
#: Every wait on a foreign program ends here; a hung transfer fails its test, not the run.
PATIENCE: Final = 90.0
#: A server that does not answer a hand-driven session for so long will not answer at all.
REPLY: Final = 30.0
BIG: Final = 64 << 20

#: One name for each way in which clients and servers are known to trip.
AWKWARD_NAMES: Final = (
    "two words.bin",
    " leading space.bin",
    "it's.bin",
    'say "hi".bin',
    "hash#tag.bin",
    "100%41.bin",
    "-dash.bin",
    "привет мир.bin",
    "中文文件.bin",
)
SIZES: Final = (0, 1, BIG)

#: What lftp is told before all else: to fail at once, and to let nothing go in clear.
LFTP_IN_TLS: Final = (
    "set cmd:fail-exit yes",
    "set net:max-retries 1",
    "set net:timeout 30",
    "set ftp:ssl-force yes",
    "set ftp:ssl-protect-data yes",
    "set ftp:ssl-protect-list yes",
)

_cached: dict[int, bytes] = {}


def payload(size: int) -> bytes:
    """``size`` bytes that look random and are the same in every run."""
    if size not in _cached:
        _cached[size] = random.Random(size).randbytes(size)
    return _cached[size]


def sha256(data: bytes | Path) -> str:
    """The digest of bytes or of a file."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Site:
    """One account of a running server, with its home on this disk, for one test alone."""

    home: Path
    user: str
    port: int
    port6: int
    password: str = PASSWORD
    host: str = "127.0.0.1"

    def url(self, path: str = "", *, login: bool = True, ipv6: bool = False) -> str:
        """The FTP URL of ``path`` below the home."""
        who = f"{self.user}:{self.password}@" if login else ""
        where = f"[::1]:{self.port6}" if ipv6 else f"{self.host}:{self.port}"
        return f"ftp://{who}{where}/{quote(path)}"

    def connect(self, *, encoding: str = "utf-8", ipv6: bool = False) -> ftplib.FTP:
        """A logged-in session of the standard library's client."""
        ftp = ftplib.FTP(timeout=REPLY, encoding=encoding)
        ftp.connect("::1" if ipv6 else self.host, self.port6 if ipv6 else self.port)
        ftp.login(self.user, self.password)
        return ftp

    def put(self, name: str, data: bytes) -> Path:
        """Place a file on the server's side of the disk."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def tree(self) -> dict[str, str]:
        """Every file below the home with its digest: nothing may be left over, parts included."""
        return tree(self.home)


def tree(root: Path) -> dict[str, str]:
    """Relative names and digests of all files below ``root``."""
    return {str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}


def fill(root: Path) -> dict[str, str]:
    """A tree with the shapes that mirrors meet: depth, an empty file, awkward names, many small files."""
    files = {f"many/{number:03}.txt": payload(number) for number in range(40)}
    files |= {f"names/{name}": payload(50 + len(name)) for name in AWKWARD_NAMES}
    files |= {"empty": b"", "a/b/c/deep.bin": payload(70_000), "large.bin": payload(3 << 20)}
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tree(root)


@dataclass
class Runner:
    """Runs foreign programs in a directory and with a HOME of their own, never without a deadline."""

    cwd: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Nothing of the user's: no netrc, no proxy, no configuration."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.cwd),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            **self.extra,
        }

    def __call__(
        self, *argv: str | Path, stdin: str = "", check: bool = True, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; with ``check`` a failure shows what the program said."""
        require(str(argv[0]))
        done = subprocess.run(
            [str(part) for part in argv],
            cwd=self.cwd,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{argv} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done

    def start(self, *argv: str | Path) -> subprocess.Popen[bytes]:
        """Start a program that the test ends by itself."""
        require(str(argv[0]))
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=self.cwd,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def require(program: str) -> None:
    """A missing client fails where it had to be there: in CI and after `make test` tried to install it."""
    if shutil.which(program) is not None:
        return
    message = f"{program} is not installed; `make test` installs it on Debian and Ubuntu"
    if os.environ.get("CI") == "true" or os.environ.get("XFER_REQUIRE_CLIENTS"):
        pytest.fail(message)
    pytest.skip(message)
