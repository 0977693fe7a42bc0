"""The tables of the benchmark, cell by cell."""

import json

from bench.goals import OURS, Goal
from bench.report import Column, Table, as_json, cell, grid, render, render_goals, render_table
from bench.stats import Spread

COST = Column("cost", 3, higher_is_better=False)
RATE = Column("rate", 0, higher_is_better=True)


def _one(value):
    return Spread(value, value, value, 1)


def _table(**failed):
    measured = {
        "slow": {"cost": Spread(0.5, 0.4, 0.6, 3), "rate": Spread(1500.0, 1400.0, 1600.0, 3)},
        OURS: {"cost": Spread(0.25, 0.2, 0.3, 3), "rate": Spread(3000.0, 2900.0, 3100.0, 3)},
    }
    return Table("row", "A row", (COST, RATE), (Goal("cost", 1, "slow"), Goal("rate", 2)), measured, failed)


def test_cell_shows_the_spread_only_of_several_rounds():
    """One round has no spread to show."""
    assert cell(_one(0.5), COST, 0.25) == "0.500 x2.00"
    assert cell(Spread(1500.0, 1400.0, 1600.0, 3), RATE, 3000.0) == "1,500 [1,400..1,600] x2.00"


def test_cell_marks_the_winner():
    """The best of a row is bold."""
    assert cell(_one(0.25), COST, 0.25) == "0.250 **x1.00**"


def test_grid_escapes_bars():
    """An error text with a bar does not add a column."""
    assert grid(["a"], [["x|y"]]).splitlines() == ["| a |", "| --- |", "| x\\|y |"]


def test_table_is_ordered_by_its_first_column():
    """The cheapest server leads; failures come last with the reason, and as wide as the others."""
    lines = render_table(_table(broken="failed: no reply")).strip().splitlines()
    assert lines[0] == "### A row (`row`)"
    assert [line.split(" | ")[0] for line in lines[4:]] == [f"| {OURS}", "| slow", "| broken"]
    assert {line.count("|") for line in lines[2:]} == {4}


def test_table_led_by_a_rate_puts_the_fastest_on_top():
    """Where more is better the order turns."""
    table = _table()
    turned = Table(table.key, table.title, (RATE, COST), (), table.measured, {})
    assert render_table(turned).splitlines()[4].startswith(f"| {OURS}")


def test_table_without_numbers_still_renders():
    """All servers failed: their reasons are the table."""
    table = Table("row", "A row", (COST,), (Goal("cost", 1),), {}, {"slow": "failed: gone"})
    assert "| slow | failed: gone |" in render_table(table)
    assert "not measured" in render_goals([table])


def test_goals_show_ours_limit_and_verdict():
    """One line a goal."""
    lines = render_goals([_table()]).strip().splitlines()
    assert lines[4] == "| row | cost <= slow | 0.250 | 0.500 | met (x0.50) |"
    assert lines[5] == "| row | rate <= 2 | 3,000.000 | 2.000 | missed (x1500.00) |"


def test_report_holds_all_parts():
    """Facts, servers, goals and rows are there, each once."""
    text = render({"date": "today"}, [("slow", "1.0", "as shipped")], [_table()])
    for part in ("| date | today |", "| slow | 1.0 | as shipped |", "## Goals", "### A row"):
        assert text.count(part) == 1


def test_json_is_plain_and_complete():
    """It survives the json module and keeps each number."""
    value = json.loads(
        json.dumps(as_json({"date": "today"}, [("slow", "1.0", "as shipped")], [_table(x="why")]))
    )
    row = value["rows"]["row"]
    assert row["measured"]["slow"]["cost"] == {"middle": 0.5, "low": 0.4, "high": 0.6, "rounds": 3}
    assert row["failed"] == {"x": "why"}
    assert row["goals"][0] == {"goal": "cost <= slow", "ratio": 0.5}
    assert value["servers"] == [{"name": "slow", "version": "1.0", "configuration": "as shipped"}]
