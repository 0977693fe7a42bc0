"""The rules of the xfer wire one by one: what a field may be, what may be said of an entry, whose content comes."""

import attrs
import pytest

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.xfer.wire import checks
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    HEADER,
    MAX_CONTROL,
    MAX_INLINE,
    MAX_STREAM,
    PREAMBLE,
    Control,
    Data,
    FrameReader,
    FrameType,
    Inline,
    Packed,
    data_header,
    numbered,
)
from twisted_xfer.protocols.xfer.wire.link import Link
from twisted_xfer.protocols.xfer.wire.paths import MAX_PATH, is_sendable
from twisted_xfer.protocols.xfer.wire.peer import Receiver, Sender

DIGEST = bytes(32)
NONCE = bytes(16)


def control(json):
    """A PING with this payload: what it has no field for says nothing, so any object is one."""
    return Control(FrameType.PING, 0, json)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (checks.integer(1, 9), (1, 9), (0, 10, True, 1.0, "1", None)),
        (checks.text(3, 1), ("a", "abc", "ü€😀"), ("", "abcd", 5, None, b"a", "\ud800")),
        (checks.word("a", "b"), ("a", "b"), ("c", "A", None, 1, ["a"])),
        (checks.FLAG, (True, False), (1, 0, "true", None)),
        (checks.hexed(2, 1), ("00", "abcd"), ("", "0", "000", "0g", "AB", "000000", 0, None)),
        (checks.several(checks.integer(), 2, 1), ([1], [1, 2]), ([], [1, 2, 3], ["a"], 1, None, {"a": 1})),
        (checks.maybe(checks.integer()), (None, 5), ("5", True)),
        (checks.path(), (b"a/b",), (b"", b"..", b"a//b", b"a" * (MAX_PATH + 1))),
        (checks.path(root=True), (b"", b"a"), (b".",)),
        (checks.BYTES, (b"", b"x" * MAX_PATH), (b"x" * (MAX_PATH + 1),)),
    ],
)
def test_what_a_field_may_be(kind, good, bad):
    """At its limits and one past them, and nothing of another type that Python takes for the same."""
    for value in good:
        kind.read(value)
    for value in bad:
        with pytest.raises(RemoteProtocolError):
            kind.read(value)


@pytest.mark.parametrize("value", [b"plain", "ü".encode(), b"\xff\x00", b""])
def test_bytes_come_back_as_they_went(value):
    """As text where they are UTF-8, as base64 elsewhere."""
    assert checks.get_binary(m.decode_json(f"{{{checks.put_binary('f', value)}}}".encode()), "f") == value


@pytest.mark.parametrize(
    "given",
    [
        {"f": "a", "f_b64": "YQ=="},
        {"f_b64": 5},
        {"f_b64": "YQ"},
        {"f_b64": "Y Q=="},
        {"f_b64": "ü"},
        {"f": 5},
        {"f": ["a"]},
        {"f": "\ud800"},
    ],
)
def test_bytes_that_are_none(given):
    """Two forms at once, another type, or not what the form claims."""
    with pytest.raises(RemoteProtocolError):
        checks.get_binary(given, "f")


def test_a_control_frame_at_the_limit_and_past_it():
    """Whoever made the frame: a message is read from no more than a control frame may hold."""
    filled = b'{"x":"' + b"y" * (MAX_CONTROL - 8) + b'"}'
    assert len(filled) == MAX_CONTROL
    assert m.read_message(control(filled)) == m.Ping()
    with pytest.raises(RemoteProtocolError) as caught:
        m.read_message(control(filled + b" "))
    assert caught.value.detail == "frame too long"


@pytest.mark.parametrize(("number", "good"), [(MAX_STREAM, True), (MAX_STREAM + 1, False)])
def test_the_highest_number_of_an_entry(number, good):
    """Is written and read; one more is neither."""
    reader = FrameReader(MAX_CONTROL, 4096)
    reader.receive_data(HEADER.pack(FrameType.ERROR, 0, 0, number, 2) + b"{}")
    if good:
        assert numbered(number) == number
        assert reader.next_frame() == Control(FrameType.ERROR, number, b"{}")
    else:
        with pytest.raises(LocalProtocolError):
            numbered(number)
        with pytest.raises(RemoteProtocolError):
            reader.next_frame()


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_the_longest_path(extra, good):
    """Of names that are all short enough, at the limit and one past it."""
    path = b"/".join([b"a" * 255] * 15)
    path += b"/" + b"b" * 128 + b"/"
    path += b"c" * (MAX_PATH - len(path) + extra)
    assert is_sendable(path) is good


# --- content that goes past the reader ---------------------------------------------------------------


