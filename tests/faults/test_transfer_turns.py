"""What a transfer does with its turns: limiters, short writes in any order, and fairness."""

import socket

from hypothesis import given
from hypothesis import strategies as st
from transfer_rig import IMAGE, Bucket

from twisted_xfer.interfaces import WantRead, WantWrite
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.testing.pumps import ManualReactor, ScriptedFile, ScriptedUpload
from twisted_xfer.transfer import Transfers

# --- limiter ---------------------------------------------------------------------------------------


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
