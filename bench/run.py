"""The run: for each row, rounds over all servers in turn, so that a slow minute of the machine hits them alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import isolate
from .client import Client, RowError
from .fixture import Fixture
from .packages import PeerError
from .peers import Peer, place_for, write_certificate
from .report import Column, Table
from .rows import Bench, Row
from .server import Server
from .stats import spread

ROW_SECONDS = 180
WARM_UP_FILES = 3


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Row:
    """One row while it is measured."""

    def __init__(self, row: Row, servers: Sequence[Server], binary: Path, fixture: Fixture) -> None:
        self._row = row
        self._binary = binary
        self._fixture = fixture
        self._samples: dict[str, dict[str, list[float]]] = {}
        self._failed = {s.peer.name: "cannot" for s in servers if row.needs in s.peer.lacks}
        self._servers = [s for s in servers if s.peer.name not in self._failed]

    def measure(self, rounds: int) -> Table:
        """Run the rounds; a server that fails is left out of the rest of the row, with the reason."""
        try:
            for number in range(rounds):
                shift = number % max(1, len(self._servers))
                for server in [*self._servers[shift:], *self._servers[:shift]]:
                    if server.peer.name not in self._failed:
                        self._one(server, first=number == 0)
        finally:
            for server in self._servers:
                server.stop()
        columns = tuple(Column(m.name, m.digits, m.higher_is_better) for m in self._row.metrics)
        measured = {
            name: {metric: spread(values) for metric, values in metrics.items()}
            for name, metrics in self._samples.items()
            if name not in self._failed
        }
        return Table(self._row.key, self._row.title, columns, self._row.goals, measured, self._failed)

    def _one(self, server: Server, *, first: bool) -> None:
        name = server.peer.name
        client = Client(self._binary, server, ROW_SECONDS)
        try:
            if first or self._row.fresh:
                server.stop()
                server.start()
                # Imports on first use, caches of names and the first growth of the heap belong to no row.
                client.run("list", "LIST", Fixture.uploads)
                client.run("small-get", Fixture.small, WARM_UP_FILES, hold=False)
            isolate.calm()
            values = self._row.measure(Bench(server, client, self._fixture))
        except (RowError, PeerError, OSError, ValueError, subprocess.SubprocessError) as problem:
            self._failed[name] = f"failed: {problem}"
            self._fixture.take_uploads()
            server.stop()
            _say(f"  {name}: {self._failed[name]}")
            return
        for metric, value in values.items():
            self._samples.setdefault(name, {}).setdefault(metric, []).append(value)
        _say(f"  {name}: " + ", ".join(f"{metric} {value:,.3f}" for metric, value in values.items()))


def run(
    rows: Sequence[Row], peers: Sequence[Peer], rounds: int, fixture: Fixture, binary: Path, state: Path
) -> list[Table]:
    """Measure all rows."""
    places = [place_for(i, fixture.root, state / peer.name) for i, peer in enumerate(peers)]
    certificate = write_certificate(state) if any(row.tls for row in rows) else None
    tables = []
    for row in rows:
        _say(f"{row.title} ({row.key})")
        servers = [
            Server(peer, replace(place, certificate=certificate) if row.tls else place)
            for peer, place in zip(peers, places, strict=True)
        ]
        tables.append(_Row(row, servers, binary, fixture).measure(rounds))
    return tables