def test_content_may_go_past_the_reader():
    """Only with nothing buffered before it; where it ends, frames are read again."""
    reader = FrameReader(MAX_CONTROL, 4096)
    reader.raw = True
    assert reader.content_left() == (0, 0)
    reader.receive_data(data_header(7, 10) + b"a")
    assert reader.content_left() == (0, 0)
    assert reader.next_frame() == Data(7, b"a")
    assert reader.content_left() == (7, 9)
    reader.content_passed(2)
    assert (reader.content_left(), reader.at_boundary) == ((7, 2), False)
    reader.content_passed(0)
    assert (reader.content_left(), reader.at_boundary) == ((0, 0), True)
    reader.receive_data(m.Ping().encode())
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")


def test_pieces_of_content_that_nobody_pulled_in_between():
    """Are in order, and what is behind them is read."""
    reader = FrameReader(MAX_CONTROL, 4096)
    reader.raw = True
    reader.receive_data(data_header(7, 4))
    assert reader.next_frame() is None
    for piece in (b"a", b"b", b"cd" + m.Ping().encode()):
        reader.receive_data(piece)
    assert reader.next_frame() == Data(7, b"abcd")
    assert reader.next_frame() == Control(FrameType.PING, 0, b"{}")


def ready(side):
    """A link that has its handshake behind it."""
    caller, listener = Link("caller"), Link("listener")
    for source, sink, message in (
        (caller, listener, m.Hello(nonce=NONCE, role="send")),
        (listener, caller, m.Hello(nonce=NONCE)),
        (listener, caller, m.Select(version=1, hash="blake3", compression="none", max_data=4096, window=8)),
        (caller, listener, m.Auth(mechanism="PLAIN", hello_digest=DIGEST)),
        (listener, caller, m.Authenticated(hello_digest=DIGEST)),
    ):
        sink.receive_data(source.encode(message))
        sink.next_event()
    return caller if side == "caller" else listener


def test_a_link_lets_content_past_once_it_is_ready():
    """Not before, and it knows where the stream may end."""
    early = Link("listener")
    early.receive_data(PREAMBLE)
    assert (early.content_left(), early.pending, early.at_boundary) == ((0, 0), 0, True)
    link = ready("listener")
    link.selected(m.Select(version=1, hash="blake3", compression="none", max_data=8, window=8))
    assert link.max_data == 8
    begun = data_header(3, 8) + b"ab"
    link.receive_data(begun)
    assert link.pending == len(begun)
    assert link.next_event() == Data(3, b"ab")
    assert (link.content_left(), link.at_boundary) == ((3, 6), False)
    link.content_passed(0)
    assert (link.content_left(), link.at_boundary) == ((0, 0), True)
    link.receive_data(data_header(3, 9))
    with pytest.raises(RemoteProtocolError):
        link.next_event()


# --- what may be said of an entry ---------------------------------------------------------------------


def receiver_of(**fields):
    """A receiver's books with entry 1 offered."""
    books = Receiver(4)
    books.received(m.Entry(stream=1, path=b"f", **fields))
    return books


def sender_of(**fields):
    """A sender's books with entry 1 offered."""
    books = Sender(4)
    books.offer(m.Entry(stream=1, path=b"f", **fields))
    return books


def test_content_of_what_is_only_asked_about_is_refused():
    """A dry run offers no content, and takes none."""
    with pytest.raises(RemoteProtocolError):
        receiver_of(dry_run=True, inline=True, size=1, digest=DIGEST)
    with pytest.raises(RemoteProtocolError):
        sender_of(dry_run=True, size=1).received(m.Take(stream=1))


@pytest.mark.parametrize("kind", [{"type": "dir"}, {"type": "symlink", "target": b"x"}])
def test_what_is_no_file_is_not_taken(kind):
    """It is done at once, or refused."""
    books = sender_of(**kind)
    with pytest.raises(RemoteProtocolError):
        books.received(m.Take(stream=1))
    books.received(m.Done(stream=1))
    assert not books.open


@pytest.mark.parametrize(("size", "good"), [(4, False), (5, True), (6, False)])
def test_inline_content_has_the_size_announced(size, good):
    """Neither a byte less nor one more."""
    books = receiver_of(size=5, inline=True, digest=DIGEST)
    event = Inline(1, b"x" * size)
    if good:
        books.received(event)
        books.answer(m.Done(stream=1))
        assert not books.open
    else:
        with pytest.raises(RemoteProtocolError):
            books.received(event)


@pytest.mark.parametrize(("size", "good"), [(MAX_INLINE, True), (MAX_INLINE + 1, False)])
def test_inline_content_that_is_packed_is_bounded_unpacked(size, good):
    """By what it is announced to become: at the limit, and one past it."""
    books = receiver_of(size=size, inline=True, digest=DIGEST)
    event = Packed(1, size, b"few bytes")
    if good:
        books.received(event)
    else:
        with pytest.raises(RemoteProtocolError):
            books.received(event)


def test_a_hole_needs_a_size():
    """A stream of unknown length has none."""
    books = receiver_of()
    books.answer(m.Take(stream=1))
    with pytest.raises(RemoteProtocolError):
        books.received(m.Hole(stream=1, size=5))


