"""The TLS channel: whole records, what stays in memory, and true ends."""

import contextlib
import os
import socket
from functools import partial

import pytest
from channels_rig import VERSIONS, channels, contexts, failure_of, receive
from new_keys import SUITE, Sealer, secret_in
from OpenSSL import SSL
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConnectionLost, Truncated
from twisted_xfer.interfaces import Expected, IChannel, TransferMode, WantRead, WantWrite
from twisted_xfer.runtime import tls_channel, tls_records
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.tls_binding import CAN_LEAVE, leave_memory
from twisted_xfer.runtime.tls_channel import SLICE
from twisted_xfer.runtime.tls_records import CAN_CALL, RECORD, Records, SwiftRecords, records
from twisted_xfer.testing.pumps import ScriptedFile, ScriptedUpload
from twisted_xfer.transfer import Transfers

pytestmark = pytest.mark.usefixtures("way")
IMAGE = TransferMode.IMAGE


@pytest.fixture
def rig():
    """A rig whose leaks fail the test."""
    yield from channels()


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_and_a_clean_end(rig, authority, version):
    """Records both ways, then close_notify is 0 at the other end, before the socket ends."""
    ours, theirs = rig.pair(*contexts(authority, version))
    verifyObject(IChannel, ours)
    assert ours.secure
    assert ours.established
    content = os.urandom(3 * RECORD + 1)
    assert ours.send(content) == len(content)
    assert receive(theirs, len(content)) == content
    with pytest.raises(WantRead):
        theirs.recv_into(memoryview(bytearray(1)))
    assert theirs.shutdown()
    assert ours.recv_into(memoryview(bytearray(9))) == 0
    assert ours.recv_into(memoryview(bytearray(9))) == 0


def send_all(ours, theirs, content, sizes):
    """Send in pieces of ``sizes`` while the other end reads now and then: what came, and how often to wait."""
    got, waits, sent, at = bytearray(), 0, 0, 0
    buffer = memoryview(bytearray(1 << 20))

    def read():
        with contextlib.suppress(WantRead):
            got.extend(buffer[: theirs.recv_into(buffer)])

    while sent < len(content):
        size = sizes[at % len(sizes)]
        at += 1
        try:
            sent += ours.send(memoryview(content)[sent : sent + size])
        except WantWrite:
            waits += 1
            read()
    for _ in range(10_000):
        try:
            ours.shutdown()
            break
        except WantWrite:
            waits += 1
            read()
    for _ in range(10_000):
        if len(got) >= len(content):
            break
        read()
    return bytes(got), waits


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_bulk_downloads_past_memory(rig, authority, monkeypatch, version, leaves):
    """Every byte once, in order, whatever is offered after the socket was full, and then a clean end."""
    if not leaves:
        monkeypatch.setattr(tls_channel, "leave_memory", lambda *_: False)
    ours, theirs = rig.pair(*contexts(authority, version))
    content = os.urandom(16 << 20)
    got, waits = send_all(ours, theirs, content, (1 << 20, 1, SLICE - 1, SLICE, RECORD + 1, 7))
    assert ours._direct is (leaves and CAN_LEAVE)
    assert got == content
    assert waits, "the socket was never full"
    assert theirs.recv_into(memoryview(bytearray(1))) == 0


def test_small_downloads_and_clients_stay_in_memory(rig, authority):
    """Whose tickets are still to be read, or who gain nothing."""
    ours, theirs = rig.pair(*contexts(authority))
    ours.send(bytes(SLICE - 1))
    theirs.send(bytes(SLICE))
    assert not ours._direct
    assert not theirs._direct


