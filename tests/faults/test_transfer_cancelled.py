"""Transfers that are cancelled, at each point at which one can be."""

import pytest
from transfer_rig import IMAGE, Bucket, downloading, error_of, receiving
from twisted.internet.defer import CancelledError, Deferred

from twisted_xfer.errors import Cancelled, ShuttingDown
from twisted_xfer.testing.pumps import ScriptedFile, ScriptedUpload


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
