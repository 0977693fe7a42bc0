"""The lines of `xfer` for scripts, which the manual promises."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from twisted_xfer import errors
from twisted_xfer.cli.progress import Progress
from twisted_xfer.protocols.xfer.report import Kind, Summary, TransferEvent


def documented_events():
    """Event to keys, as the manual's table has them: the first two columns of each row."""
    text = Path(__file__).parents[3].joinpath("docs/operate/transfers.rst").read_text("utf-8")
    table = text.partition("* - ``event``")[2].partition("\n\n")[0]
    rows = re.findall(r"^   \* - ``(\w+)``\n     -(.*)\n", table, re.MULTILINE)
    return {event: dict(re.findall(r"``(\w+)``(\??)", keys)) for event, keys in rows}


def test_the_manual_knows_every_event(capsys):
    """With all that it may carry and with the least, a line has the keys that are documented, and no others."""
    file, entry, error = (
        {"size": 1, "resumed": 1, "position": 1},
        {"size": 1, "type": "dir"},
        errors.NotFound(),
    )
    events = {
        "connected": ({}, {}),
        "started": ({"path": b"a"}, file),
        "progress": ({"path": b"a"}, file),
        "done": ({"path": b"a"}, file | entry | {"digest": b"d", "hash": "md5", "stored_as": b"/a"}),
        "skipped": ({"path": b"a", "why": "same"}, entry),
        "would": ({"path": b"a", "why": "store"}, entry),
        "failed": ({"error": error}, {"path": b"a"}),
        "reconnecting": ({"error": error, "seconds": 1.0}, {}),
    }
    assert events.keys() == set(get_args(Kind))
    documented = documented_events()
    assert documented.keys() == {*events, "summary", "listening", "removed"}
    progress = Progress(as_json=True)
    progress.summary(Summary())
    for kind, (least, more) in events.items():
        progress(TransferEvent(kind, **least))
        progress(TransferEvent(kind, **least, **more))
    summary, *lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert summary.keys() - {"event"} == documented["summary"].keys()
    for least, most in zip(lines[::2], lines[1::2], strict=True):
        keys = documented[most.pop("event")]
        assert most.keys() == keys.keys()
        assert least.keys() - {"event"} == {name for name, optional in keys.items() if not optional}


@pytest.mark.parametrize(
    ("directory", "path"),
    [("", "/a/b"), (".", "./a/b"), ("in/", "in/a/b"), ("/srv//in", "/srv/in/a/b"), ("/", "/a/b")],
)
def test_final_paths_are_of_this_machine_where_that_stores(capsys, directory, path):
    """Below the directory as it was named; the other end's own where it stores."""
    for as_json in (False, True):
        event = TransferEvent("done", b"a/b", size=1, position=1, stored_as=b"/a/b")
        Progress(bar=False, as_json=as_json, directory=directory)(event)
    plain, line = capsys.readouterr().out.splitlines()
    assert (plain, json.loads(line)["stored_as"]) == (path, path)


def test_an_interruption_is_no_broken_connection(capsys):
    """Neither for people nor for scripts."""
    for as_json in (False, True):
        progress = Progress(bar=False, as_json=as_json)
        progress.interrupted()
        progress(TransferEvent("reconnecting", error=errors.ConnectionLost(), seconds=1.0))
    assert capsys.readouterr() == ("", "")
