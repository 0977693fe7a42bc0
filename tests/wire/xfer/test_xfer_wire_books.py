"""The books of a sender and a receiver under any order of events."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError, WireError
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import Data, Inline
from twisted_xfer.protocols.xfer.wire.peer import Receiver, Sender
from twisted_xfer.protocols.xfer.wire.states import ENTRY, Act, EntryState

DIGEST = bytes(32)
FUZZ = settings(derandomize=True, deadline=None, max_examples=200)


def test_every_pair_of_entry_state_and_act():
    """What the entry table does not hold is refused."""
    for state in EntryState:
        for act in Act:
            if act in ENTRY.legal(state):
                assert ENTRY.after(state, act) in EntryState
            else:
                with pytest.raises(RemoteProtocolError):
                    ENTRY.after(state, act)


def offered(receiver, number=1, **fields):
    receiver.received(m.Entry(stream=number, path=b"f", **fields))


def test_a_file_from_offer_to_done():
    """The books of both sides agree from the offer to the end."""
    sender, receiver = Sender(2), Receiver(2)
    entry = m.Entry(stream=sender.next_number(), path=b"f", size=5)
    sender.offer(entry)
    receiver.received(entry)
    take = m.Take(stream=1, offset=2, prefix_digest=DIGEST)
    receiver.answer(take)
    assert sender.received(take).position == 2
    for event in (
        Data(1, b"abc"),
        m.Segment(stream=1, offset=5, digest=DIGEST),
        m.End(stream=1, size=5, digest=DIGEST),
    ):
        sender.sent(event)
        receiver.received(event)
    sender.end()
    receiver.received(m.EndOfOffer())
    done = m.Done(stream=1, digest=DIGEST)
    receiver.answer(done)
    sender.received(done)
    assert sender.finished
    assert receiver.finished


def test_window_at_and_past():
    """As many entries as the window may be open, not one more."""
    receiver, sender = Receiver(2), Sender(2)
    offered(receiver, 1)
    offered(receiver, 2)
    with pytest.raises(RemoteProtocolError):
        offered(receiver, 3)
    sender.offer(m.Entry(stream=1, path=b"a"))
    sender.offer(m.Entry(stream=2, path=b"a"))
    assert sender.room == 0
    with pytest.raises(LocalProtocolError):
        sender.offer(m.Entry(stream=3, path=b"a"))


@pytest.mark.parametrize(
    "entry",
    [
        m.Entry(stream=0, path=b"a"),
        m.Entry(stream=1, path=b"a", type="dir", size=0),
        m.Entry(stream=1, path=b"a", type="symlink"),
        m.Entry(stream=1, path=b"a", target=b"b"),
        m.Entry(stream=1, path=b"a", inline=True, size=1),
        m.Entry(stream=1, path=b"a", inline=True, digest=DIGEST),
        m.Entry(stream=1, path=b"a", type="dir", inline=True, digest=DIGEST),
    ],
)
def test_contradictory_offers_are_refused(entry):
    """Fields that cannot be true together are an error."""
    with pytest.raises(RemoteProtocolError):
        Receiver(1).received(entry)


@pytest.mark.parametrize(
    "event",
    [
        Data(1, b"abcdef"),
        Data(2, b"x"),
        Inline(1, b"abcde"),
        m.Segment(stream=1, offset=1, digest=DIGEST),
        m.End(stream=1, size=5, digest=DIGEST),
        m.Entry(stream=1, path=b"again"),
        m.Take(stream=1),
        m.Done(stream=1),
    ],
)
def test_a_receiver_refuses(event):
    """Too much, another stream, the wrong place, the wrong role: none changes the books."""
    receiver = Receiver(4)
    offered(receiver, size=5)
    receiver.answer(m.Take(stream=1))
    before = attrs.evolve(receiver.open[1])
    with pytest.raises(RemoteProtocolError):
        receiver.received(event)
    assert receiver.open[1] == before


def test_content_of_two_entries_may_not_mix():
    """One stream's DATA is contiguous."""
    receiver = Receiver(4)
    for number in (1, 2):
        offered(receiver, number, size=5)
        receiver.answer(m.Take(stream=number))
    receiver.received(Data(1, b"ab"))
    with pytest.raises(RemoteProtocolError):
        receiver.received(Data(2, b"ab"))


def test_a_failed_entry_swallows_what_is_under_way():
    """After the receiver's ERROR the sender's bytes do no harm until its ABORT."""
    receiver = Receiver(1)
    offered(receiver, size=5)
    receiver.answer(m.Take(stream=1))
    receiver.received(Data(1, b"ab"))
    receiver.answer(m.Error(stream=1, code=401, name="no_space"))
    receiver.received(Data(1, b"cd"))
    receiver.received(m.Segment(stream=1, offset=9, digest=DIGEST))
    receiver.received(m.Abort(stream=1))
    assert not receiver.open


@pytest.mark.parametrize(
    "answer",
    [
        m.Take(stream=2),
        m.Take(stream=1, offset=6, prefix_digest=DIGEST),
        m.Take(stream=1, offset=5),
        m.Done(stream=1),
        m.Entry(stream=1, path=b"x"),
    ],
)
def test_a_sender_refuses(answer):
    """Unknown numbers, offsets beyond the end or without a proof, success of what was not sent."""
    sender = Sender(4)
    sender.offer(m.Entry(stream=1, path=b"f", size=5))
    with pytest.raises(RemoteProtocolError):
        sender.received(answer)


def test_a_late_answer_to_what_was_given_up_is_ignored():
    """ABORT and an answer may cross."""
    sender = Sender(4)
    sender.offer(m.Entry(stream=1, path=b"f", size=5))
    sender.sent(m.Abort(stream=1))
    assert sender.received(m.Take(stream=1)) is None


@FUZZ
@given(
    st.lists(
        st.sampled_from(
            [
                m.Entry(stream=1, path=b"f", size=3),
                m.Entry(stream=2, path=b"g", size=2, inline=True, digest=DIGEST),
                Inline(2, b"ab"),
                Data(1, b"ab"),
                Data(2, b"a"),
                m.Segment(stream=1, offset=2, digest=DIGEST),
                m.Restart(stream=1),
                m.End(stream=1, size=2, digest=DIGEST),
                m.Abort(stream=1),
                m.EndOfOffer(),
                "take",
                "fail",
                "done",
            ]
        ),
        max_size=12,
    )
)
def test_any_order_of_events(events):
    """Any order is taken or refused by our own errors, and never counts more than was announced."""
    receiver = Receiver(2)
    for event in events:
        try:
            if isinstance(event, str):
                receiver.answer(
                    {
                        "take": m.Take(stream=1),
                        "fail": m.Error(stream=1, code=400, name="io"),
                        "done": m.Done(stream=1),
                    }[event]
                )
            else:
                receiver.received(event)
        except WireError:
            pass
        for one in receiver.open.values():
            assert one.state is EntryState.FAILED or one.position <= (one.entry.size or 0)
