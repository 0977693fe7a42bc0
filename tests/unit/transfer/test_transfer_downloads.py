"""Downloads: the whole file, in the way that fits it."""

import os

import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import SourceChanged, StorageFailure
from twisted_xfer.interfaces import (
    FileInfo,
    IHasFileno,
    IReadFile,
    ISecureChannel,
    ITransfer,
    ITransfers,
    TransferMode,
)
from twisted_xfer.testing.pumps import ScriptedFile
from twisted_xfer.transfer import Transfers
from twisted_xfer.transfer.choose import BULK, Kernel
from twisted_xfer.transfer.chunks import CHUNK
from twisted_xfer.transfer.sendfile import prefetch

IMAGE, ASCII = TransferMode.IMAGE, TransferMode.ASCII


@implementer(IReadFile, IHasFileno)
class PlainFile:
    """A plain file on disk."""

    def __init__(self, path, offset=0):
        self.fd = os.open(path, os.O_RDONLY)
        self.info = FileInfo(b"plain", "file", os.fstat(self.fd).st_size)
        self.offset = offset
        self.mode = "image"
        self.reason = "open"

    def fileno(self):
        return self.fd

    def read(self, size):
        data = os.pread(self.fd, size, self.offset)
        self.offset += len(data)
        return data

    def advance(self, size):
        self.offset += size

    def close(self, reason=None):
        if self.reason == "open":
            os.close(self.fd)
            self.reason = reason


@pytest.fixture
def make_file(tmp_path):
    """Plain files of a given content."""

    def make(content, offset=0):
        path = tmp_path / "source"
        path.write_bytes(content)
        return PlainFile(path, offset)

    return make


def test_interfaces(lab, make_file):
    """Transfers and what it answers are what they say."""
    verifyObject(ITransfers, lab.transfers)
    channel, _client = lab.connect()
    transfer = lab.transfers.download(make_file(b""), channel, IMAGE)
    verifyObject(ITransfer, transfer)


@pytest.mark.parametrize("size", [0, 1, 4096])
def test_small_file_in_one_turn(lab, make_file, size):
    """A small file is sent and ended before the reactor is asked for anything."""
    channel, client = lab.connect()
    file = make_file(b"s" * size)
    transfer = lab.transfers.download(file, channel, IMAGE, None, 60.0)
    assert lab.outcome(transfer) == size
    assert client.makefile("rb").read() == b"s" * size
    assert file.reason is None


@pytest.mark.parametrize("kernel", [Kernel(), Kernel(sendfile=None)])
def test_large_file(lab, make_file, kernel):
    """More than the socket takes: the rest follows when it is ready, by the kernel or by hand."""
    lab.transfers.kernel = kernel
    channel, client = lab.connect(sndbuf=16384)
    content = os.urandom(3 << 20)
    transfer = lab.transfers.download(make_file(content), channel, IMAGE, None, 60.0)
    got, was_reset = lab.drive(transfer, client)
    assert got == content
    assert not was_reset
    assert lab.outcome(transfer) == len(content)


def test_restart_offset(lab, make_file):
    """REST: only what follows the offset is sent."""
    channel, client = lab.connect()
    transfer = lab.transfers.download(make_file(b"0123456789", offset=4), channel, IMAGE)
    assert lab.outcome(transfer) == 6
    assert client.makefile("rb").read() == b"456789"


def test_text(lab, make_file):
    """TYPE A goes through memory and doubles line ends; the count is of bytes sent."""
    channel, client = lab.connect()
    file = make_file(b"a\nb\n")
    transfer = lab.transfers.download(file, channel, ASCII)
    assert lab.outcome(transfer) == 6
    assert client.makefile("rb").read() == b"a\r\nb\r\n"
    assert file.mode == "ascii"


