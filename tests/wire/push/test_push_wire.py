"""The bytes of a push, however they are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError, Truncated
from twisted_xfer.protocols.push.plugin import push
from twisted_xfer.protocols.push.wire import (
    MAX_DIGITS,
    MAX_HEADER,
    MAX_HELD,
    SEPARATOR,
    Chunk,
    Named,
    PushReader,
    header,
    plain_name,
)
from twisted_xfer.testing.wires import drive, drive_three_ways


def receive(data, cuts):
    """Name, file and size as a receiver gets them from ``data`` cut into pieces of ``cuts`` bytes."""
    reader = PushReader()
    name, body, most = None, b"", 0
    for at in range(0, len(data), cuts):
        reader.receive_data(data[at : at + cuts])
        while (event := reader.next_event()) is not None:
            if isinstance(event, Named):
                name = event.name
            else:
                body += event.data
        most = max(most, reader.pending)
    last, whole = reader.end()
    body += last.data if last is not None else b""
    return name, whole.prefix + body, whole.size, most


PAYLOADS = [
    b"",
    b"0",
    b"1",
    b"7",
    b"12,3\n",
    b"x",
    b"\xff\x00",
    b"1" * 18,
    b"1" * 19,
    b"1" * 20,
    b"0" * 30,
    b"9" * 400,
    SEPARATOR + b"12",
]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("cuts", [1, 2, 3, 7, 4096])
def test_the_size_is_told_from_the_whole(payload, cuts):
    """Digits of the file right behind the digits of its size do no harm."""
    assert receive(header(b"name", len(payload)) + payload, cuts)[:3] == (b"name", payload, len(payload))


BIG = [
    b"\xff" * (MAX_HELD - 10),
    b"\xff" * (MAX_HELD + 10),
    b"7" * (MAX_HELD * 3),
    b"0" * (MAX_HELD * 3),
    b"5" + b"x" * (MAX_HELD * 40),
    b"1234567890" * (MAX_HELD // 5),
    b"x" * (MAX_HELD * 12),
]


@pytest.mark.parametrize("payload", BIG, ids=lambda payload: f"{payload[:2]!r}x{len(payload)}")
def test_large_files_do_not_wait_in_memory(payload):
    """What is held is bounded, whether or not the file begins with digits."""
    name, body, size, most = receive(header(b"n", len(payload)) + payload, 65536)
    assert (name, size) == (b"n", len(payload))
    assert body == payload
    assert most <= MAX_HELD + 65536


@given(st.binary(max_size=60), st.integers(1, 80))
@settings(derandomize=True, deadline=None)
def test_any_file_comes_through(payload, cuts):
    """Whatever the bytes are."""
    assert receive(header(b"n", len(payload)) + payload, cuts)[1] == payload


@given(st.text("0123456789", max_size=60), st.integers(1, 80))
@settings(derandomize=True, deadline=None)
def test_any_digits_come_through(payload, cuts):
    """The worst case, often."""
    data = payload.encode()
    assert receive(header(b"n", len(data)) + data, cuts)[1] == data


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(derandomize=True, deadline=None)
def test_garbage_is_an_error_or_a_file(first, second):
    """Nothing but the two errors of a wire comes out, and every way of cutting agrees."""
    data = first + SEPARATOR + second
    whole = drive(PushReader, "next_event", [data])
    single = drive(PushReader, "next_event", [data[at : at + 1] for at in range(len(data))])

    def told(events):
        names = [event for event in events if isinstance(event, Named)]
        error = [event for event in events if isinstance(event, tuple) and event[0] == "error"]
        return names, error, b"".join(event.data for event in events if isinstance(event, Chunk))

    if not told(whole)[1] and not told(single)[1]:
        assert told(whole)[0] == told(single)[0]
    reader = PushReader()
    reader.receive_data(data)
    try:
        while reader.next_event() is not None:
            pass
        reader.end()
    except (RemoteProtocolError, Truncated):
        pass


def test_a_cut_file_is_truncated():
    """No end but the right one fits, save where the size's first digits say just that: 6 bytes, 0hello."""
    payload = b"hello, world" * 5
    data = header(b"n", len(payload)) + payload
    after = len(b"n" + SEPARATOR)
    fitting = []
    for end in range(after + 1, len(data) + 1):
        reader = PushReader()
        reader.receive_data(data[:end])
        while reader.next_event() is not None:
            pass
        try:
            fitting.append((end - after, reader.end()[1].size))
        except Truncated:
            continue
    assert fitting == [(7, 6), (62, 60)]


def test_more_bytes_than_any_size_are_refused():
    """One byte too many, where only one size was possible."""
    events = drive(PushReader, "next_event", [b"n<SEPARATOR>2ab", b"c"])
    assert events == [Named(b"n"), Chunk(b"ab"), ("error", "more bytes than announced")]


