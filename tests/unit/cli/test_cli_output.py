"""Results on standard output: the same as click's, for less."""

import io
import sys

import click
import pytest

from twisted_xfer.cli.output import OutputLost, result, say
from twisted_xfer.cli.progress import Progress
from twisted_xfer.errors import NotFound
from twisted_xfer.protocols.xfer.report import TransferEvent


def written(monkeypatch, say, text, encoding):
    """What ``say(text)`` wrote, without any help to leave the buffer."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    say(text)
    return raw.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("text", ["dir/a file", "", "größer", "\x1b[1mbold\x1b[0m", "two\nlines", "tab\t"])
def test_results_are_what_click_makes_of_them(monkeypatch, text, encoding):
    """Colours for no terminal are dropped, names go through a terminal that claims ASCII, each line leaves at once."""
    ours = written(monkeypatch, result, text, encoding)
    assert ours == written(monkeypatch, click.echo, text, encoding)
    assert ours.endswith(b"\n")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("latin-1", b"\xe9\\u65e5"), ("gbk", "é日".encode("gbk")), ("utf-8", "é日".encode())],
)
def test_names_that_the_terminal_has_no_letters_for(monkeypatch, encoding, expected):
    """Are escaped there: a name from elsewhere stops nothing."""
    assert written(monkeypatch, result, "é日", encoding) == expected + b"\n"


def test_without_standard_output_nothing_is_said(monkeypatch):
    """As where it was closed before the command began."""
    monkeypatch.setattr(sys, "stdout", None)
    result("dir/a file")


@pytest.mark.parametrize("text", ["plain", "größer"])
def test_a_disk_that_is_full_is_told_of_once(monkeypatch, text):
    """What comes after goes nowhere, and nothing is left that could fail when the process ends."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OutputLost, match="No space left on device"):
            result(text)
        result(text)


def test_messages_that_nobody_can_read(monkeypatch):
    """Stop nothing."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        say("message")
        say("message")


def test_without_standard_error_there_is_no_bar(monkeypatch):
    """As where it was closed before the command began."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not Progress().has_bar


def moving(*events):
    """The bar behind ``events``: how far it is, of what, and the file that it names."""
    progress = Progress(bar=True)
    for event in events:
        progress(event)
    bar = progress._bar
    found = (bar.n, bar.total, bar.postfix)
    progress.close()
    return found


def test_the_bar_names_what_moves(capsys):
    """Of files that were asked for together the one whose content comes, not the last one."""
    first, last = (TransferEvent("started", name, size=100) for name in (b"first", b"last"))
    assert moving(first, last) == (0, 200, "last")
    assert moving(first, last, TransferEvent("progress", b"first", size=100, position=50)) == (
        50,
        200,
        "first",
    )


def test_what_failed_is_not_waited_for(capsys):
    """Its rest is none of the total any more, until it comes again."""
    begun = (
        TransferEvent("started", b"file", size=100),
        TransferEvent("progress", b"file", size=100, position=60),
        TransferEvent("failed", b"file", error=NotFound()),
    )
    assert moving(*begun) == (60, 60, "file")
    again = (
        TransferEvent("started", b"file", size=100, resumed=40),
        TransferEvent("done", b"file", size=100, position=100),
    )
    assert moving(*begun, again[0]) == (60, 120, "file")
    assert moving(*begun, *again) == (120, 120, "file")
    assert moving(TransferEvent("failed", b"other", error=NotFound()), begun[0]) == (0, 100, "file")
