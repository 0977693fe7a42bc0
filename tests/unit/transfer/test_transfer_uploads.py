"""Uploads: every byte, the quota to the byte, and the right end."""

import errno

import pytest
from fed_uploads import ASCII, IMAGE, feed
from twisted.internet.defer import Deferred, fail, succeed

from twisted_xfer.errors import (
    AlreadyExists,
    ConnectionLost,
    DigestMismatch,
    NoSpace,
    QuotaExceeded,
    StorageFailure,
    TooLarge,
    Truncated,
    Vetoed,
)
from twisted_xfer.interfaces import Expected, FileInfo, WantRead
from twisted_xfer.testing.pumps import ScriptedUpload
from twisted_xfer.transfer.choose import BULK


@pytest.mark.parametrize("size", [0, 1, 4096])
def test_small_file_in_one_turn(lab, size):
    """What is there already, its end included, is stored before the reactor is asked for anything."""
    channel, client = lab.connect()
    client.sendall(b"u" * size)
    client.close()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, IMAGE, None, 60.0)
    assert lab.outcome(transfer) == size
    assert upload.data == b"u" * size
    assert upload.ends == [("commit", None)]


def test_text(lab):
    """TYPE A: CRLF becomes LF, and a CR at the very end is not lost."""
    channel, client = lab.connect()
    client.sendall(b"a\r\nb\r\nc\r")
    client.close()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, ASCII)
    assert lab.outcome(transfer) == 8
    assert upload.data == b"a\nb\nc\r"
    assert upload.mode == "ascii"


@pytest.mark.parametrize("error", [QuotaExceeded(), TooLarge(limit=10)])
def test_exactly_at_the_limit(lab, error):
    """An upload that fills its room to the byte is whole."""
    channel, client = lab.connect()
    client.sendall(b"0123456789")
    client.close()
    upload = ScriptedUpload(limit=10, over=error)
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    assert lab.outcome(transfer) == 10
    assert upload.ends == [("commit", None)]


@pytest.mark.parametrize("error", [QuotaExceeded(), TooLarge(limit=10)])
def test_one_byte_past_the_limit(lab, error):
    """One byte more ends it, nothing past the limit is stored, and nothing is kept."""
    channel, client = lab.connect()
    client.sendall(b"0123456789X")
    upload = ScriptedUpload(limit=10, over=error)
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    assert lab.outcome(transfer) is error
    assert upload.data == b"0123456789"
    assert upload.ends == [("abort", error)]


def test_no_reading_while_a_write_is_pending(lab):
    """Back-pressure: the socket is left alone until the storage has answered."""
    answers = []

    def later():
        answers.append(Deferred())
        return answers[-1]

    channel, client = lab.connect()
    client.sendall(b"first")
    upload = ScriptedUpload(answer=later)
    transfer = lab.transfers.upload(upload, channel, IMAGE, None, 60.0)
    client.sendall(b"second")
    client.close()
    lab.reactor.turn()
    assert upload.data == b"first"
    assert not lab.reactor.readers
    answers[0].callback(None)
    lab.reactor.run_until(lambda: len(answers) == 2)
    assert upload.data == b"firstsecond"
    answers[1].callback(None)
    lab.reactor.run_until(lambda: transfer.result.called)
    assert lab.outcome(transfer) == 11


def test_answers_that_are_there_already(lab):
    """Deferreds that have fired cost no turn and do not recurse."""
    channel, client = lab.connect()
    upload = ScriptedUpload(answer=lambda: succeed(None))
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    feed(lab, transfer, client, b"x" * (1 << 20))
    assert lab.outcome(transfer) == 1 << 20


def test_write_failure(lab):
    """A write that fails later ends the upload; the part is kept for another day."""
    error = NoSpace()
    channel, client = lab.connect()
    client.sendall(b"abc")
    upload = ScriptedUpload(answer=lambda: fail(error))
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    assert lab.outcome(transfer) is error
    assert upload.ends == [("suspend", error)]


class EndsBadly:
    """A TLS-like channel whose data ends without close_notify."""

    secure = True
    peer = "127.0.0.1"

    def __init__(self, inner, chunks):
        self.inner = inner
        self.chunks = chunks

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def recv_into(self, buffer):
        if not self.chunks:
            raise Truncated(detail="no close_notify")
        if self.chunks[0] is WantRead:
            self.chunks.pop(0)
            raise WantRead
        chunk, self.chunks[0] = self.chunks[0][: len(buffer)], self.chunks[0][len(buffer) :]
        buffer[: len(chunk)] = chunk
        if not self.chunks[0]:
            self.chunks.pop(0)
        return len(chunk)


