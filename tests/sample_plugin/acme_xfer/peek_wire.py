"""The bytes of ``peek``: lines of words. No socket, no clock, no Twisted.

::

    client: HELLO alice secret        server: OK
    client: DIR pub                   server: 12 a.txt    (one line for each entry, then a dot)
    client: BYE
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: A path and a word; a longer line ends the connection.
MAX_LINE = 4200
OK = b"OK\n"
END = b".\n"


class TooLong(Exception):
    """A line over MAX_LINE."""


class Request(NamedTuple):
    """One line, taken apart."""

    word: bytes
    arguments: tuple[bytes, ...]


class Reader:
    """Bytes in, requests out. Holds at most MAX_LINE bytes of an unfinished line."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that ``data`` completes. Raises TooLong."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if any(len(line) > MAX_LINE for line in (*lines, self._buffer)):
            self._buffer = b""
            raise TooLong
        for line in lines:
            word, *arguments = line.rstrip(b"\r").split(b" ", 2)
            yield Request(word.upper(), tuple(arguments))


def entries(batch: Iterable[tuple[bytes, int]]) -> bytes:
    """Lines of a listing; a name cannot end its line early, or look like the last one."""
    return b"".join(b"%d %b\n" % (size, name.replace(b"\n", b"?")) for name, size in batch)


def refusal(code: str) -> bytes:
    """The answer to what was not done."""
    return b"NO %b\n" % code.encode("ascii")
