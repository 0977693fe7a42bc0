"""Transfers under faults: whatever goes wrong, one result, everything closed, nothing left behind."""

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from twisted_xfer.errors import Cancelled, ConnectionLost, ShuttingDown, TimedOut
from twisted_xfer.interfaces import TransferMode, WantRead, WantWrite
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.channels import SocketChannel
from twisted_xfer.testing.pumps import ManualReactor, ScriptedFile, ScriptedUpload
from twisted_xfer.transfer import Transfers

IMAGE = TransferMode.IMAGE
RESET = b"\1\0\0\0\0\0\0\0"


class Rig:
    """Transfers over one loopback connection."""

    def __init__(self):
        self.reactor = ManualReactor()
        self.transfers = Transfers(self.reactor, InlineBlocking())
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.client = socket.create_connection(server.getsockname())
            sock, _ = server.accept()
        self.channel = SocketChannel(sock, "127.0.0.1")

    def reset(self):
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.client.close()

    def until_done(self, transfer):
        self.reactor.run_until(lambda: transfer.result.called)


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


def error_of(transfer):
    """What the result failed with."""
    seen = []
    transfer.result.addErrback(lambda failure: seen.append(failure.value))
    assert len(seen) == 1
    return seen[0]


class Bucket:
    """A limiter that gives what it is told to."""

    def __init__(self, *grants, delay=2.0):
        self.grants = list(grants)
        self.wait = delay
        self.returned = 0

    def take(self, wanted):
        return min(wanted, self.grants.pop(0)) if self.grants else wanted

    def give_back(self, unused):
        self.returned += unused

    def delay(self):
        return self.wait


# --- cancel, at each point at which a transfer can be -----------------------------------------


def downloading(rig):
    file = ScriptedFile([b"x" * (8 << 20)])
    return rig.transfers.download(file, rig.channel, IMAGE, None, 60.0), file, None


def reading_the_file(rig):
    answer = Deferred()
    file = ScriptedFile([answer])
    return rig.transfers.download(file, rig.channel, IMAGE, None, 60.0), file, answer


def paused(rig):
    file = ScriptedFile([b"x" * 10])
    return rig.transfers.download(file, rig.channel, IMAGE, Bucket(4, 0), 60.0), file, None


@pytest.mark.parametrize("point", [downloading, reading_the_file, paused])
@pytest.mark.parametrize("reason", [None, ShuttingDown()])
def test_cancelled_download(rig, point, reason):
    """The file is closed with the reason, once no read is under way, and the peer is reset."""
    transfer, file, answer = point(rig)
    transfer.cancel(reason)
    transfer.cancel()
    if answer is not None:
        assert not transfer.result.called
        assert not file.closed
        answer.callback(b"too late")
    error = error_of(transfer)
    assert error is reason or isinstance(error, Cancelled)
    assert file.closed == [error]
    with pytest.raises(ConnectionResetError):
        while rig.client.recv(1 << 20):
            pass


def receiving(rig):
    upload = ScriptedUpload()
    return rig.transfers.upload(upload, rig.channel, IMAGE, None, 60.0), upload, None


def writing(rig):
    answer = Deferred()
    upload = ScriptedUpload(answer=lambda: answer)
    rig.client.sendall(b"abc")
    return rig.transfers.upload(upload, rig.channel, IMAGE, None, 60.0), upload, answer


def held_back(rig):
    upload = ScriptedUpload()
    return rig.transfers.upload(upload, rig.channel, IMAGE, Bucket(0), 60.0), upload, None


@pytest.mark.parametrize("point", [receiving, writing, held_back])
def test_cancelled_upload(rig, point):
    """The part is kept, once no write is under way."""
    transfer, upload, answer = point(rig)
    transfer.cancel()
    if answer is not None:
        assert not transfer.result.called
        assert not upload.ends
        answer.callback(None)
    error = error_of(transfer)
    assert isinstance(error, Cancelled)
    assert upload.ends == [("suspend", error)]


@pytest.mark.parametrize("point", [downloading, reading_the_file])
def test_cancelled_result(rig, point):
    """Cancelling the Deferred itself ends the transfer too, and fires nothing twice."""
    transfer, file, answer = point(rig)
    transfer.result.cancel()
    error = error_of(transfer)
    assert isinstance(error, Cancelled | CancelledError)
    if answer is not None:
        answer.errback(OSError("late and bad"))
    assert len(file.closed) == 1


def test_cancel_after_the_end(rig):
    """Nothing happens any more."""
    transfer = rig.transfers.download(ScriptedFile([b"x"]), rig.channel, IMAGE)
    transfer.cancel()
    seen = []
    transfer.result.addCallback(seen.append)
    assert seen == [1]


# --- the peer goes away -------------------------------------------------------------------------