@pytest.mark.parametrize("expected", [None, Expected(), Expected(size=4)])
def test_truncated_is_suspended(lab, expected):
    """No close_notify and no matching size: the part is kept, and not published."""
    channel, _client = lab.connect()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, EndsBadly(channel, [b"abc"]), IMAGE, expected=expected)
    outcome = lab.outcome(transfer)
    assert isinstance(outcome, Truncated)
    assert outcome.fields["transferred"] == 3
    assert upload.ends == [("suspend", outcome)]


@pytest.mark.parametrize("limit", [3, 1 << 40])
def test_truncated_but_all_there(lab, limit):
    """The announced size is there: the missing close_notify does not matter."""
    channel, _client = lab.connect()
    upload = ScriptedUpload(limit=limit, over=QuotaExceeded())
    expected = Expected(size=3)
    transfer = lab.transfers.upload(upload, EndsBadly(channel, [b"abc"]), IMAGE, expected=expected)
    assert lab.outcome(transfer) == 3
    assert upload.ends == [("commit", expected)]


def test_secure_bytes_inside_need_no_readiness(lab):
    """What TLS has read already is asked for again in the next turn, though the socket is silent."""
    channel, _client = lab.connect()
    chunks = [b"x" * (2 << 20)]
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, EndsBadly(channel, chunks), IMAGE, None, 60.0, Expected(2 << 20))
    assert transfer.transferred == 1 << 20
    lab.reactor.run_until(lambda: transfer.result.called, turns=5)
    assert lab.outcome(transfer) == 2 << 20


def test_reset_is_suspended(lab):
    """A peer that resets has sent nothing whole."""
    channel, client = lab.connect()
    client.sendall(b"abc")
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, IMAGE, None, 60.0)
    client.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
    client.close()
    lab.reactor.run_until(lambda: transfer.result.called)
    outcome = lab.outcome(transfer)
    assert isinstance(outcome, ConnectionLost)
    assert upload.ends == [("suspend", outcome)]


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (Truncated(), ["commit"]),
        (DigestMismatch(), ["commit"]),
        (Vetoed(), ["commit", "abort"]),
        (AlreadyExists(), ["commit", "abort"]),
        (StorageFailure(), ["commit", "suspend"]),
        (OSError(errno.EIO, "I/O"), ["commit", "suspend"]),
    ],
)
def test_commit_fails(lab, error, ends):
    """The result is commit's own error, and the part is kept or dropped as that error says."""
    channel, client = lab.connect()
    client.close()
    upload = ScriptedUpload(commit_error=error)
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    outcome = lab.outcome(transfer)
    assert isinstance(outcome, StorageFailure) if isinstance(error, OSError) else outcome is error
    assert [name for name, _ in upload.ends] == ends


def test_commit_later(lab):
    """The result waits for a commit that answers later, the channel being closed by then."""
    waiting = Deferred()
    upload = ScriptedUpload()
    upload.commit = lambda expected=None: waiting
    channel, client = lab.connect()
    client.close()
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    assert channel.fileno() == -1
    assert not transfer.result.called
    transfer.cancel()
    waiting.callback(FileInfo(b"x", "file"))
    assert lab.outcome(transfer) == 0


def cut():
    """What a protocol says that knows better than the channel."""
    raise Truncated(detail="the control connection ended")


@pytest.mark.parametrize(
    "confirm", [cut, lambda: fail(Truncated(detail="a moment later"))], ids=["now", "later"]
)
@pytest.mark.parametrize("size", [0, 4096, 4 * BULK])
def test_an_end_that_is_not_confirmed(lab, confirm, size):
    """A clean end that the protocol does not confirm is a cut: suspended, never committed."""
    channel, client = lab.connect()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, IMAGE, confirm=confirm)
    feed(lab, transfer, client, b"k" * size)
    error = lab.outcome(transfer)
    assert isinstance(error, Truncated)
    assert upload.ends == [("suspend", error)]


def test_an_end_that_is_confirmed_later(lab):
    """Nothing is published before the answer."""
    answer = Deferred()
    channel, client = lab.connect()
    client.sendall(b"whole")
    client.close()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, IMAGE, confirm=lambda: answer)
    lab.reactor.turn()
    assert upload.ends == []
    answer.callback(None)
    lab.reactor.run_until(lambda: transfer.result.called)
    assert lab.outcome(transfer) == 5
    assert upload.ends == [("commit", None)]


def test_a_cancelled_upload_does_not_wait_to_be_confirmed(lab):
    """A client that was killed and comes back at once goes on with its part: nothing holds it meanwhile."""
    answer = Deferred()
    channel, client = lab.connect()
    client.sendall(b"cut")
    client.close()
    upload = ScriptedUpload()
    transfer = lab.transfers.upload(upload, channel, IMAGE, confirm=lambda: answer)
    lab.reactor.turn()
    reason = Truncated(detail="the control connection ended")
    transfer.cancel(reason)
    assert upload.ends == [("suspend", reason)]
    assert lab.outcome(transfer) is reason