def test_both_ways_say_the_same(authority, monkeypatch):
    """Nothing there, data, close_notify, an end without it and no TLS at all, past pyOpenSSL and through it."""
    said = []
    for swift in (CAN_CALL, False):
        monkeypatch.setattr(tls_records, "CAN_CALL", swift)
        server, client = contexts(authority)
        ours, theirs = SSL.Connection(server, None), SSL.Connection(client, None)
        ours.set_accept_state()
        theirs.set_connect_state()
        ends = records(ours), records(theirs)
        assert type(ends[0]) is (SwiftRecords if swift else Records)
        words: list[object] = [ends[1].shake(), ends[0].shake(), ends[0].drain()]
        for _ in range(3):
            for one, other in (ends, ends[::-1]):
                if data := other.drain():
                    one.feed(data)
                    words.append(one.shake())
        buffer = memoryview(bytearray(100))
        words.append(ends[0].read_into(buffer))
        words.append(ends[1].write(memoryview(b"x" * 50)))
        words.append(ends[1].write(b"y"))
        theirs.shutdown()
        ends[0].feed(ends[1].drain())
        words += [ends[0].read_into(buffer[:20]) for _ in range(5)]
        words.append(bytes(buffer[:20]))
        words.append(ends[0].drain())
        ours.bio_shutdown()
        theirs.bio_shutdown()
        stranger = SSL.Connection(server, None)
        stranger.set_accept_state()
        records(stranger).feed(b"GET / HTTP/1.0\r\n\r\n")
        for call in (partial(ends[1].read_into, buffer), records(stranger).shake):
            with pytest.raises(SSL.Error) as caught:
                call()
            words.append((type(caught.value), caught.value.args))
        said.append(words)
    assert said[0] == said[1]
    assert said[0][:3] == [False, False, b""]
    assert said[0][-9:-3] == [20, 20, 10, 1, 0, b"y" + b"x" * 19]


@pytest.mark.parametrize("size", [1, RECORD, RECORD + 1])
def test_last_bytes_wait_for_the_end(rig, authority, size):
    """What nothing comes after is sent together with close_notify, if it is one record; more leaves at once."""
    ours, theirs = rig.pair(*contexts(authority))
    assert ours.send_last(b"x" * size) == size
    arrived = memoryview(bytearray(RECORD))
    if size > RECORD:
        assert theirs.recv_into(arrived) == RECORD
    else:
        with pytest.raises(WantRead):
            theirs.recv_into(arrived)
    assert ours.shutdown()
    assert receive(theirs, size % RECORD or size) == b"x" * (size % RECORD or size)
    assert theirs.recv_into(arrived) == 0


def test_last_bytes_behind_what_waits(rig, authority):
    """They go behind what a full socket has not taken, and not before."""
    ours, theirs = rig.pair(*contexts(authority))
    content = os.urandom(8 << 20)
    sent = 0
    with contextlib.suppress(WantWrite):
        while sent < len(content):
            sent += ours.send(memoryview(content)[sent : sent + RECORD])
    assert sent < len(content)
    with pytest.raises(WantWrite):
        ours.send_last(b"the end")
    got = receive(theirs, RECORD)
    for _ in range(10_000):
        try:
            assert ours.send_last(b"the end") == len(b"the end")
            break
        except WantWrite:
            got += receive(theirs, RECORD)
    got += receive(theirs, sent - len(got))
    assert ours.shutdown()
    assert got + receive(theirs, 7) == content[:sent] + b"the end"
    assert theirs.recv_into(memoryview(bytearray(1))) == 0


def test_a_closed_channel_writes_to_no_descriptor(rig, authority):
    """Its number may be another connection's by then."""
    ours, _theirs = rig.pair(*contexts(authority))
    ours.send(bytes(SLICE))
    assert ours._direct is CAN_LEAVE
    number = ours.fileno()
    ours.close()
    one, other = socket.socketpair()
    with one, other:
        assert number in {one.fileno(), other.fileno()}
        for call in (lambda: ours.send(b"x"), lambda: ours.send(bytes(SLICE)), ours.shutdown):
            with pytest.raises(ConnectionLost):
                call()
        for end in (one, other):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(1)


def test_memory_is_left_empty_or_not_at_all(rig, authority):
    """What waits there, either way, would be lost."""
    server, client = contexts(authority)
    ours, theirs = rig.pair(server, client)
    waiting = ours._connection
    waiting.bio_write(b"half a record")
    assert not leave_memory(waiting, ours.fileno())
    theirs._connection.send(b"not fetched")
    assert not leave_memory(theirs._connection, theirs.fileno())


