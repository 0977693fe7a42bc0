"""Frames, links and books under any bytes and any order."""

import itertools
import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError, Unsupported, WireError
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    HEADER,
    MAX_CONTROL,
    MAX_EARLY,
    MAX_INLINE,
    MAX_STREAM,
    PREAMBLE,
    Control,
    Data,
    FrameReader,
    FrameType,
    Inline,
    data_header,
    encode_frame,
    numbered,
)
from twisted_xfer.protocols.xfer.wire.link import Link, check_select, negotiate
from twisted_xfer.protocols.xfer.wire.paths import MAX_PATH, is_sendable, printable, split_path
from twisted_xfer.protocols.xfer.wire.peer import Receiver, Sender
from twisted_xfer.protocols.xfer.wire.states import ENTRY, HANDSHAKE, Act, EntryState, Phase, Step

DIGEST = bytes(32)
NONCE = bytes(16)
FUZZ = settings(derandomize=True, deadline=None, max_examples=200)


def ready_reader(max_data=4096):
    made = FrameReader(MAX_CONTROL, max_data)
    made.raw = True
    return made


def joined(reader, chunks):
    """Events with neighbouring pieces of one stream's DATA put together; an error is the last."""
    events = []
    try:
        for chunk in chunks:
            reader.receive_data(chunk)
            while (event := reader.next_frame()) is not None:
                last = events[-1] if events else None
                if isinstance(event, Data) and isinstance(last, Data) and last.stream == event.stream:
                    event = Data(event.stream, events.pop().data + event.data)
                events.append(event)
    except RemoteProtocolError as error:
        events.append(error.detail)
    return events


@FUZZ
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_cut_anywhere(raw, cuts):
    """Arbitrary bytes give the same events however they are cut, or the one error."""
    points = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    chunks = [raw[a:b] for a, b in itertools.pairwise(points)]
    assert joined(ready_reader(), chunks) == joined(ready_reader(), [raw])


@FUZZ
@given(
    st.lists(
        st.tuples(st.sampled_from([0x20, 0x25, 0x10, 0x30, 0x7F]), st.integers(0, 3), st.binary(max_size=60)),
        max_size=6,
    )
)
def test_frames_three_ways(rows):
    """Well-formed headers with any payload: whole, byte by byte and with trailing bytes are the same."""
    raw = b"".join(HEADER.pack(kind, 0, 0, stream, len(data)) + data for kind, stream, data in rows)
    whole = joined(ready_reader(), [raw])
    assert joined(ready_reader(), [raw[i : i + 1] for i in range(len(raw))]) == whole
    if not whole or not isinstance(whole[-1], str):
        trailed = joined(ready_reader(), [raw + m.Ping().encode()])
        assert trailed == [*whole, Control(FrameType.PING, 0, b"{}")]


@FUZZ
@given(
    st.sampled_from(sorted(m.MESSAGES)),
    st.dictionaries(
        st.sampled_from(
            sorted({name for kind in m.MESSAGES.values() for name in dir(kind) if name[0] != "_"})
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
            ),
            max_leaves=5,
        ),
        max_size=6,
    ),
)
def test_any_json_is_a_message_or_the_error(kind, given_fields):
    """Any object gives a value that can be written again, or RemoteProtocolError: nothing else."""
    payload = json.dumps(given_fields).encode()
    try:
        message = m.read_message(Control(kind, 0, payload))
    except RemoteProtocolError:
        return
    frame = ready_reader()
    frame.receive_data(message.encode())
    assert m.read_message(frame.next_frame()) == message


@pytest.mark.parametrize(
    ("kind", "limit", "early"),
    [
        (FrameType.ENTRY, MAX_CONTROL, False),
        (FrameType.AUTH, MAX_EARLY, True),
        (FrameType.INLINE, MAX_INLINE, False),
        (FrameType.DATA, 4096, False),
        (0x7F, MAX_CONTROL, False),
    ],
)
def test_length_at_and_past_the_limit(kind, limit, early):
    """The longest frame of each kind is taken; one byte more is refused by its header alone."""

    def fresh():
        return FrameReader() if early else ready_reader()

    at = fresh()
    at.receive_data(HEADER.pack(kind, 0, 0, 1 if not early else 0, limit) + b"x" * limit)
    at.next_frame()
    assert at.at_boundary
    past = fresh()
    past.receive_data(HEADER.pack(kind, 0, 0, 1 if not early else 0, limit + 1))
    with pytest.raises(RemoteProtocolError):
        past.next_frame()


def test_our_own_frames_are_bounded():
    """We do not send what we would not take."""
    assert encode_frame(FrameType.ERROR, MAX_STREAM, b"x" * MAX_CONTROL)
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameType.ERROR, 0, b"x" * (MAX_CONTROL + 1))
    with pytest.raises(LocalProtocolError):
        encode_frame(FrameType.ERROR, MAX_STREAM + 1, b"")
    with pytest.raises(LocalProtocolError):
        numbered(MAX_STREAM + 1)


def test_data_is_not_collected():
    """A DATA frame is passed on as it comes: the reader keeps none of it."""
    reader = ready_reader()
    reader.receive_data(data_header(1, 4096) + b"a" * 10)
    assert reader.next_frame() == Data(1, b"a" * 10)
    assert (reader.pending, reader.at_boundary) == (0, False)
    reader.receive_data(b"b" * 4086 + m.Ping().encode())
    assert reader.next_frame() == Data(1, b"b" * 4086)
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")


