"""`python -m bench.xfer`: the native protocol against rsync, scp, magic-wormhole and nc."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import cpu, isolate
from bench.__main__ import RESULTS, _chosen
from bench.client import RowError
from bench.fixture import MIB, SHARED_MEMORY, SMALL_BYTES
from bench.goals import OURS, Goal
from bench.packages import CACHE, PeerError
from bench.report import Column, Table, as_json, render
from bench.stats import spread

from .measure import Contest, empty, free_port_base
from .movers import PLAIN, SECURE, Mover, Place

COLUMNS = (
    Column("CPU s", 3, False), Column("wall s", 3, False),
    Column("sender CPU s", 3, False), Column("receiver CPU s", 3, False),
)  # fmt: skip
PORTS_EACH = 2


@dataclass(frozen=True, slots=True)
class Row:
    """What is sent by whom, and what ours is to reach."""

    key: str
    title: str
    what: str
    movers: tuple[Mover, ...]
    goals: tuple[Goal, ...]


def _both(factor: float, peer: str) -> tuple[Goal, ...]:
    return (Goal("CPU s", factor, peer), Goal("wall s", factor, peer))


ROWS = (
    Row("xfer-bulk", "1 GiB, in the clear", "big", PLAIN, _both(1, "rsync")),
    Row("xfer-bulk-tls", "1 GiB, encrypted", "big", SECURE, _both(2 / 3, "scp-aes128-gcm")),
    Row("xfer-small", "2,000 files of 4 KiB, in the clear", "small", PLAIN, _both(3, "rsync")),
    Row("xfer-small-tls", "2,000 files of 4 KiB, encrypted", "small", SECURE, _both(1, "scp-aes128-gcm")),
)


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    names = dict.fromkeys(mover.name for mover in (*PLAIN, *SECURE))
    parser = argparse.ArgumentParser(prog="python -m bench.xfer", description="Compare ways to move files.")
    parser.add_argument("--rows", default="", metavar="A,B", help=f"of {', '.join(row.key for row in ROWS)}")
    parser.add_argument("--movers", default="", metavar="A,B", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="5; 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="small sizes, numbers are rough")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"{RESULTS}; {CACHE}/quick with --quick")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.rows = _chosen(options.rows, [row.key for row in ROWS], "row")
    options.movers = _chosen(options.movers, list(names), "mover")
    return options


def _obtain(rows: Sequence[Row], names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Name to (name, version, note) of all movers that can be had; version `-` and the reason for others."""
    found: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        for mover in row.movers:
            if mover.name in names and mover.name not in found:
                try:
                    found[mover.name] = (mover.name, mover.obtain(), mover.note)
                except (PeerError, OSError, subprocess.SubprocessError) as problem:
                    found[mover.name] = (mover.name, "-", f"left out: {problem}")
                    print(f"{mover.name} is left out: {problem}", file=sys.stderr)
    return found


def _build(root: Path, *, quick: bool) -> dict[str, tuple[int, int]]:
    """Write what is sent; name to files and bytes."""
    source = root / "source"
    (source / "small").mkdir(parents=True)
    root.chmod(0o755)
    size, files = (128 * MIB, 300) if quick else (1024 * MIB, 2000)
    with (source / "big").open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    for number in range(files):
        (source / "small" / f"f{number:05d}").write_bytes(os.urandom(SMALL_BYTES))
    return {"big": (1, size), "small": (files, files * SMALL_BYTES)}


def _measure(row: Row, names: Sequence[str], root: Path, rounds: int, sizes: tuple[int, int]) -> Table:
    print(f"{row.title} ({row.key})", file=sys.stderr, flush=True)
    base = free_port_base(PORTS_EACH * len(row.movers))
    contests: list[Contest] = []
    failed: dict[str, str] = {}
    samples: dict[str, dict[str, list[float]]] = {}
    for number, mover in enumerate(row.movers):
        if mover.name in names:
            store = root / f"store-{mover.name}"
            state = CACHE.resolve() / "state" / f"{row.key}-{mover.name}"
            for folder in (store, state):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            contests.append(Contest(mover, Place(base + PORTS_EACH * number, store, state), row.what))
    try:
        for number in range(rounds + 1):
            shift = number % max(1, len(contests))
            for contest in [*contests[shift:], *contests[:shift]]:
                name = contest.mover.name
                if name in failed:
                    continue
                try:
                    if number == 0:
                        contest.start()
                    values = contest.sample(*sizes)
                except (RowError, PeerError, OSError, subprocess.SubprocessError) as problem:
                    failed[name] = f"failed: {problem}".replace("\n", " ")
                    print(f"  {name}: {failed[name]}", file=sys.stderr, flush=True)
                    contest.stop()
                    empty(contest.place.store)
                    continue
                if number:
                    # The first is a warm-up: byte code, caches of names, certificates.
                    for metric, value in values.items():
                        samples.setdefault(name, {}).setdefault(metric, []).append(value)
                    shown = ", ".join(f"{metric} {value:.3f}" for metric, value in values.items())
                    print(f"  {name}: {shown}", file=sys.stderr, flush=True)
    finally:
        for contest in contests:
            contest.stop()
            shutil.rmtree(contest.place.store, ignore_errors=True)
    measured = {
        name: {metric: spread(values) for metric, values in metrics.items()}
        for name, metrics in samples.items()
        if name not in failed
    }
    return Table(row.key, row.title, COLUMNS, row.goals, measured, failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when every mover that was to be had came through every row."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _arguments(given)
    rounds = options.rounds or (1 if options.quick else 5)
    rows = [row for row in ROWS if row.key in options.rows]
    movers = _obtain(rows, options.movers)
    if not options.isolated and isolate.possible():
        isolate.restart([*given, "--isolated"], "bench.xfer")
    state = CACHE.resolve() / "state"
    if options.isolated:
        isolate.furnish(state / "etc")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = SHARED_MEMORY / f"xfer-bench-{os.getpid()}"
    names = [name for name, (_, version, _) in movers.items() if version != "-"]
    try:
        sizes = _build(root, quick=options.quick)
        tables = [_measure(row, names, root, rounds, sizes[row.what]) for row in rows]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "CPU": cpu.method() + "; both ends, start-up of the sender included",
        "rounds": f"{rounds}, interleaved, after one that does not count"
        + ("; QUICK SIZES, numbers are rough" if options.quick else ""),
        "ours": OURS,
    }
    out = options.out or (CACHE / "quick" if options.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    text = render(facts, list(movers.values()), tables)
    (out / "xfer.md").write_text(text)
    (out / "xfer.json").write_text(json.dumps(as_json(facts, list(movers.values()), tables), indent=1) + "\n")
    print(text)
    return int(any(table.failed for table in tables))


if __name__ == "__main__":
    sys.exit(main())
