"""The contract suites that twisted-xfer ships, with our plugins in them."""

import pytest
from acme_xfer import lines, peek, sqlite, suffixes, tally
from acme_xfer.token import TokenChecker, TokenFactory, password_for
from twisted.cred.strcred import InvalidAuthArgumentString

from twisted_xfer.testing.contracts_checker import CheckerContract
from twisted_xfer.testing.contracts_listener import ListenerContract
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.contracts_storage import StorageContract
from twisted_xfer.testing.host import MemoryHost


class TestPeek(ProtocolContract):
    plugin = peek.plugin


class TestPeekAfterLogin(ProtocolContract):
    plugin = peek.plugin
    login = b"HELLO alice secret\n"


class TestToken(CheckerContract):
    good = (b"alice", password_for(b"alice", b"our secret"))

    def make_checker(self):
        return TokenChecker(b"our secret")


class TestSqlite(StorageContract):
    def make_storage(self):
        return sqlite.plugin.open(sqlite.SqliteOptions(), MemoryHost())


class TestTally(ListenerContract):
    plugin = tally.plugin

    def make_options(self, tmp_path):
        return tally.TallyOptions(path=str(tmp_path / "tally"))


class TestSuffixes(ListenerContract):
    plugin = suffixes.plugin


def test_secret_that_is_not_there():
    """The operator is told which file, and twistd does not start."""
    with pytest.raises(InvalidAuthArgumentString, match="/nowhere: No such file"):
        TokenFactory().generateChecker("/nowhere")


def test_lines_are_counted_up_to_the_limit():
    """XLIN in memory: no daemon, no network."""
    from twisted_xfer.protocols.ftp.options import FTPOptions
    from twisted_xfer.protocols.ftp.plugin import plugin as ftp
    from twisted_xfer.testing.protocols import connect
    from twisted_xfer.testing.storage_checks import put

    host = MemoryHost({"alice": "secret"}, commands=[lines.plugin])
    view = host.storage.view("/alice", owner="alice", create=True)
    put(view, b"/two", b"1\n2\n")
    put(view, b"/large", b"12345\n")
    table = {"plugin": "lines", "largest": 5}
    client = connect(ftp.stream_factory(FTPOptions(commands=(table,)), host))
    client.send(b"USER alice\r\nPASS secret\r\n")
    assert client.send(b"XLIN two\r\n") == b"213 2\r\n"
    assert client.send(b"XLIN large\r\n").startswith(b"552 ")
    assert client.send(b"XLIN none\r\n").startswith(b"550 ")
    assert client.send(b"SITE WHOAMI\r\n") == b"200 alice from 192.0.2.1\r\n"
