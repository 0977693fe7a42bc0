"""`xfer plugins`: the list, and the skeletons of `xfer plugins new`, whose own tests are run."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from twisted_xfer.cli.cmd_plugins import MAX_SUMMARY
from twisted_xfer.cli.commands import xfer
from twisted_xfer.cli.exits import Exit


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


@pytest.fixture
def drop_in(tmp_path, monkeypatch):
    """Writes a drop-in among those of Twisted, for one test."""
    import twisted.plugins

    monkeypatch.setattr(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(tmp_path)])

    def write(text, name="xfer_test_survey"):
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if name.startswith("twisted.plugins.xfer_test_"):
            del sys.modules[name]
            vars(twisted.plugins).pop(name.rpartition(".")[2], None)


def test_two_checkers_of_one_name_are_a_problem(drop_in):
    """twistd would take one of them without a word."""
    drop_in(
        "from twisted_xfer.accounts.strcred_users import UsersCheckerFactory\nagain = UsersCheckerFactory()\n"
    )
    done = run()
    assert done.exit_code == Exit.OTHER
    assert "checker users: another checker has this name" in done.output


def test_two_plugins_of_one_name_keep_nothing_from_the_list(drop_in):
    """Both are there, with where the other one is, and all the others too."""
    drop_in(
        "from twisted_xfer.plugins.records import PluginRecord\n"
        'mine = PluginRecord("protocol", "ftp", "twisted_xfer.protocols.push.plugin:push", "Mine")\n'
    )
    done = run("--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == Exit.OTHER
    mine, theirs = sorted(
        (row for row in rows if row["name"] == "ftp"), key=lambda row: row["summary"], reverse=True
    )
    assert (
        "calls itself 'push'; no daemon starts with two of this name; the other is twisted_xfer"
        in mine["problem"]
    )
    assert "xfer_test_survey.py" in theirs["problem"]
    assert "timeecho" in {row["name"] for row in rows}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import xfer_test_is_not_there\n", "ModuleNotFoundError: No module named 'xfer_test_is_not_there'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        (
            "from twisted_xfer.plugins.records import PluginRecord\nx = PluginRecord('listner', 'x', 'x:y', '')\n",
            "'listner' is no kind of plugin; there are protocol, storage, quota, listener, command",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(drop_in, text, problem):
    """In one line about that file, without a traceback; everything else is listed."""
    drop_in(text)
    done = run()
    assert done.exit_code == Exit.OTHER
    assert f"xfer: drop-in xfer_test_survey: {problem}" in done.stderr.replace("ValueError: ", "")
    assert "Traceback" not in done.stderr
    assert "timeecho" in done.stdout


def test_a_plugin_that_ends_the_process_is_a_problem(drop_in, tmp_path, monkeypatch):
    """sys.exit() at import ends neither the list nor the daemon."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "xfer_test_exits.py").write_text("raise SystemExit(3)\n")
    drop_in(
        "from twisted_xfer.plugins.records import PluginRecord\n"
        'mine = PluginRecord("listener", "exits", "xfer_test_exits:x", "Exits")\n'
    )
    done = run()
    assert "listener exits: cannot import xfer_test_exits:x: SystemExit: 3" in done.stderr
    assert "timeecho" in done.stdout


def test_a_name_that_is_taken_is_told_at_once(tmp_path):
    """No daemon would start with two of a name."""
    done = run("new", "protocol", "ftp", "--directory", str(tmp_path / "made"))
    assert done.exit_code == Exit.USAGE
    assert "there is a protocol plugin of this name already: twisted_xfer.protocols.ftp" in done.stderr
    assert not (tmp_path / "made").exists()
    assert run("new", "listener", "ftp", "--directory", str(tmp_path / "made")).exit_code == 0


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