def test_reset_while_sending(rig):
    """A reset with data still to send."""
    file = ScriptedFile([b"x" * (8 << 20)])
    transfer = rig.transfers.download(file, rig.channel, IMAGE, None, 60.0)
    rig.reset()
    rig.until_done(transfer)
    error = error_of(transfer)
    assert isinstance(error, ConnectionLost)
    assert error.fields["transferred"] == transfer.transferred
    assert file.closed == [error]


def test_reset_before_the_first_byte(rig):
    """A peer that was gone before the transfer began."""
    rig.reset()
    transfer = rig.transfers.download(ScriptedFile([b"x"]), rig.channel, IMAGE)
    assert isinstance(error_of(transfer), ConnectionLost)


def test_reset_after_the_last_byte(rig):
    """A reset that came before the end was sent makes a complete download a lost one."""
    answer = Deferred()
    transfer = rig.transfers.download(ScriptedFile([b"all", answer]), rig.channel, IMAGE)
    rig.reset()
    answer.callback(b"")
    assert isinstance(error_of(transfer), ConnectionLost)


def test_hang_up_reported_by_the_reactor(rig):
    """Epoll reports hang-up and error as connectionLost()."""
    transfer, file, _ = downloading(rig)
    transfer.connectionLost(None)
    assert isinstance(error_of(transfer), ConnectionLost)
    assert len(file.closed) == 1


def test_unread_bytes_do_not_reset_a_good_download(rig):
    """What the peer sent unasked is read away, so that the end arrives as an end."""
    rig.client.sendall(b"unasked" * 1000)
    transfer = rig.transfers.download(ScriptedFile([b"all"]), rig.channel, IMAGE)
    assert rig.client.makefile("rb").read() == b"all"
    assert transfer.result.called


# --- stall ---------------------------------------------------------------------------------------


def test_stall_to_the_second(rig):
    """No progress for as long as allowed: nothing before, the end then; one delayed call only."""
    transfer, upload, _ = receiving(rig)
    assert len(rig.reactor.getDelayedCalls()) == 1
    rig.reactor.advance(59.75)
    rig.client.sendall(b"a sign of life")
    rig.reactor.turn()
    rig.reactor.advance(59.75)
    assert len(rig.reactor.getDelayedCalls()) == 1
    assert not transfer.result.called
    rig.reactor.advance(0.25)
    error = error_of(transfer)
    assert isinstance(error, TimedOut)
    assert upload.ends == [("suspend", error)]


def test_no_stall_timer(rig):
    """Zero is never."""
    transfer = rig.transfers.upload(ScriptedUpload(), rig.channel, IMAGE, None, 0)
    assert rig.reactor.getDelayedCalls() == []
    transfer.cancel()
    error_of(transfer)


def test_our_own_limit_is_no_stall(rig):
    """A pause by the limiter that is longer than the stall deadline ends nothing."""
    rig.client.sendall(b"abcdef")
    rig.client.close()
    bucket = Bucket(3, 0, delay=100.0)
    upload = ScriptedUpload()
    transfer = rig.transfers.upload(upload, rig.channel, IMAGE, bucket, 60.0)
    assert upload.data == b"abc"
    rig.reactor.advance(60.0)
    assert not transfer.result.called
    rig.reactor.advance(40.0)
    assert transfer.result.called
    assert upload.data == b"abcdef"


# --- limiter ---------------------------------------------------------------------------------------


def test_limiter_paces_a_download(rig):
    """Only what was granted moves; an empty bucket pauses for as long as it says."""
    transfer = rig.transfers.download(ScriptedFile([b"abcdef"]), rig.channel, IMAGE, Bucket(2, 0, 3, 0), 60.0)
    assert rig.client.recv(100) == b"ab"
    assert not rig.reactor.writers
    rig.reactor.advance(2.0)
    assert rig.client.recv(100) == b"cde"
    rig.reactor.advance(2.0)
    assert rig.client.recv(100) == b"f"
    assert transfer.result.called


def test_unused_grant_is_given_back(rig):
    """What was taken and did not move is not counted as moved."""
    rig.client.sendall(b"abc")
    bucket = Bucket(1000)
    transfer = rig.transfers.upload(ScriptedUpload(limit=10_000), rig.channel, IMAGE, bucket)
    rig.client.close()
    rig.until_done(transfer)
    # 1000 for three bytes, then what was asked for in vain.
    assert bucket.returned >= 997


def test_limiter_without_delay_does_not_spin(rig):
    """A limiter that gives nothing and names no time is asked again after a moment, not at once."""
    transfer = rig.transfers.download(ScriptedFile([b"a"]), rig.channel, IMAGE, Bucket(0, delay=0.0))
    [call] = rig.reactor.getDelayedCalls()
    assert call.getTime() > rig.reactor.seconds()
    rig.reactor.advance(1)
    assert transfer.result.called


