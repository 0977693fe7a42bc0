"""The kit that drives readers must itself notice bad readers."""

import pytest

from twisted_xfer.testing import wires


class Whole:
    """A bad reader: each read is an event, as if the network kept them apart."""

    def __init__(self):
        self.reads = []

    def receive_data(self, data):
        self.reads.append(data)

    def next(self):
        return self.reads.pop(0) if self.reads else None


class Endless(Whole):
    """A reader that never needs more."""

    def next(self):
        return 1


class Greedy(Whole):
    """A reader that takes whatever comes after one byte for its own."""

    def next(self):
        return b"".join(self.reads) if len(self.reads) == 1 and not self.seen() else None

    def seen(self):
        seen, self.told = getattr(self, "told", False), True
        return seen


def test_a_reader_that_depends_on_cutting_is_noticed():
    """Two bytes as two events are not one event."""
    with pytest.raises(AssertionError, match="byte by byte"):
        wires.drive_three_ways(Whole, "next", b"ab")


def test_a_reader_without_end_is_noticed(monkeypatch):
    """A hang is a failure."""
    monkeypatch.setattr(wires, "MAX_EVENTS", 10)
    with pytest.raises(AssertionError, match="for ever"):
        wires.drive(Endless, "next", [b"a"])


def test_a_reader_that_swallows_trailing_bytes_is_noticed():
    """Trailing bytes are events of their own."""
    with pytest.raises(AssertionError, match="trailing"):
        wires.drive_three_ways(Greedy, "next", b"a", trailing=b"b", after=[b"b"])
