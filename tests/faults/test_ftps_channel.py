"""TLS data channels whose bytes are cut, changed or replaced at any place: never a clean end that is none."""

import contextlib
import datetime as dt
import random
import select
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.task import Clock

from twisted_xfer.errors import ConnectionLost, DataTLSRefused, TimedOut, Truncated, XferError
from twisted_xfer.interfaces import WantRead, WantWrite
from twisted_xfer.runtime.tls import TLS
from twisted_xfer.runtime.tls_channel import TLSChannel
from twisted_xfer.runtime.tls_handshake import handshake_channel
from twisted_xfer.runtime.tls_identity import self_signed
from twisted_xfer.testing.pumps import ManualReactor

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
CONTENT = random.Random(3).randbytes(40_000)
#: Bounds every loop here; a handshake takes three turns.
TURNS = 200
PATIENCE = 20
IDENTITY = self_signed(now=dt.datetime(2030, 1, 1, tzinfo=dt.UTC))


class Line:
    """The daemon's end of a data connection, and a client's TLS in memory whose bytes the test carries."""

    def __init__(self, version):
        tls = TLS(Clock(), identities=[IDENTITY])
        self.reactor = ManualReactor()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.raw = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        context = tls.control_session().creator.serverConnectionForTLS(None).get_context()
        self.channel = TLSChannel(ours, "127.0.0.1", context)
        client = SSL.Context(SSL.TLS_METHOD)
        client.set_min_proto_version(VERSIONS[version])
        client.set_max_proto_version(VERSIONS[version])
        self.client = SSL.Connection(client, None)
        self.client.set_connect_state()
        self.raw.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.raw.close()
        self.channel.close()

    def written(self):
        """What the client's TLS has to send."""
        try:
            return self.client.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def shake(self):
        """The whole handshake."""
        ends = [self.client.do_handshake, self.channel.handshake]
        for _ in range(TURNS):
            for end in list(ends):
                try:
                    end()
                except (SSL.WantReadError, WantRead):
                    continue
                else:
                    ends.remove(end)
                finally:
                    self.raw.sendall(self.written())
                    self.read()
            if not ends:
                return self
            select.select([self.raw, self.channel.fileno()], [], [], 0.01)
        raise AssertionError("no handshake")

    def read(self):
        """Give the client's TLS what has come."""
        with contextlib.suppress(BlockingIOError):
            self.client.bio_write(self.raw.recv(1 << 20))

    def received(self):
        """All that the daemon takes, and how it ended: an error, or None for close_notify."""
        got = bytearray()
        buffer = memoryview(bytearray(1 << 16))
        for _ in range(TURNS):
            try:
                count = self.channel.recv_into(buffer)
            except WantRead:
                # Loopback delivers soon, not at once; the bound only keeps a failing test from hanging.
                if not select.select([self.channel.fileno()], [], [], PATIENCE)[0]:
                    break
            except XferError as error:
                return bytes(got), error
            else:
                if not count:
                    return bytes(got), None
                got += buffer[:count]
        raise AssertionError("no end")


def sent_upload(line, content=CONTENT):
    """The records of an upload with its close_notify."""
    line.shake()
    line.client.sendall(content)
    line.client.shutdown()
    return line.written()


@pytest.mark.parametrize("version", VERSIONS)
@given(cut=st.one_of(st.integers(0, 60_000), st.integers(-60, -1)))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_an_upload_cut_anywhere_is_truncated(version, cut):
    """In mid-record, between records, within close_notify: what came whole is given, and then an error."""
    with Line(version) as line:
        records = sent_upload(line)
        cut %= len(records)
        line.raw.sendall(records[:cut])
        line.raw.shutdown(socket.SHUT_WR)
        got, error = line.received()
        assert isinstance(error, Truncated)
        assert CONTENT.startswith(got)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_upload_is_whole(version):
    """The rule by which the cut ones fail."""
    with Line(version) as line:
        line.raw.sendall(sent_upload(line))
        assert line.received() == (CONTENT, None)


@pytest.mark.parametrize("version", VERSIONS)
@given(place=st.integers(0, 60_000), flip=st.integers(1, 255))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_changed_byte_never_ends_cleanly(version, place, flip):
    """Wherever it is, in a record's header, its content or its tag."""
    with Line(version) as line:
        records = bytearray(sent_upload(line))
        records[place % len(records)] ^= flip
        line.raw.sendall(records)
        line.raw.shutdown(socket.SHUT_WR)
        got, error = line.received()
        assert isinstance(error, ConnectionLost | Truncated)
        assert CONTENT.startswith(got)


@pytest.mark.parametrize("version", VERSIONS)
@given(place=st.integers(0, 60_000), text=st.binary(min_size=6, max_size=40))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_plaintext_on_a_tls_channel(version, place, text):
    """Bytes in clear among the records are never taken for content."""
    with Line(version) as line:
        records = sent_upload(line)
        place %= len(records)
        line.raw.sendall(records[:place] + text + records[place:])
        line.raw.shutdown(socket.SHUT_WR)
        got, error = line.received()
        assert isinstance(error, ConnectionLost | Truncated)
        assert CONTENT.startswith(got)


def test_renegotiation_is_refused():
    """A client of TLS 1.2 that begins a second handshake gets none: the daemon's CPU is not its toy."""
    with Line("1.2") as line:
        line.shake()
        assert line.client.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            line.client.do_handshake()
        line.raw.sendall(line.written())
        assert select.select([line.channel.fileno()], [], [], PATIENCE)[0]
        with pytest.raises((WantRead, ConnectionLost)):
            line.channel.recv_into(memoryview(bytearray(9)))
        # The alert that says no.
        with contextlib.suppress(WantWrite):
            line.channel.send(b"x")
        assert select.select([line.raw], [], [], PATIENCE)[0]
        line.read()
        with pytest.raises(SSL.Error) as caught:
            line.client.do_handshake()
        assert not isinstance(caught.value, SSL.WantReadError)
        assert line.channel._connection.total_renegotiations() == 0


@pytest.mark.parametrize("parked", [0, 1, 5, 100])
def test_a_parked_handshake_ends_at_its_deadline(parked):
    """Nothing, half a record header, half a hello: closed at the deadline, nothing left in the reactor."""
    with Line("1.3") as line:
        with contextlib.suppress(SSL.WantReadError):
            line.client.do_handshake()
        hello = line.written()
        assert len(hello) > 100
        line.raw.sendall(hello[:parked])
        failed = []
        done = handshake_channel(line.reactor, line.channel, 20.0)
        done.addErrback(failed.append)
        line.reactor.turn()
        line.reactor.advance(19.9)
        assert not failed
        line.reactor.advance(0.1)
        assert failed[0].check(TimedOut)
        assert line.reactor.leftovers() == []
        assert select.select([line.raw], [], [], PATIENCE)[0]
        with pytest.raises(ConnectionResetError):
            line.raw.recv(1)


def test_a_hello_byte_by_byte():
    """Is the same hello; and one in clear is refused as soon as it cannot be one."""
    with Line("1.3") as line:
        with contextlib.suppress(SSL.WantReadError):
            line.client.do_handshake()
        for byte in line.written():
            line.raw.sendall(bytes([byte]))
            with contextlib.suppress(WantRead):
                line.channel.handshake()
        line.shake()
    with Line("1.3") as line:
        line.raw.sendall(b"RETR f\r\n")
        with pytest.raises(DataTLSRefused):
            line.channel.handshake()