# --- strange files and uploads -----------------------------------------------------------------------


def test_close_fails(rig):
    """A file that cannot be closed does not change how the transfer ended."""
    from twisted.logger import globalLogPublisher

    seen = []
    globalLogPublisher.addObserver(seen.append)
    try:
        file = ScriptedFile([b"x"])
        file.close = lambda reason=None: (_ for _ in ()).throw(OSError("close"))
        transfer = rig.transfers.download(file, rig.channel, IMAGE)
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert transfer.result.called
    assert any("log_failure" in event for event in seen)


def test_suspend_fails(rig):
    """The reason of the end is told, not the failure to keep the part."""
    transfer, upload, _ = receiving(rig)
    upload.suspend = lambda reason=None: (_ for _ in ()).throw(OSError("suspend"))
    transfer.cancel()
    assert isinstance(error_of(transfer), Cancelled)


def test_read_raises_nonsense(rig):
    """A third party's bug ends its transfer, not the reactor."""
    transfer = rig.transfers.download(ScriptedFile([ZeroDivisionError()]), rig.channel, IMAGE)
    assert isinstance(error_of(transfer), ZeroDivisionError)


# --- short writes and retries, any order --------------------------------------------------------------


class Moody:
    """A channel that takes some, or says not now: then it insists on the same bytes again."""

    secure = True
    peer = "127.0.0.1"

    def __init__(self, moods, descriptor):
        self.moods = list(moods)
        self.descriptor = descriptor
        self.sent = bytearray()
        self.refused = None
        self.ended = []

    def fileno(self):
        return self.descriptor

    def send(self, data):
        data = bytes(data)
        if self.refused is not None:
            assert data == self.refused, "a retry with other bytes"
        self.refused = None
        mood = self.moods.pop(0) if self.moods else len(data)
        if isinstance(mood, int):
            count = max(1, min(mood, len(data)))
            self.sent += data[:count]
            return count
        self.refused = data
        raise mood

    def shutdown(self):
        mood = self.moods.pop(0) if self.moods else 0
        if not isinstance(mood, int):
            raise mood
        return True

    def close(self):
        self.ended.append("close")

    def abort(self):
        self.ended.append("abort")


MOODS = st.lists(st.one_of(st.integers(1, 9), st.sampled_from([WantRead(), WantWrite()])), max_size=30)


@given(
    MOODS, st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.lists(st.integers(0, 7), max_size=6)
)
def test_any_order_of_short_writes(moods, chunks, grants):
    """Whatever the channel does and the limiter grants: all bytes, once, in order, then the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Readable and writable at once, so that each wait is over in the next turn.
        theirs.send(b"readable")
        reactor = ManualReactor()
        transfers = Transfers(reactor, InlineBlocking())
        channel = Moody(moods, ours.fileno())
        transfer = transfers.download(ScriptedFile(list(chunks)), channel, IMAGE, Bucket(*grants), 60.0)
        for _ in range(200):
            if transfer.result.called:
                break
            reactor.turn()
            reactor.advance(2.0)
        assert channel.sent == b"".join(chunks)
        assert channel.ended == ["close"]
        assert transfer.transferred == len(channel.sent)
        assert reactor.leftovers() == []


def test_units_are_fair(rig):
    """One unit a turn: of two downloads none gets a second unit before the other had its own."""

    class Greedy(Moody):
        def __init__(self, name, order, descriptor):
            super().__init__([], descriptor)
            self.name, self.order = name, order

        def send(self, data):
            self.order.append((self.name, len(data)))
            return len(data)

    order = []
    pairs = [socket.socketpair() for _ in range(2)]
    transfers = [
        rig.transfers.download(
            ScriptedFile([b"x" * (256 * 1024)] * 8), Greedy(name, order, pair[0].fileno()), IMAGE
        )
        for name, pair in enumerate(pairs)
    ]
    del order[:]
    rig.reactor.turn()
    moved = [sum(size for who, size in order if who == name) for name in (0, 1)]
    assert moved == [512 * 1024, 512 * 1024]
    rig.reactor.run_until(lambda: all(transfer.result.called for transfer in transfers))
    for pair in pairs:
        pair[0].close()
        pair[1].close()
    rig.channel.close()


def test_commit_answer_is_awaited_once(rig):
    """A late commit that fails with an error of the system ends as a storage error, suspended."""
    waiting = Deferred()
    upload = ScriptedUpload()
    upload.commit = lambda expected=None: waiting
    rig.client.close()
    transfer = rig.transfers.upload(upload, rig.channel, IMAGE)
    waiting.errback(OSError(28, "No space left"))
    error = error_of(transfer)
    assert error.code == "no_space"
    assert upload.ends == [("suspend", error)]
