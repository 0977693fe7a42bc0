"""The tables: Markdown for people, JSON for later runs to compare with.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .goals import Goal, judge
from .stats import Spread, best, times_worse


@dataclass(frozen=True, slots=True)
class Column:
    """A metric as the table shows it."""

    name: str
    digits: int
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One row of the benchmark: `measured` is server to metric to spread, `failed` server to reason."""

    key: str
    title: str
    columns: tuple[Column, ...]
    goals: tuple[Goal, ...]
    measured: Mapping[str, Mapping[str, Spread]]
    failed: Mapping[str, str]


def number(value: float, digits: int) -> str:
    """Write a number with thousands marks and a fixed count of decimals."""
    return f"{value:,.{digits}f}"


def cell(value: Spread, column: Column, winner: float) -> str:
    """Write median [least..greatest] and how many times worse than the winner that is."""
    text = number(value.middle, column.digits)
    if value.rounds > 1:
        text += f" [{number(value.low, column.digits)}..{number(value.high, column.digits)}]"
    factor = times_worse(value.middle, winner, higher_is_better=column.higher_is_better)
    return f"{text} **x1.00**" if factor == 1 else f"{text} x{factor:.2f}"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; a bar in a cell is escaped."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows)


def render_table(table: Table) -> str:
    """Write one row of the benchmark, the best server by the first metric on top."""
    first = table.columns[0]
    ordered = sorted(
        table.measured,
        key=lambda name: table.measured[name][first.name].middle,
        reverse=first.higher_is_better,
    )
    winners = {
        column.name: best(
            (metrics[column.name].middle for metrics in table.measured.values()),
            higher_is_better=column.higher_is_better,
        )
        for column in table.columns
        if table.measured
    }
    lines = [
        [
            name,
            *(
                cell(table.measured[name][column.name], column, winners[column.name])
                for column in table.columns
            ),
        ]
        for name in ordered
    ]
    blank = [""] * (len(table.columns) - 1)
    lines += [[name, why, *blank] for name, why in table.failed.items()]
    return f"### {table.title} (`{table.key}`)\n\n{grid(['server', *(column.name for column in table.columns)], lines)}\n"


def render_goals(tables: Sequence[Table]) -> str:
    """Write what ours was to reach and what it reached."""
    lines = []
    for table in tables:
        for goal in table.goals:
            verdict = judge(goal, table.measured)
            shown = ["-" if value is None else f"{value:,.3f}" for value in (verdict.ours, verdict.limit)]
            lines.append([table.key, goal.text(), *shown, verdict.text()])
    return f"## Goals\n\n{grid(['row', 'goal', 'ours', 'limit', 'verdict'], lines)}\n"


def render(facts: Mapping[str, str], servers: Sequence[tuple[str, str, str]], tables: Sequence[Table]) -> str:
    """Write the whole report: `servers` are name, version and configuration."""
    parts = ["# Benchmark\n", "How it is measured and what each column means: `bench/README.md`.\n"]
    parts.append(grid(["what", "value"], [[name, value] for name, value in facts.items()]) + "\n")
    parts.append(grid(["server", "version", "configuration"], [list(server) for server in servers]) + "\n")
    parts += [render_goals(tables), "## Rows\n", *(render_table(table) for table in tables)]
    return "\n".join(parts)


def as_json(
    facts: Mapping[str, str], servers: Sequence[tuple[str, str, str]], tables: Sequence[Table]
) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "facts": dict(facts),
        "servers": [
            dict(zip(("name", "version", "configuration"), server, strict=True)) for server in servers
        ],
        "rows": {
            table.key: {
                "title": table.title,
                "measured": {
                    name: {metric: asdict(value) for metric, value in metrics.items()}
                    for name, metrics in table.measured.items()
                },
                "failed": dict(table.failed),
                "goals": [
                    {"goal": goal.text(), "ratio": judge(goal, table.measured).ratio} for goal in table.goals
                ],
            }
            for table in tables
        },
    }
