"""What tests of several files here begin with."""

import os

import pytest
from transfer_rig import Rig


@pytest.fixture
def rig():
    """A rig whose leaks fail the test."""
    before = set(os.listdir("/proc/self/fd"))
    rig = Rig()
    yield rig
    assert rig.reactor.leftovers() == []
    assert rig.transfers.active == 0
    assert rig.channel.fileno() == -1
    rig.client.close()
    rig.transfers.close()
    assert set(os.listdir("/proc/self/fd")) - before == set()
