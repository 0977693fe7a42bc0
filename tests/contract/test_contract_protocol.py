"""The protocols that come with the daemon keep the contract that strangers' must keep."""

import pytest

from twisted_xfer.protocols.ftp.plugin import plugin as ftp
from twisted_xfer.protocols.timeecho import TimeEchoOptions, timeecho
from twisted_xfer.testing.contracts_protocol import ProtocolContract


class TestTimeEcho(ProtocolContract):
    plugin = timeecho


class TestTime(ProtocolContract):
    plugin = timeecho
    options = TimeEchoOptions(service="time")


class TestEcho(ProtocolContract):
    plugin = timeecho
    options = TimeEchoOptions(service="echo", public_udp=True)


class Silent(ProtocolContract):
    """A protocol that breaks the contract: the suite must notice."""

    plugin = timeecho
    options = TimeEchoOptions(idle=0)


def test_the_suite_notices_a_connection_without_a_deadline():
    """With the idle limit switched off, a silent peer stays, and the contract says so."""
    with pytest.raises(AssertionError):
        Silent().test_a_silent_peer_is_not_kept_for_ever()


class TestFTP(ProtocolContract):
    plugin = ftp


class TestFTPAfterLogin(ProtocolContract):
    plugin = ftp
    login = b"USER alice\r\nPASS secret\r\n"