def test_an_empty_file_is_one_digit():
    """No leading zeros: 0 is a size, 01 is none."""
    assert receive(b"n<SEPARATOR>0", 1)[1:3] == (b"", 0)
    assert drive(PushReader, "next_event", [b"n<SEPARATOR>01x"])[-1] == ("error", "more bytes than announced")


def test_a_separator_in_the_name_is_part_of_it():
    """The size starts with a digit, so the name goes on where none follows."""
    events = drive_three_ways(PushReader, "next_event", b"a<SEPARATOR>b<SEPARATOR>1")
    assert events == [Named(b"a<SEPARATOR>b")]


@pytest.mark.parametrize(("size", "good"), [(MAX_HEADER, True), (MAX_HEADER + 1, False)])
def test_the_header_is_bounded(size, good):
    """A name that never ends is not collected for ever."""
    events = drive_three_ways(PushReader, "next_event", b"n" * size + SEPARATOR + b"1")
    assert events == ([Named(b"n" * size)] if good else [("error", "no header")])


@pytest.mark.parametrize("digits", [MAX_DIGITS, MAX_DIGITS + 1, 5000])
def test_a_long_run_of_digits_is_no_number_of_its_own(digits):
    """Only the first digits can be a size; the rest can only be the file."""
    reader = PushReader()
    reader.receive_data(b"n" + SEPARATOR + b"9" * digits)
    assert reader.next_event() == Named(b"n")
    reader.next_event()
    with pytest.raises(Truncated):
        reader.end()


@pytest.mark.parametrize("data", [b"", b"name", b"name<SEPARATOR>"])
def test_without_a_header_there_is_no_file(data):
    """An end before the size."""
    reader = PushReader()
    reader.receive_data(data)
    assert reader.next_event() is None
    with pytest.raises(RemoteProtocolError):
        reader.end()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"a", b"a"),
        (b"/etc/passwd", b"passwd"),
        (rb"C:\x\y.txt", b"y.txt"),
        (rb"..\..\x", b"x"),
        (b"../..", None),
        (b"a/", None),
        (b"a\0b", None),
        (b"", None),
    ],
)
def test_only_the_last_component_counts(raw, name):
    r"""Of / and of \, whatever system it was typed on."""
    if name is None:
        with pytest.raises(RemoteProtocolError):
            plain_name(raw)
    else:
        assert plain_name(raw) == name


@pytest.mark.parametrize("name", [b"", b"a<SEPARATOR>b", b"n" * MAX_HEADER])
def test_names_that_break_receivers_are_not_sent(name):
    """A script would split them wrongly or read half of them."""
    with pytest.raises(LocalProtocolError):
        header(name, 1)


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_what_is_sent_before_the_file_is_bounded(extra, good):
    """The longest header is sent; one byte more is not."""
    name = b"n" * (MAX_HEADER - len(SEPARATOR) - 1 + extra)
    if good:
        assert len(header(name, 1)) == MAX_HEADER
    else:
        with pytest.raises(LocalProtocolError):
            header(name, 1)


@pytest.mark.parametrize(("length", "answer"), [(MAX_HEADER, "more"), (MAX_HEADER + 1, "no")])
def test_a_shared_port_waits_for_no_more_than_a_header(length, answer):
    """Text that may become one, at the limit and one past it."""
    assert push.sniff(b"n" * length) == answer


@pytest.mark.parametrize(("total", "held"), [(MAX_HELD, True), (MAX_HELD + 1, False)])
def test_bytes_wait_while_several_sizes_are_possible(total, held):
    """Up to the limit; one more and they go out, without the digits of the largest size."""
    data = b"%d" % total + b"5"
    data += b"x" * (total - len(data))
    reader = PushReader()
    reader.receive_data(b"n" + SEPARATOR + data)
    assert reader.next_event() == Named(b"n")
    chunk = reader.next_event()
    assert (chunk is None, reader.pending) == ((True, total) if held else (False, 0))


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b"\x16\x03\x01\x02\x00\x01", True),
        (b"\x16\x03\x03", True),
        (b"\x16\x03", False),
        (b"\x16\x03\x04", False),
        (b"x\x16\x03\x01", False),
    ],
)
def test_tls_is_no_name(data, refused):
    """Who begins with TLS waits for an answer: it is refused, not waited for."""
    for cuts in (1, len(data)):
        reader = PushReader()
        for at in range(0, len(data), cuts):
            reader.receive_data(data[at : at + cuts])
        if refused:
            with pytest.raises(RemoteProtocolError):
                reader.next_event()
        else:
            assert reader.next_event() is None
