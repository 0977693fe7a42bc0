"""Transfers under faults: whatever goes wrong, one result, everything closed, nothing left."""

from transfer_rig import IMAGE, downloading, error_of, receiving
from twisted.internet.defer import Deferred

from twisted_xfer.errors import Cancelled, ConnectionLost, TimedOut
from twisted_xfer.testing.pumps import ScriptedFile, ScriptedUpload

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
