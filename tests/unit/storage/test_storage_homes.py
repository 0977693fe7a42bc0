"""Homes that are open: shared as long as somebody holds them, and not remembered for ever."""

from __future__ import annotations

import os

from twisted_xfer.storage.jail import open_anchor
from twisted_xfer.storage.local_tree import SWEEP_AT, Homes


def test_a_home_is_there_as_long_as_it_is_held(tmp_path):
    """And its descriptor is closed with it."""
    homes = Homes()
    path = os.fsencode(tmp_path)
    assert homes.get(path) is None
    held = open_anchor(path)
    homes.add(path, held)
    assert homes.get(path) is held
    descriptor = held.fd
    del held
    assert homes.get(path) is None
    other = os.dup(0)
    os.close(other)
    assert other <= descriptor


def test_homes_that_ended_are_dropped(tmp_path):
    """At the limit, all but those that are held; and they do not make it look at each login."""
    homes = Homes()
    path = os.fsencode(tmp_path)
    held = open_anchor(path)
    homes.add(b"held", held)
    for number in range(1, SWEEP_AT):
        homes.add(b"%d" % number, open_anchor(path))
    assert len(homes) == SWEEP_AT
    homes.add(b"one more", held)
    assert len(homes) == 2
    assert homes.get(b"held") is homes.get(b"one more") is held


def test_many_homes_that_are_all_held(tmp_path):
    """The limit grows with them."""
    homes = Homes()
    held = open_anchor(os.fsencode(tmp_path))
    for number in range(SWEEP_AT + 10):
        homes.add(b"%d" % number, held)
    assert len(homes) == SWEEP_AT + 10
    assert all(homes.get(b"%d" % number) is held for number in range(SWEEP_AT + 10))
