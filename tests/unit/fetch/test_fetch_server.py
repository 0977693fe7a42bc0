"""The server on connections in memory."""

import hashlib

import pytest

from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.fetch import FetchOptions, fetch
from twisted_xfer.protocols.fetch.server import GRACE, QUIET
from twisted_xfer.streams.drain import PAUSE, WITHIN
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import connect
from twisted_xfer.testing.storage_checks import put_part


class TestFetchContract(ProtocolContract):
    plugin = fetch
    options = FetchOptions(account="alice")


class TestFetchContractInside(ProtocolContract):
    plugin = fetch
    options = FetchOptions(account="alice")
    login = b"get something"


@pytest.fixture
def host():
    host = MemoryHost()
    home = host.storage.view("/alice", owner="alice", create=True)
    home.make_directory(VirtualPath.parse(b"/pub"))
    for name, data in ((b"/f", b"hello"), (b"/foo", b"longer"), (b"/empty", b""), (b"/pub/x", b"public")):
        upload = home.open_write(VirtualPath.parse(name), WriteIntent())
        upload.write(data)
        upload.commit()
    return host


def serve(host, **options):
    return connect(fetch.stream_factory(FetchOptions(account="alice", **options), host))


def ask(host, connection, name):
    """Send a command and wait for the silence after it; what was answered."""
    connection.send(b"get " + name)
    host.clock.advance(QUIET)
    return connection.received()


def test_half_a_file_is_none(host):
    """What an interrupted upload left is not to be taken for the file."""
    put_part(host.storage.view("/alice", owner="alice"), b"/half", b"begun")
    connection = serve(host)
    assert ask(host, connection, b"half") == b""
    host.clock.advance(GRACE)
    assert connection.ended


@pytest.mark.parametrize(("name", "data"), [(b"f", b"hello"), (b"empty", b"")])
def test_a_file_and_its_digest(host, name, data):
    """Size, readiness, bytes, and the digest a moment after them, more than once on a connection."""
    connection = serve(host)
    for _ in range(2):
        assert ask(host, connection, name) == b"%d" % len(data)
        first = connection.send(b"ready to recv file")
        if data:
            assert first == data
            host.clock.advance(WITHIN + PAUSE)
            first = connection.received()
        assert first == hashlib.md5(data).hexdigest().encode()
    assert [event.fields["bytes"] for event in host.recorder.of("download.complete")] == [len(data)] * 2


def test_the_first_version_has_no_digest(host):
    """And waits for nothing."""
    connection = serve(host, md5=False)
    assert ask(host, connection, b"f") == b"5"
    assert connection.send(b"x") == b"hello"
    host.clock.advance(WITHIN)
    assert connection.received() == b""
    assert ask(host, connection, b"foo") == b"6"


def test_a_command_may_come_in_pieces(host):
    """Silence is the only end; where there is no such file the rest may still come."""
    connection = serve(host)
    for byte in b"get foo":
        connection.send(bytes([byte]))
        host.clock.advance(QUIET / 2)
    assert connection.received() == b""
    host.clock.advance(QUIET)
    assert connection.received() == b"6"
    connection = serve(host)
    assert ask(host, connection, b"fo") == b""
    connection.send(b"o")
    host.clock.advance(QUIET)
    assert connection.received() == b"6"


@pytest.mark.parametrize("name", [b"nothing", b"pub", b"../../etc/passwd", b"/", b".."])
def test_what_cannot_be_served_closes(host, name):
    """A script's client would hang on silence."""
    connection = serve(host)
    assert ask(host, connection, name) == b""
    host.clock.advance(GRACE)
    assert connection.ended == "closed"
    assert host.limits.held == 0


def test_names_lead_nowhere_else(host):
    """Absolute paths are below the directory too, and never outside of it."""
    connection = serve(host, directory="/pub")
    assert ask(host, connection, b"/x") == b"6"
    connection = serve(host, directory="/pub")
    assert ask(host, connection, b"../f") == b""
    host.clock.advance(GRACE)
    assert connection.ended == "closed"


def test_hanging_up_is_told(host):
    """After the size: the download was aborted."""
    connection = serve(host)
    ask(host, connection, b"f")
    connection.hang_up()
    (event,) = host.recorder.of("download.aborted")
    assert event.fields["code"] == "connection_lost"
    assert host.later() == []


@pytest.mark.parametrize(
    ("prefix", "answer"), [(b"", "more"), (b"ge", "more"), (b"get ", "yes"), (b"GET ", "no"), (b"x", "no")]
)
def test_sniffing(prefix, answer):
    """HTTP has large letters."""
    assert fetch.sniff(prefix) == answer


def test_half_a_verb_is_waited_for(host):
    """A moment of silence after ``g`` ends nothing yet."""
    connection = serve(host)
    for piece in (b"g", b"et", b" f"):
        assert connection.send(piece) == b""
        host.clock.advance(QUIET)
        assert connection.ended is None
    assert connection.received() == b"5"
