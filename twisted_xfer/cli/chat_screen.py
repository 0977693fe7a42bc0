"""A terminal for a chat: one line is typed at the bottom while what others say scrolls by above it.

Pure but for what ``write`` does: bytes typed go in, bytes for the screen come out. ``Raw`` keeps the
terminal itself in the mode for that, and puts it back.
"""

from __future__ import annotations

import codecs
import contextlib
import sys
import termios
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

#: Characters of a line; more are not taken.
MAX_LINE: Final = 4000
_CLEAR: Final = "\r\x1b[K"
_ESCAPE: Final = "\x1b"


def width_of(text: str) -> int:
    """Columns of ``text`` on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


class Screen:
    """What is typed, and what is shown above it.

    Args:
        write: takes text for the terminal.
        typed: called with each line.
        ended: called at Ctrl-D on an empty line.
        columns: how wide the terminal is now.
        prompt: what stands before the line now.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        typed: Callable[[str], object],
        ended: Callable[[], object],
        columns: Callable[[], int],
        prompt: Callable[[], str],
    ) -> None:
        self._write = write
        self._typed = typed
        self._ended = ended
        self._columns = columns
        self._prompt = prompt
        self._line = ""
        self._escape = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(self, text: str) -> None:
        """A line above the one that is being typed."""
        self._write(f"{_CLEAR}{text}\n{self._bottom()}")

    def draw(self) -> None:
        """The line at the bottom, anew."""
        self._write(_CLEAR + self._bottom())

    def erase(self) -> None:
        """Leave the line empty, for whoever writes next."""
        self._write(_CLEAR)

    def feed(self, data: bytes) -> None:
        """Keys."""
        for char in self._decoder.decode(data):
            self._key(char)
        self.draw()

    def _bottom(self) -> str:
        """Prompt and line, or as much of its end as there is room for: it never wraps."""
        shown = self._prompt() + self._line
        room = max(10, self._columns() - 1)
        while width_of(shown) > room:
            shown = shown[1:]
        return shown

    def _key(self, char: str) -> None:
        if self._escape or char == _ESCAPE:
            # Arrows and the like mean nothing here: passed over up to the letter that ends them.
            self._escape += char
            if (len(self._escape) > 2 and "@" <= char <= "~") or (
                len(self._escape) == 2 and char not in "[O"
            ):
                self._escape = ""
        elif char in "\r\n":
            line, self._line = self._line, ""
            self._write(f"{_CLEAR}{self._prompt()}{line}\n")
            self._typed(line)
        elif char in "\x7f\x08":
            # With the accents that stand on it.
            while self._line and unicodedata.combining(self._line[-1]):
                self._line = self._line[:-1]
            self._line = self._line[:-1]
        elif char == "\x15":
            self._line = ""
        elif char == "\x17":
            self._line = self._line.rstrip().rpartition(" ")[0]
            self._line += " " if self._line else ""
        elif char == "\x04":
            if not self._line:
                self._ended()
        elif (char.isprintable() or unicodedata.combining(char)) and len(self._line) < MAX_LINE:
            self._line += char


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """The terminal gives each key at once and echoes nothing; Ctrl-C is still a signal."""
    before = termios.tcgetattr(descriptor)
    mode = termios.tcgetattr(descriptor)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def on_terminal() -> bool:
    """Whether somebody sits there, with keys and a screen."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def write_out(text: str) -> None:
    """To standard output, now."""
    sys.stdout.write(text)
    sys.stdout.flush()