def test_content_starts_anew_on_both_sides():
    """RESTART: the receiver's offset was of another file."""
    sending, receiving = sender_of(size=5), receiver_of(size=5)
    take = m.Take(stream=1, offset=3, prefix_digest=DIGEST)
    receiving.answer(take)
    sending.received(take)
    sending.sent(m.Restart(stream=1))
    assert receiving.received(m.Restart(stream=1)).position == sending.open[1].position == 0
    sending.sent(Data(1, b"abcde"))
    assert receiving.received(Data(1, b"abcde")).position == sending.open[1].position == 5
    for books, say in ((receiving, receiving.received), (sending, sending.sent)):
        before = attrs.evolve(books.open[1])
        with pytest.raises(RemoteProtocolError):
            say(m.Restart(stream=1))
        assert books.open[1] == before


@pytest.mark.parametrize("event", [Data(2, b"x"), m.End(stream=2, size=0, digest=DIGEST), m.Take(stream=1)])
def test_a_sender_does_not_send_what_makes_no_sense(event):
    """Content of an entry that is not open, or a receiver's words: our own bug, and not the peer's."""
    books = sender_of(size=5)
    with pytest.raises(LocalProtocolError):
        books.sent(event)


@pytest.mark.parametrize("answer", [m.Take(stream=2), m.End(stream=1, size=0, digest=DIGEST)])
def test_a_receiver_does_not_answer_what_makes_no_sense(answer):
    """Of an entry that is not open, or with a sender's words."""
    with pytest.raises(LocalProtocolError):
        receiver_of(size=5).answer(answer)


def test_no_offer_comes_behind_the_last():
    """Neither an entry nor the same end again."""
    books = receiver_of()
    books.received(m.EndOfOffer())
    for event in (m.EndOfOffer(), m.Entry(stream=2, path=b"g")):
        with pytest.raises(RemoteProtocolError):
            books.received(event)


@pytest.mark.parametrize(
    ("time", "carried"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**63, 2**63 - 1),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, -(2**63)),
        (None, None),
    ],
)
def test_times_that_only_file_systems_know(time, carried):
    """Of the year 2262 and later, say: one odd time does not end a connection that the file is offered on."""
    text = m.Entry(stream=1, path=b"f", mtime_ns=time).payload()
    assert m.read_message(Control(FrameType.ENTRY, 1, text)).mtime_ns == carried


MESSAGES = [
    m.Ping(),
    m.Challenge(data=b""),
    m.Challenge(data=b"\x01\xff"),
    m.Hello(nonce=NONCE, features=("a", "b"), agent='quoted " \\ \n ü'),
    m.Entry(b"a"),
    m.Entry(b"a/\xff", "symlink", mode=0, mtime_ns=-1, target=b"\xfe"),
    m.Entry("ü/\u2028".encode(), size=0, mode=0o777, inline=True, digest=DIGEST, stream=7),
    m.Entry(b"a", size=2**63 - 1, mtime_ns=2**70, if_exists="rename", dry_run=True),
    m.Done(),
    m.Done(DIGEST, b"", 5, stream=3),
    m.Take(offset=1, prefix_digest=DIGEST),
    m.Get(include=("*",), dry_run=True),
]


@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_what_is_written_is_what_the_fields_say(message):
    """Byte for byte: field by field in their order, what has its default value left out."""
    members = []
    for field in attrs.fields(type(message)):
        kind, value = field.metadata.get("kind"), getattr(message, field.name)
        if kind is not None and value != field.default:
            plain = f'"{field.name}":{kind.write(value)}' if not kind.binary else None
            members.append(plain or checks.put_binary(field.name, value))
    assert message.payload().decode() == "{" + ",".join(members) + "}"


def test_small_files_are_counted_as_offered_and_sent_in_one():
    """As one after the other: a DONE may come, a TAKE may not, and there is no room for more than the window."""
    books = Sender(2)
    small = m.Entry(b"a", size=1, inline=True, digest=DIGEST, stream=1)
    books.offer_whole(small, Inline(1, b"a"))
    apart = Sender(2)
    apart.offer(small)
    apart.sent(Inline(1, b"a"))
    assert books.open == apart.open
    second = attrs.evolve(small, stream=2)
    for entry, content in (
        (small, Inline(1, b"a")),
        (second, Inline(3, b"a")),
        (attrs.evolve(second, inline=False), Inline(2, b"a")),
    ):
        with pytest.raises(LocalProtocolError):
            books.offer_whole(entry, content)
    with pytest.raises(RemoteProtocolError):
        books.offer_whole(attrs.evolve(second, digest=None), Inline(2, b"a"))
    books.offer_whole(second, Packed(2, 1, b"a"))
    with pytest.raises(LocalProtocolError):
        books.offer_whole(attrs.evolve(small, stream=3), Inline(3, b"a"))
    with pytest.raises(RemoteProtocolError):
        books.received(m.Take(stream=1))
    books.received(m.Done(DIGEST, stream=1))
    assert list(books.open) == [2]
