"""`xfer plugins`: the list, and the skeletons of `xfer plugins new`, whose own tests are run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from twisted_xfer.cli.cmd_plugins import MAX_SUMMARY
from twisted_xfer.cli.cmd_plugins_new import KINDS
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.main import xfer

ROOT = Path(__file__).resolve().parents[3]


def run(*args):
    return CliRunner().invoke(xfer, ["plugins", *args])


def test_the_list_is_what_it_was_without_a_word():
    """The bare command lists, as lines and as JSON, and nothing is wrong with ours."""
    assert "timeecho" in run().output
    rows = [json.loads(line) for line in run("--json").output.splitlines()]
    assert ("protocol", "ftp") in {(row["kind"], row["name"]) for row in rows}
    assert [row for row in rows if row["problem"]] == []


def test_long_words_are_cut_in_the_table_only():
    """What a stranger says of a plugin does not fill the terminal; JSON has all of it."""
    rows = [json.loads(line) for line in run("--json").output.splitlines()]
    longest = max(rows, key=lambda row: len(row["summary"]))
    assert len(longest["summary"]) > MAX_SUMMARY
    (line,) = [
        line for line in run().output.splitlines() if line.split()[:2] == [longest["kind"], longest["name"]]
    ]
    assert line.endswith(" ...")
    assert len(line.partition(longest["summary"][:20])[2]) <= MAX_SUMMARY - 20


def test_checkers_are_listed_with_their_distribution():
    """What --auth takes is a plugin too: ours, and Twisted's own."""
    rows = [json.loads(line) for line in run("--json").output.splitlines()]
    checkers = {row["name"]: row for row in rows if row["kind"] == "checker"}
    assert checkers["users"]["distribution"].startswith("twisted-xfer ")
    assert checkers["memory"]["distribution"].lower().startswith("twisted ")
    assert checkers["users"]["summary"].startswith("Accounts from a file")


def test_two_checkers_of_one_name_are_a_problem(monkeypatch):
    """twistd would take one of them without a word."""
    from twisted.cred import strcred

    from twisted_xfer.accounts.strcred_users import UsersCheckerFactory

    pair = [UsersCheckerFactory(), UsersCheckerFactory()]
    monkeypatch.setattr(strcred, "findCheckerFactories", lambda: pair)
    done = run()
    assert done.exit_code == Exit.OTHER
    assert "checker users: another checker has this name" in done.output


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_works_and_passes_its_test(kind, tmp_path):
    """What is written is found by the registry, keeps its contract, and is as tidy as this tree."""
    target = tmp_path / "made"
    done = run("new", kind, f"my_{kind}", "--directory", str(target))
    assert done.exit_code == 0, done.output
    assert (target / "pyproject.toml").exists()
    assert not list(target.rglob("twisted/**/__init__.py"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    tests = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=target, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout + tests.stderr
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,W,B", str(target)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert lint.returncode == 0 or "No module named ruff" in lint.stderr, lint.stdout


def test_a_directory_of_its_own(tmp_path, monkeypatch):
    """Without --directory it is named after the plugin; the files are the result, one a line."""
    monkeypatch.chdir(tmp_path)
    done = run("new", "listener", "my_log")
    files = done.stdout.splitlines()
    assert "xfer-my-log/xfer_my_log/__init__.py" in files
    assert all(Path(file).is_file() for file in files)


def test_nothing_is_overwritten(tmp_path):
    """A directory that is not empty stays as it is."""
    (tmp_path / "mine").write_text("mine")
    done = run("new", "protocol", "acme", "--directory", str(tmp_path))
    assert done.exit_code == Exit.USAGE
    assert "mine" in done.output
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.parametrize("name", ["", "Acme", "9p", "a-b", "a.b", "../a", "class", "a" * 32, "a\n"])
def test_names_that_are_none(name, tmp_path):
    """The name becomes a module and a key: anything else is refused before anything is written."""
    done = run("new", "protocol", name, "--directory", str(tmp_path / "made"))
    assert done.exit_code == Exit.USAGE
    assert not (tmp_path / "made").exists()


def test_longest_name(tmp_path):
    """31 letters, and an FTP verb cut to what a verb may have."""
    done = run("new", "command", "a" * 31, "--directory", str(tmp_path / "made"))
    assert done.exit_code == 0, done.output
    module = (tmp_path / "made" / f"xfer_{'a' * 31}" / "__init__.py").read_text()
    assert f'Verb(b"X{"A" * 15}"' in module


def test_unknown_kind_and_unwritable_place(tmp_path):
    """Usage, and a storage error in one line."""
    assert run("new", "gopher", "acme").exit_code == Exit.USAGE
    (tmp_path / "file").write_text("")
    done = run("new", "protocol", "acme", "--directory", str(tmp_path / "file" / "x"))
    assert done.exit_code == Exit.STORAGE
    assert "Traceback" not in done.output