class SecureChannel:
    """Looks like TLS: a working descriptor that must not be used, and a send() that must."""

    secure = True
    peer = "127.0.0.1"

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_sendfile_is_refused_on_a_secure_channel(lab, make_file):
    """No plain byte is moved by the kernel past TLS, though file and descriptor would allow it."""

    def forbidden(*_args):
        raise AssertionError("sendfile on a secure channel")

    lab.transfers.kernel = Kernel(sendfile=forbidden)
    channel, client = lab.connect()
    sent = []
    secure = SecureChannel(channel)
    secure.send = lambda data: (sent.append(bytes(data)), channel.send(data))[1]
    transfer = lab.transfers.download(make_file(b"secret"), secure, IMAGE)
    assert lab.outcome(transfer) == 6
    assert sent == [b"secret"]
    assert client.makefile("rb").read() == b"secret"


@implementer(ISecureChannel)
class NotingChannel(SecureChannel):
    """Notes how much came by which call."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls = []

    def send(self, data):
        self.calls.append(("send", len(data)))
        return self.inner.send(data)

    def send_last(self, data):
        self.calls.append(("last", len(data)))
        return self.inner.send(data)


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_tls_is_told_what_is_the_last(lab, make_file, size):
    """The last bytes may wait for the end that follows; a full chunk can not be known to be the last."""
    channel, client = lab.connect()
    noting = NotingChannel(channel)
    file = make_file(b"x" * size)
    transfer = lab.transfers.download(file, noting, IMAGE)
    got, _reset = lab.drive(transfer, client)
    assert got == b"x" * size
    # What the socket did not take at once comes again, cut.
    last = [count for call, count in noting.calls if call == "last"]
    assert last[:1] == ([] if size == CHUNK else [size % CHUNK])


@pytest.mark.parametrize("more", [1, 5])
def test_growth_is_sent_when_it_is_there_in_time(lab, make_file, more):
    """Over TLS a file that is longer by now goes whole: the byte asked for beyond its end tells."""
    file = make_file(b"x" * 100)
    with open(f"/proc/self/fd/{file.fd}", "ab") as appended:
        appended.write(b"y" * more)
    channel, client = lab.connect()
    transfer = lab.transfers.download(file, NotingChannel(channel), IMAGE)
    assert lab.outcome(transfer) == 100 + more
    assert client.makefile("rb").read() == b"x" * 100 + b"y" * more


def test_deferred_chunks_are_read_ahead(lab):
    """A file that answers later is asked for the next chunk while one is being sent, never for two."""
    answers = [Deferred() for _ in range(3)]
    file = ScriptedFile([*answers, succeed(b"")])
    channel, client = lab.connect()
    transfer = lab.transfers.download(file, channel, IMAGE)
    assert len(file.answers) == 3
    answers[0].callback(b"one")
    assert client.recv(10) == b"one"
    assert len(file.answers) == 2
    answers[1].callback(b"two")
    answers[2].callback(b"three")
    lab.drive(transfer, client)
    assert lab.outcome(transfer) == 11


def test_coroutines(lab):
    """A coroutine is an answer like any other."""

    async def answer():
        return b"soon"

    channel, client = lab.connect()
    transfer = lab.transfers.download(ScriptedFile([answer()]), channel, IMAGE)
    assert lab.outcome(transfer) == 4
    assert client.makefile("rb").read() == b"soon"


def test_shrunk_file_is_reset(lab, make_file):
    """A file that became shorter cannot be taken for complete: the channel is reset."""
    file = make_file(b"x" * 4096)
    os.truncate(f"/proc/self/fd/{file.fd}", 1000)
    channel, client = lab.connect()
    transfer = lab.transfers.download(file, channel, IMAGE)
    lab.drive(transfer, client)
    assert isinstance(lab.outcome(transfer), SourceChanged)
    assert isinstance(file.reason, SourceChanged)


def test_shrunk_by_hand(lab):
    """The same for a file that is read: fewer bytes than it had."""
    channel, client = lab.connect()
    file = ScriptedFile([b"abc"], size=4)
    transfer = lab.transfers.download(file, channel, IMAGE)
    _got, was_reset = lab.drive(transfer, client)
    assert was_reset
    assert isinstance(lab.outcome(transfer), SourceChanged)
    assert len(file.closed) == 1


def test_growth_is_for_the_next(lab, make_file):
    """What is appended while it is sent is not part of this download."""
    file = make_file(b"x" * 100)
    with open(f"/proc/self/fd/{file.fd}", "ab") as more:
        more.write(b"y" * 100)
    channel, client = lab.connect()
    transfer = lab.transfers.download(file, channel, IMAGE)
    assert lab.outcome(transfer) == 100
    assert client.makefile("rb").read() == b"x" * 100


def test_fallback_before_any_byte_is_lost(lab, make_file):
    """A file system that refuses sendfile after a while: the rest goes by hand, nothing twice."""
    calls = []

    def sendfile(*args):
        calls.append(args)
        if len(calls) > 1:
            raise OSError(22, "Invalid argument")
        return os.sendfile(args[0], args[1], args[2], 1000)

    lab.transfers.kernel = Kernel(sendfile=sendfile)
    content = os.urandom(5000)
    channel, client = lab.connect()
    transfer = lab.transfers.download(make_file(content), channel, IMAGE)
    got, _ = lab.drive(transfer, client)
    assert got == content
    assert lab.outcome(transfer) == 5000
    assert len(calls) == 2


def test_cold_pages_are_fetched_in_a_thread(lab, make_file):
    """A unit that is not in memory is read by a disk thread first; sendfile waits for it."""
    jobs = []
    probes = []

    class Blocking:
        def run(self, function, *args, pool="disk"):
            jobs.append((function, args, pool, Deferred()))
            return jobs[-1][3]

    def preadv(fd, buffers, offset, flags):
        probes.append(offset)
        raise BlockingIOError

    content = b"c" * (BULK + 1)
    file = make_file(content)
    lab.transfers.blocking = Blocking()
    lab.transfers.kernel = Kernel(preadv=preadv)
    channel, client = lab.connect()
    transfer = lab.transfers.download(file, channel, IMAGE, None, 60.0)
    assert transfer.transferred == 0
    assert probes == [BULK]
    [(function, args, pool, waiting)] = jobs
    assert (function, args, pool) == (prefetch, (file.fd, 0, BULK + 1), "disk")
    function(*args)
    waiting.callback(None)
    got, _ = lab.drive(transfer, client)
    assert got == content
    assert lab.outcome(transfer) == len(content)


def test_small_files_are_not_probed(lab, make_file):
    """At the bound nobody asks for cold pages."""

    def preadv(*_args):
        raise AssertionError("probed")

    lab.transfers.kernel = Kernel(preadv=preadv)
    channel, client = lab.connect()
    transfer = lab.transfers.download(make_file(b"c" * BULK), channel, IMAGE)
    lab.drive(transfer, client)
    assert lab.outcome(transfer) == BULK


def test_read_error(lab):
    """EIO from the file is the storage's failure, and the peer is reset."""
    channel, client = lab.connect()
    file = ScriptedFile([b"abc", OSError(5, "Input/output error")], size=10)
    transfer = lab.transfers.download(file, channel, IMAGE)
    _, was_reset = lab.drive(transfer, client)
    error = lab.outcome(transfer)
    assert was_reset
    assert isinstance(error, StorageFailure)
    assert error.fields["errno"] == 5


def test_unit_is_shared(lab):
    """Alone a transfer moves 1 MiB a turn, by sendfile 4; many share 1 MiB, down to 256 KiB each."""
    transfers = Transfers(lab.reactor, lab.transfers.blocking)
    units, by_sendfile = [], []
    for active in (0, 1, 2, 4, 8, 100):
        transfers.active = active
        units.append(transfers.unit() >> 10)
        by_sendfile.append(transfers.sendfile_unit() >> 10)
    assert units == [1024, 1024, 512, 256, 256, 256]
    assert by_sendfile == [4096, 4096, 512, 256, 256, 256]
