"""xfer bans, on the file that a daemon shares."""

import json
import time

import pytest
from click.testing import CliRunner

from twisted_xfer.cli.commands import xfer
from twisted_xfer.cli.exits import Exit
from twisted_xfer.runtime.bans_store import BanStore, Row


@pytest.fixture
def bans(tmp_path):
    now = time.time()
    store = BanStore(str(tmp_path / "bans"))
    store.put(Row("192.0.2.1", now + 1000, now - 5, "failed logins"))
    store.put(Row("2001:db8::/64", now + 2000, now, "failed logins"))
    store.put(Row("192.0.2.9", now - 1, now - 10, "over"))
    store.close()

    def run(*args, file=tmp_path / "bans"):
        return CliRunner().invoke(xfer, ["bans", *args, *(("--file", str(file)) if file else ())])

    return run


def test_list(bans):
    """Who is kept out now, for people and for programs."""
    lines = bans("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["192.0.2.1", "2001:db8::/64"]
    rows = [json.loads(line) for line in bans("list", "--json").stdout.splitlines()]
    assert rows[0]["address"] == "192.0.2.1"
    assert 900 < rows[0]["left"] <= 1000
    assert rows[0]["reason"] == "failed logins"


def test_lift(bans):
    """By address, by any address of the /64, and again in vain."""
    assert bans("lift", "192.0.2.1").exit_code == 0
    assert bans("lift", "2001:db8::77").exit_code == 0
    assert bans("list").stdout == ""
    done = bans("lift", "192.0.2.1", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (
        Exit.REFUSED,
        {"address": "192.0.2.1", "lifted": False},
    )


def test_lift_all(bans):
    """Everybody at once; nobody is no error."""
    assert bans("lift", "--all").exit_code == 0
    assert bans("list").stdout == ""
    assert bans("lift", "--all").exit_code == 0


def test_file_by_configuration(bans, tmp_path):
    """The daemon's own file says where, relative to itself."""
    config = tmp_path / "xfer.toml"
    config.write_text('[bans]\nfile = "bans"\n')
    assert bans("list", "--config", str(config), file="").stdout.count("\n") == 2
    config.write_text("")
    assert bans("list", "--config", str(config), file="").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("lift",), Exit.USAGE),
        (("lift", "192.0.2.1", "--all"), Exit.USAGE),
        (("lift", "example.org"), Exit.USAGE),
        (("list", "--config", "x"), Exit.USAGE),
    ],
)
def test_wrong_use(bans, args, code):
    """Nothing is lifted by a slip."""
    assert bans(*args).exit_code == code
    assert bans("list").stdout.count("\n") == 2


def test_file_that_is_none(bans, tmp_path):
    """Neither made nor taken for empty."""
    assert bans("list", file=tmp_path / "none").exit_code == Exit.STORAGE
    assert not (tmp_path / "none").exists()
    (tmp_path / "text").write_text("no data base " * 100)
    assert bans("list", file=tmp_path / "text").exit_code == Exit.STORAGE
