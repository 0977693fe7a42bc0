"""Leaving TLS where Twisted's own layer has it, without a network."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from twisted_xfer.runtime.tls_clear import HEADER, MAX_RECORD, Clearing, leave_tls


class Transport:
    """As far as a connection is needed that says nothing sensible."""

    def __init__(self) -> None:
        self.aborted = 0
        self.protocol = type("Layer", (), {"wrappedProtocol": Protocol()})()

    def abortConnection(self) -> None:
        self.aborted += 1


@pytest.mark.parametrize(("extra", "aborted"), [(0, 0), (1, 1)])
def test_the_longest_record(extra: int, aborted: int) -> None:
    """Is waited for; one that says it is longer ends the connection by its header alone."""
    transport = Transport()
    clearing = Clearing(transport, None)
    clearing.dataReceived(b"\x17\x03\x03" + (MAX_RECORD - HEADER + extra).to_bytes(2, "big"))
    assert transport.aborted == aborted


def test_only_tls_can_be_left() -> None:
    """Anything else is a fault of the caller."""
    with pytest.raises(TypeError, match="no TLS"):
        leave_tls(Transport(), Clock(), 1.0)
