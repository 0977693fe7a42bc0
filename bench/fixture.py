"""The files that every server serves: one home in memory, the same for all, so that no disk is measured."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .isolate import UID, USER

MIB = 1 << 20
SMALL_BYTES = 4096
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything one round moves."""

    bulk: int
    small_files: int
    listed_files: int
    sessions: int
    session_seconds: float
    idle_sessions: int
    parallel: int
    parallel_bytes: int
    load_seconds: float
    tls_bulk: int
    tls_files: int


FULL = Sizes(1024 * MIB, 2000, 10_000, 500, 6.0, 500, 100, 10 * MIB, 4.0, 512 * MIB, 200)
QUICK = Sizes(256 * MIB, 300, 10_000, 60, 2.0, 50, 20, 10 * MIB, 1.5, 128 * MIB, 200)


class Fixture:
    """A root with the home of the one account; names below are relative to that home, as a client gives them."""

    big = "big"
    medium = "medium"
    small = "small"
    listed = "list"
    uploads = "up"

    def __init__(self, sizes: Sizes, parent: Path = SHARED_MEMORY) -> None:
        self.sizes = sizes
        self.root = parent / f"xfer-bench-{os.getpid()}"
        self.home = self.root / USER
        self.small_source = self.root / "small-source"

    def build(self) -> None:
        """Write the files.

        Raises:
            OSError: not enough room in memory.

        """
        need = 2 * self.sizes.bulk + self.sizes.parallel_bytes + 64 * MIB
        free = shutil.disk_usage(self.root.parent).free
        if free < need:
            raise OSError(f"{self.root.parent} has {free // MIB} MiB free, the benchmark needs {need // MIB}")
        for folder in (self.small, self.listed, self.uploads):
            (self.home / folder).mkdir(parents=True)
        self._write(self.home / self.big, self.sizes.bulk)
        self._write(self.home / self.medium, self.sizes.parallel_bytes)
        self._write(self.small_source, SMALL_BYTES)
        for number in range(self.sizes.small_files):
            shutil.copyfile(self.small_source, self.home / self.small / f"f{number:05d}")
        for number in range(self.sizes.listed_files):
            (self.home / self.listed / f"a file of ordinary length {number:05d}.txt").write_bytes(
                b"x" * (number % 1000)
            )
        if os.geteuid() == 0:
            for folder, _, names in os.walk(self.home):
                for path in (folder, *(os.path.join(folder, name) for name in names)):
                    os.chown(path, UID, UID)

    @staticmethod
    def _write(path: Path, size: int) -> None:
        block = os.urandom(min(size, MIB))
        with path.open("wb") as file:
            for _ in range(size // len(block)):
                file.write(block)

    def touch_memory(self) -> None:
        """Write a bulk file and remove it: the pages that come next have been in use a moment ago.

        In a virtual machine a page that was free for long may have to be fetched from the host, which is charged to
        whoever writes to it first: uploads were seen to cost three times as much for it.
        """
        spare = self.root / "spare"
        self._write(spare, self.sizes.bulk)
        spare.unlink()

    def take_uploads(self) -> tuple[int, int]:
        """Remove what was uploaded; return how many files and bytes it was, hidden leftovers included."""
        files = total = 0
        for path in (self.home / self.uploads).iterdir():
            files += 1
            total += path.stat().st_size
            path.unlink()
        return files, total

    def remove(self) -> None:
        """Give the memory back."""
        shutil.rmtree(self.root, ignore_errors=True)
