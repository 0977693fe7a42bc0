"""Listings by name: small ones whole, large ones as they come."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import Deferred, succeed

from twisted_xfer.interfaces import FileInfo, IListing
from twisted_xfer.protocols.ftp.commands.sorting import MOST_SORTED, Sorted


class Directory:
    """A listing of so many entries, in disorder; ``late`` answers come by a Deferred."""

    def __init__(self, count, late=False):
        names = [b"%06d" % number for number in range(count)]
        random.Random(1).shuffle(names)
        self.names = names
        self.late = late
        self.asked = 0
        self.closed = False

    def next_batch(self, limit=100):
        self.asked += 1
        batch = [FileInfo(name, "file") for name in self.names[:limit]]
        del self.names[:limit]
        return succeed(batch) if self.late else batch

    def close(self):
        self.closed = True


def read(listing, turns, limit=100):
    """All names; every turn of the reactor that was asked for is taken."""
    found = []
    while True:
        answer = listing.next_batch(limit)
        while isinstance(answer, Deferred):
            while turns:
                turns.pop()()
            answer = answer.result
        if not answer:
            return found
        assert len(answer) <= max(limit, 1)
        found += [info.name for info in answer]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("count", [0, 1, 100, 101, MOST_SORTED])
def test_up_to_the_limit_by_name(count, late):
    """Every entry once, in order."""
    turns = []
    listing = Sorted(Directory(count, late), turns.append)
    assert IListing.providedBy(listing)
    assert read(listing, turns) == [b"%06d" % number for number in range(count)]
    assert listing.next_batch(100) == []


@pytest.mark.parametrize("count", [MOST_SORTED + 1, 3 * MOST_SORTED])
def test_past_the_limit_as_they_come(count):
    """Every entry once, and no more of them held than the limit and one batch."""
    directory, turns = Directory(count), []
    order = list(directory.names)
    listing = Sorted(directory, turns.append)
    answer = listing.next_batch(100)
    while turns:
        turns.pop()()
    assert directory.asked == MOST_SORTED // 100 + 1
    assert [info.name for info in answer.result] == order[:100]
    assert read(listing, turns) == order[100:]


def test_a_small_directory_takes_no_turn():
    """The usual listing is made at once, in one go with its data connection."""
    turns = []
    listing = Sorted(Directory(100), turns.append)
    assert len(listing.next_batch(100)) == 100
    assert turns == []


def test_others_get_their_turn_between_batches():
    """A directory at the limit is read in as many turns as it has batches."""
    turns = []
    answer = Sorted(Directory(MOST_SORTED), turns.append).next_batch(100)
    taken = 0
    while turns:
        taken += 1
        turns.pop()()
    assert taken >= MOST_SORTED // 100 - 1
    assert len(answer.result) == 100


def test_close_reaches_the_directory():
    """A listing that is broken off lets go of its descriptor."""
    directory = Directory(10)
    Sorted(directory, [].append).close()
    assert directory.closed


def test_list_is_sorted_and_so_are_patterns_and_status(user):
    """As people read them; over the control connection too."""
    names = [b"b", b"a", b"C", b"10", b"9"]
    for name in names:
        user.storage_file(name.decode(), b"x")
    lines = user.say("STAT .").split(b"\r\n")[1:-2]
    assert [line.split()[-1] for line in lines] == sorted(names)