@pytest.mark.parametrize("path", [b"a" * 255, b"/".join([b"a"] * 64), b"/".join([b"a" * 255] * 16), b"\xff"])
def test_paths_at_the_limit(path):
    """The longest name, the deepest and the longest path are legal."""
    assert b"/".join(split_path(path)) == path
    assert is_sendable(path)
    assert len(path) <= MAX_PATH


@pytest.mark.parametrize(
    "path",
    [
        b"a" * 256,
        b"/".join([b"a"] * 65),
        b"/".join([b"a" * 255] * 16) + b"/" + b"b",
        b"\x7f",
        b"..",
        b"",
        b"/",
    ],
)
def test_paths_past_the_limit(path):
    """One more is not."""
    assert not is_sendable(path)


def test_names_are_escaped_for_people():
    """What a terminal would obey is shown, not obeyed."""
    assert printable(b"a\x1b[2J\xff\xc2\x9b") == "a\\x1b[2J\\xff\\x9b"


# --- the handshake ---------------------------------------------------------------------------------


def shake(caller, listener, message, *, to_listener):
    source, sink = (caller, listener) if to_listener else (listener, caller)
    sink.receive_data(source.encode(message))
    return sink.next_event()


def ready_pair():
    caller, listener = Link("caller"), Link("listener")
    shake(caller, listener, m.Hello(nonce=NONCE, role="send"), to_listener=True)
    hello = m.Hello(nonce=NONCE)
    shake(caller, listener, hello, to_listener=False)
    select = m.Select(version=1, hash="blake3", compression="none", max_data=4096, window=8)
    assert shake(caller, listener, select, to_listener=False) == select
    shake(caller, listener, m.Auth(mechanism="PLAIN", hello_digest=DIGEST), to_listener=True)
    shake(caller, listener, m.Authenticated(hello_digest=DIGEST), to_listener=False)
    return caller, listener


def test_handshake_ends_ready_on_both_sides():
    """Both links walk one table, saw the same HELLOs, and then take content."""
    caller, listener = ready_pair()
    assert caller.phase is listener.phase is Phase.READY
    assert caller.hellos == listener.hellos
    listener.receive_data(data_header(1, 1) + b"x")
    assert listener.next_event() == Data(1, b"x")


def test_a_step_of_the_other_side_is_refused():
    """A caller cannot say what only a listener may."""
    listener = Link("listener")
    caller = Link("caller")
    listener.receive_data(caller.encode(m.Hello(nonce=NONCE)))
    listener.next_event()
    listener.encode(m.Hello(nonce=NONCE))
    listener.receive_data(m.Select(version=1, hash="x", compression="none", max_data=4096, window=1).encode())
    with pytest.raises(RemoteProtocolError):
        listener.next_event()


def test_every_pair_of_phase_and_step():
    """What the handshake table does not hold is refused."""
    for phase in Phase:
        for step in Step:
            if step in HANDSHAKE.legal(phase):
                assert HANDSHAKE.after(phase, step) in Phase
            else:
                with pytest.raises(RemoteProtocolError):
                    HANDSHAKE.after(phase, step)


def test_messages_before_authentication_are_refused():
    """Nothing but the handshake may come before it is over."""
    listener = Link("listener")
    listener.receive_data(PREAMBLE + m.Entry(path=b"a", stream=1).encode())
    with pytest.raises(RemoteProtocolError):
        listener.next_event()


@pytest.mark.parametrize("at", range(8))
def test_a_wrong_preamble_is_noticed_at_its_first_wrong_byte(at):
    """Another protocol is refused as early as can be."""
    link = Link("listener")
    wrong = bytearray(PREAMBLE)
    wrong[at] ^= 1
    for byte in wrong[:at]:
        link.receive_data(bytes([byte]))
    with pytest.raises(RemoteProtocolError):
        link.receive_data(bytes([wrong[at]]))


def test_negotiation():
    """The listener's preference decides; limits are the smaller ones; nothing in common is an error."""
    caller = m.Hello(nonce=NONCE, hashes=("sha256", "blake3"), max_data=8192, window=5)
    listener = m.Hello(nonce=NONCE, hashes=("blake3", "sha256"), max_data=4096, window=2**20)
    select = negotiate(caller, listener)
    assert (select.hash, select.max_data, select.window, select.version) == ("blake3", 4096, 5, 1)
    check_select(select, caller, listener)
    with pytest.raises(Unsupported):
        negotiate(caller, attrs.evolve(listener, hashes=("md5",)))
    for change in (
        {"hash": "md5"},
        {"window": 6},
        {"max_data": 8192},
        {"compression": "zstd"},
        {"version": 2},
    ):
        with pytest.raises(RemoteProtocolError):
            check_select(attrs.evolve(select, **change), caller, listener)


# --- the books ---------------------------------------------------------------------------------------


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
    assert not sender.may_offer
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


def test_inner_pieces_of_a_frame_may_pass():
    """Only bytes that are content whole, with nothing before them, and never a frame's last."""
    reader = ready_reader()
    assert reader.pass_content(b"x") == 0
    reader.receive_data(data_header(7, 10) + b"a")
    assert reader.pass_content(b"b") == 0
    assert reader.next_frame() == Data(7, b"a")
    assert reader.pass_content(b"b" * 8) == 7
    assert reader.pass_content(b"c") == 0
    reader.receive_data(b"c" + m.Ping().encode())
    assert reader.next_frame() == Data(7, b"c")
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")
    early = Link("listener")
    assert early.pass_content(b"x") == 0
