"""What the commands say: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.errors import ConfigError, StorageFailure


class OutputLost(OSError):
    """Standard output cannot be written any more: its reader has gone, or its disk is full. Said once."""


def say(text: str = "") -> None:
    """A message for people; where it cannot be written, nobody is there to be told of that."""
    try:
        click.echo(text, err=True)
    except OSError:
        _forget(sys.stderr)


def result(text: str) -> None:
    """What was asked for. Raises OutputLost."""
    # A tree has a line for each file: what needs no care goes past click's, which costs as much as sending one.
    try:
        if sys.stdout is not None and text.isascii() and text.isprintable():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        else:
            _echo(text)
    except OSError as error:
        _forget(sys.stdout)
        raise OutputLost(error.errno, error.strerror) from error


def _echo(text: str) -> None:
    """A line on standard output; letters that it has not are escaped."""
    try:
        click.echo(text)
    except UnicodeEncodeError as error:
        click.echo(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


def _forget(stream: TextIO) -> None:
    """Let what comes after go nowhere, and what is left of it when the process ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def fail(error: BaseException | str, code: Exit | None = None) -> NoReturn:
    """Say what is wrong in one line, and end with the exit code for it."""
    text = error
    if isinstance(error, str):
        text = error
    else:
        # It knows the whole daemon, which takes a third of the time that a small command takes.
        from twisted_xfer.app.explain import explain

        text = explain(error)
        code = code if code is not None else _code(error)
    say(f"xfer: {text}")
    raise SystemExit(int(code if code is not None else Exit.OTHER))


def _code(error: BaseException) -> Exit:
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, StorageFailure | OSError):
        return Exit.STORAGE
    return Exit.OTHER