@pytest.mark.parametrize("version", VERSIONS)
def test_end_without_close_notify(rig, authority, version):
    """What came is given first; then the missing promise is told, and told again."""
    ours, theirs = rig.pair(*contexts(authority, version))
    theirs.send(b"half")
    theirs._sock.shutdown(socket.SHUT_WR)
    buffer = memoryview(bytearray(100))
    assert ours.recv_into(buffer) == 4
    for _ in range(2):
        with pytest.raises(Truncated):
            ours.recv_into(buffer)


def test_reset(rig, authority):
    """A reset is a lost connection in both directions."""
    ours, theirs = rig.pair(*contexts(authority))
    theirs.abort()
    with pytest.raises(ConnectionLost):
        ours.recv_into(memoryview(bytearray(1)))
    with pytest.raises(ConnectionLost):
        ours.send(b"x")


def test_plain_text_from_the_network(rig, authority):
    """Bytes that are no record end the connection and are given to nobody."""
    ours, theirs = rig.pair(*contexts(authority))
    theirs._sock.send(b"QUIT\r\n" * 100)
    with pytest.raises(ConnectionLost):
        ours.recv_into(memoryview(bytearray(1000)))


def test_new_keys_without_end(rig, authority, monkeypatch):
    """A peer that sends nothing else is read from once a call, however much it has sent."""
    server, client = contexts(authority)
    client.set_tls13_ciphersuites(SUITE)
    keylog = []
    client.set_keylog_callback(lambda _connection, line: keylog.append(line.decode()))
    ours, theirs = rig.pair(server, client)
    sealer = Sealer(secret_in("\n".join(keylog)))
    records = sealer.new_keys(100)
    theirs._sock.sendall(records + sealer.seal(b"abc"))
    monkeypatch.setattr(tls_channel, "FETCH", len(records) // 10)
    buffer = memoryview(bytearray(len(records)))
    for _ in range(10):
        with pytest.raises(WantRead):
            ours.recv_into(buffer)
    assert receive(ours, 3) == b"abc"


def test_full_socket_retries_the_same_bytes(rig, authority):
    """A peer that reads slowly: WantWrite, and the retry goes on where it was."""
    ours, theirs = rig.pair(*contexts(authority))
    content = memoryview(os.urandom(8 << 20))
    sent, got = 0, bytearray()
    buffer = memoryview(bytearray(1 << 20))
    refused = 0
    for _ in range(10_000):
        if len(got) == len(content):
            break
        try:
            if sent < len(content):
                sent += ours.send(content[sent : sent + (256 << 10)])
                continue
        except WantWrite:
            refused += 1
        try:
            got += buffer[: theirs.recv_into(buffer)]
        except WantRead:
            continue
    assert refused
    assert got == content


@pytest.mark.parametrize("version", VERSIONS)
def test_pumps_over_tls(rig, authority, version):
    """A download at one end into an upload at the other: whole, and cleanly ended."""
    ours, theirs = rig.pair(*contexts(authority, version))
    transfers = Transfers(rig.reactor, InlineBlocking())
    chunks = [os.urandom(256 << 10) for _ in range(12)]
    upload = ScriptedUpload()
    down = transfers.download(ScriptedFile(list(chunks)), ours, IMAGE, None, 60.0)
    up = transfers.upload(upload, theirs, IMAGE, None, 60.0)
    rig.reactor.run_until(lambda: down.result.called and up.result.called)
    assert upload.data == b"".join(chunks)
    assert upload.ends == [("commit", None)]
    assert down.transferred == up.transferred == len(upload.data)


@pytest.mark.parametrize(("size", "end"), [(None, "suspend"), (4, "suspend"), (5, "commit")])
def test_cut_upload_over_tls(rig, authority, size, end):
    """Cut without close_notify: kept as a part, unless the announced size is all there."""
    ours, theirs = rig.pair(*contexts(authority))
    theirs.send(b"whole")
    theirs._sock.shutdown(socket.SHUT_WR)
    upload = ScriptedUpload()
    transfers = Transfers(rig.reactor, InlineBlocking())
    up = transfers.upload(upload, ours, IMAGE, None, 60.0, Expected(size=size))
    rig.reactor.run_until(lambda: up.result.called)
    assert [name for name, _ in upload.ends] == [end]
    if end == "suspend":
        assert isinstance(failure_of(up.result), Truncated)
