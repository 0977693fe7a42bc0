"""Results on standard output: the same as click's, for less."""

import io
import sys

import click
import pytest

from twisted_xfer.cli.output import OutputLost, result, say
from twisted_xfer.cli.progress import Progress


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
