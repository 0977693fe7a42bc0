"""`python -m bench`: fetch the peers, go into a private network when root, measure, write the tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import cpu, isolate
from .client import RowError, build
from .fixture import FULL, QUICK, Fixture
from .packages import CACHE, PeerError
from .peers import PEERS, Peer
from .report import as_json, render
from .rows import ROWS
from .run import run

RESULTS = Path("bench/results")


def _chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    wanted = [word for word in text.split(",") if word]
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise SystemExit(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if not wanted or name in wanted]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Compare with other FTP servers.")
    parser.add_argument("--rows", default="", metavar="A,B", help=f"of {', '.join(row.key for row in ROWS)}")
    parser.add_argument(
        "--servers", default="", metavar="A,B", help=f"of {', '.join(peer.name for peer in PEERS)}"
    )
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="5; 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that it works, numbers are rough"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"{RESULTS}; {CACHE}/quick with --quick")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _available(peers: Sequence[Peer], *, isolated: bool) -> tuple[list[Peer], list[tuple[str, str, str]]]:
    """Obtain the peers; those that cannot be had stay in the list of servers with the reason."""
    found, servers = [], []
    for peer in peers:
        try:
            if peer.isolated and not isolated:
                raise PeerError("needs root and `unshare`, to see a user account of its own")
            servers.append((peer.name, peer.obtain(), peer.note))
            found.append(peer)
        except PeerError as problem:
            servers.append((peer.name, "-", f"left out: {problem}"))
            print(f"{peer.name} is left out: {problem}", file=sys.stderr)
    return found, servers


def _facts(rounds: int, *, quick: bool, isolated: bool) -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "CPU": cpu.method(),
        "network": f"own loopback, TIME_WAIT capped at {isolate.TIME_WAIT_CAP}"
        if isolated
        else "shared loopback",
        "rounds": f"{rounds}, interleaved" + ("; QUICK SIZES, numbers are rough" if quick else ""),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when every server that was to be had came through every row."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _arguments(given)
    rounds = options.rounds or (1 if options.quick else 5)
    rows = [row for row in ROWS if row.key in _chosen(options.rows, [row.key for row in ROWS], "row")]
    names = _chosen(options.servers, [peer.name for peer in PEERS], "server")
    can_isolate = options.isolated or isolate.possible()
    try:
        binary = build()
    except RowError as problem:
        raise SystemExit(str(problem)) from None
    peers, servers = _available([peer for peer in PEERS if peer.name in names], isolated=can_isolate)
    if can_isolate and not options.isolated:
        isolate.restart([*given, "--isolated"])
    state = CACHE.resolve() / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    if options.isolated:
        isolate.furnish(state / "etc")
    # A plain SIGTERM would leave servers running and gigabytes in memory behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    fixture = Fixture(QUICK if options.quick else FULL)
    try:
        fixture.build()
        tables = run(rows, peers, rounds, fixture, binary, state)
    finally:
        fixture.remove()
    facts = _facts(rounds, quick=options.quick, isolated=options.isolated)
    out = options.out or (CACHE / "quick" if options.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    text = render(facts, servers, tables)
    (out / "latest.md").write_text(text)
    (out / "latest.json").write_text(json.dumps(as_json(facts, servers, tables), indent=1) + "\n")
    print(text)
    print(f"written to {out}/latest.md and latest.json", file=sys.stderr)
    return int(any(why != "cannot" for table in tables for why in table.failed.values()))


if __name__ == "__main__":
    sys.exit(main())
