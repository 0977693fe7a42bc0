"""CPU and memory of a server with all its children, also of those that have come and gone.

A control group of its own counts every task that ever ran in it, to the nanosecond: version 1 (`cpuacct.usage`) or
version 2 (`cpu.stat`), whichever can be written.  Without one the process tree is summed from /proc: children that were
reaped count through their parent, the unit is a tick of 10 ms, and a child that was adopted by init is lost.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
CLOSE_ATTEMPTS = 50


class Stat(NamedTuple):
    """What is used of /proc/PID/stat; `ticks` is user and system time, own and of reaped children."""

    pid: int
    parent: int
    ticks: int


def parse_stat(text: str) -> Stat:
    """Read /proc/PID/stat; the command name in parentheses may itself hold spaces and parentheses."""
    head, _, tail = text.rpartition(")")
    pid = int(head.partition(" ")[0])
    fields = tail.split()
    # Fields count from 3 (state) behind the name: parent is 4, utime to cstime are 14 to 17; proc(5).
    return Stat(pid, int(fields[1]), sum(int(field) for field in fields[11:15]))


def parse_pss(text: str) -> int:
    """Read the proportional set size, in KiB, from /proc/PID/smaps_rollup."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError("no Pss line")


def parse_usage_usec(text: str) -> float:
    """Read CPU seconds from a version 2 `cpu.stat`."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) / 1e6
    raise ValueError("no usage_usec line")


def tree(root: int, stats: list[Stat]) -> list[Stat]:
    """Return `root` and all below it."""
    children: dict[int, list[Stat]] = {}
    found = [stat for stat in stats if stat.pid == root]
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    for stat in found:  # grows while it is walked; each process has one parent, so this ends
        found.extend(child for child in children.get(stat.pid, []) if child.pid != root)
    return found


class Meter(Protocol):
    """Counts for one server from `enter`, called in the child before the program starts, to `close`."""

    def enter(self) -> None: ...
    def started(self, pid: int) -> None: ...
    def seconds(self) -> float: ...
    def pids(self) -> list[int]: ...
    def close(self) -> None: ...


class GroupMeter:
    """Counts through a control group."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(exist_ok=True)

    def enter(self) -> None:
        """Move the calling process in; its children follow by themselves."""
        (self._path / "cgroup.procs").write_text(str(os.getpid()))

    def started(self, pid: int) -> None:
        """Nothing to remember: the group knows its processes."""

    def seconds(self) -> float:
        """Return CPU seconds of all tasks that ever were in the group."""
        usage = self._path / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return parse_usage_usec((self._path / "cpu.stat").read_text())

    def pids(self) -> list[int]:
        """Return the processes alive."""
        return [int(line) for line in (self._path / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        """Remove the group; processes that were just killed may need a moment to leave it."""
        for _ in range(CLOSE_ATTEMPTS):
            try:
                self._path.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)
            else:
                return


class ProcMeter:
    """Counts by walking /proc."""

    def __init__(self) -> None:
        self._root = 0

    def enter(self) -> None:
        """Nothing to do in the child."""

    def started(self, pid: int) -> None:
        """Remember the root of the tree."""
        self._root = pid

    def _tree(self) -> list[Stat]:
        stats = []
        for entry in os.listdir(PROC):
            if entry.isdigit():
                with suppress(OSError):  # gone since
                    stats.append(parse_stat((PROC / entry / "stat").read_text(errors="replace")))
        return tree(self._root, stats)

    def seconds(self) -> float:
        """Return CPU seconds of the tree and of its reaped children."""
        return sum(stat.ticks for stat in self._tree()) / os.sysconf("SC_CLK_TCK")

    def pids(self) -> list[int]:
        """Return the processes alive."""
        return [stat.pid for stat in self._tree()]

    def close(self) -> None:
        """Nothing was made."""


def _writable_root() -> Path | None:
    for candidate in (CGROUPS / "cpuacct", CGROUPS):
        probe = candidate / f"xfer-bench-{os.getpid()}"
        if not (candidate / "cgroup.procs").exists():
            continue
        try:
            probe.mkdir()
            counts = (probe / "cpuacct.usage").exists() or (probe / "cpu.stat").exists()
            probe.rmdir()
        except OSError:
            continue
        if counts:
            return candidate
    return None


def meter(name: str) -> Meter:
    """Return the best meter that this machine allows."""
    root = _writable_root()
    return ProcMeter() if root is None else GroupMeter(root / f"xfer-bench-{os.getpid()}-{name}")


def method() -> str:
    """Say how CPU is counted, for the head of the report."""
    root = _writable_root()
    return "process tree from /proc (10 ms ticks)" if root is None else f"control group under {root}"


def pss_kib(pids: list[int]) -> int:
    """Sum the proportional set size of processes; one that ended meanwhile counts nothing."""
    total = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            total += parse_pss((PROC / str(pid) / "smaps_rollup").read_text())
    return total
