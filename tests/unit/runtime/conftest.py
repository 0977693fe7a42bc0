"""What tests of several files here begin with."""

from __future__ import annotations

import os

import pytest
import trustme
from data_ports_lab import Lab

from twisted_xfer.runtime import tls_records
from twisted_xfer.runtime.tls_records import CAN_CALL


@pytest.fixture(params=[CAN_CALL, False], ids=["swift", "pyOpenSSL"])
def way(request, monkeypatch):
    """Past pyOpenSSL where that can be, and as it is where it cannot."""
    monkeypatch.setattr(tls_records, "CAN_CALL", request.param)


@pytest.fixture(scope="module")
def authority():
    """A certificate authority and a certificate for the server."""
    ca = trustme.CA()
    return ca, ca.issue_cert("server.example")


@pytest.fixture
def lab():
    """A lab whose leaks fail the test."""
    before = set(os.listdir("/proc/self/fd"))
    lab = Lab()
    yield lab
    for thing in lab.open:
        thing.close()
    assert lab.reactor.leftovers() == []
    assert set(os.listdir("/proc/self/fd")) - before == set()
