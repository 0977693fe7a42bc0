"""The bytes of a fetch, in both directions."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.fetch.wire import (
    MAX_COMMAND,
    MAX_DIGITS,
    READY,
    Asked,
    Chunk,
    CommandReader,
    Digest,
    Ready,
    ReplyReader,
    Size,
    command,
)
from twisted_xfer.testing.wires import drive, drive_three_ways


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"get a", b"a"),
        (b"GET a.txt", b"a.txt"),
        (b"whatever a/b", b"a/b"),
        (b"get two words", b"two words"),
        (b" get  a ", b"a"),
        (b"get \xe4\xbd\xa0", b"\xe4\xbd\xa0"),
    ],
)
def test_silence_ends_a_command(data, name):
    """The verb counts for nothing, as in the scripts; blanks in names work here."""
    reader = CommandReader()
    assert drive(lambda: reader, "next_event", [data[at : at + 1] for at in range(len(data))]) == []
    assert reader.silence() == Asked(name)


def test_a_line_end_ends_a_command_at_once():
    """For people with netcat."""
    assert drive_three_ways(CommandReader, "next_event", b"get a\r\n") == [Asked(b"a")]


@pytest.mark.parametrize("data", [b"", b"get", b"get ", b"   ", b"\n"])
def test_less_than_two_words_is_no_command(data):
    """Silence after it is an error."""
    reader = CommandReader()
    reader.receive_data(data)
    with pytest.raises(RemoteProtocolError):
        reader.silence()
    reader = ReplyReader(digest=True)
    reader.receive_data(b"9" * MAX_DIGITS)
    assert reader.silence() == Size(int("9" * MAX_DIGITS))


@pytest.mark.parametrize(("size", "good"), [(MAX_COMMAND, True), (MAX_COMMAND + 1, False)])
def test_a_command_is_bounded(size, good):
    """In one piece or byte by byte."""
    events = drive_three_ways(CommandReader, "next_event", b"get " + b"n" * (size - 4))
    assert events == ([] if good else [("error", "command too long")])


def test_readiness_is_whatever_comes_after_the_size():
    """And a command only after the file."""
    reader = CommandReader()
    reader.receive_data(b"get a")
    assert reader.silence() == Asked(b"a")
    reader.begin()
    assert reader.next_event() is None
    reader.receive_data(b"ready to recv file")
    assert reader.next_event() == Ready()
    assert reader.next_event() is None
    reader.finish()
    reader.receive_data(b"get b\n")
    assert reader.next_event() == Asked(b"b")


def replies(data, cuts, *, digest=True):
    """The events after the size for ``data`` cut into pieces, chunks put together."""
    reader = ReplyReader(digest=digest)
    reader.receive_data(b"5")
    assert reader.next_event() is None
    assert reader.silence() == Size(5)
    events = []
    for at in range(0, len(data), cuts):
        reader.receive_data(data[at : at + cuts])
        while (event := reader.next_event()) is not None:
            events.append(event)
    body = b"".join(event.data for event in events if isinstance(event, Chunk))
    return body, [event for event in events if not isinstance(event, Chunk)]


MD5 = hashlib.md5(b"hello").hexdigest()


@pytest.mark.parametrize("cuts", [1, 2, 5, 6, 36, 100])
def test_the_digest_may_stick_to_the_file(cuts):
    """What the second client's fault is made of: the size tells them apart."""
    assert replies(b"hello" + MD5.encode(), cuts) == (b"hello", [Digest(MD5)])
    assert replies(b"hello" + MD5.upper().encode(), cuts) == (b"hello", [Digest(MD5)])
    assert replies(b"hello", cuts, digest=False) == (b"hello", [Digest("")])


def test_too_much_is_an_error():
    """After the end of the file or of the digest."""
    for data, digest in ((b"hello!", False), (b"hello" + MD5.encode() + b"x", True)):
        with pytest.raises(RemoteProtocolError):
            replies(data, 100, digest=digest)


def test_a_digest_is_hex():
    """Anything else is a server that speaks another dialect."""
    with pytest.raises(RemoteProtocolError):
        replies(b"hello" + b"z" * 32, 100)


@pytest.mark.parametrize("raw", [b"12a", b"-1", b" 1", b"no such file"])
def test_a_size_is_digits(raw):
    """Signs, blanks and sentences are none."""
    reader = ReplyReader(digest=True)
    reader.receive_data(raw)
    with pytest.raises(RemoteProtocolError):
        reader.next_event()


@pytest.mark.parametrize("raw", [b"", b"x", b"9" * (MAX_DIGITS + 1)])
def test_silence_makes_no_size_of_what_is_none(raw):
    """A server that said nothing, or no number, before it fell silent."""
    reader = ReplyReader(digest=True)
    reader.receive_data(raw)
    with pytest.raises(RemoteProtocolError):
        reader.silence()


@pytest.mark.parametrize(("digits", "good"), [(MAX_DIGITS, True), (MAX_DIGITS + 1, False)])
def test_a_size_is_bounded(digits, good):
    """As many digits as a file can have bytes."""
    events = drive(lambda: ReplyReader(digest=True), "next_event", [b"9"] * digits)
    assert events == ([] if good else [("error", "not a size")])


def test_an_empty_file_has_a_digest_too():
    """MD5 of nothing."""
    reader = ReplyReader(digest=True)
    reader.receive_data(b"0")
    assert reader.silence() == Size(0)
    assert reader.next_event() is None
    reader.receive_data(hashlib.md5(b"").hexdigest().encode())
    assert reader.next_event() == Digest("d41d8cd98f00b204e9800998ecf8427e")


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_the_longest_command_is_asked(extra, good):
    """One byte more is not: a script would read half of it."""
    name = b"n" * (MAX_COMMAND - len(b"get ") + extra)
    if good:
        assert len(command(name)) == MAX_COMMAND
    else:
        with pytest.raises(LocalProtocolError):
            command(name)


@pytest.mark.parametrize("name", [b"", b"a b", b" a", b"a\t", b"n" * MAX_COMMAND])
def test_names_that_break_servers_are_not_asked_for(name):
    """A script would split them."""
    with pytest.raises(LocalProtocolError):
        command(name)
    assert command(b"a") == b"get a"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.booleans())
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_events_or_errors(pieces, digest):
    """In either direction."""
    drive(CommandReader, "next_event", pieces)
    drive(lambda: ReplyReader(digest=digest), "next_event", pieces)

    def sized():
        reader = ReplyReader(digest=digest)
        reader.receive_data(b"7")
        reader.silence()
        return reader

    drive(sized, "next_event", pieces)


@pytest.mark.parametrize("cut", range(1, len(READY)))
def test_readiness_in_pieces_is_one(cut):
    """Its rest is no command, wherever it was cut."""
    reader = CommandReader()
    reader.begin()
    reader.receive_data(READY[:cut])
    assert reader.next_event() is None
    reader.receive_data(READY[cut:])
    assert reader.next_event() == Ready()
    assert reader.pending == 0


def test_other_words_of_readiness_are_not_waited_for():
    """Scripts may say what they like; what is late of it is dropped with the file's end."""
    reader = CommandReader()
    reader.begin()
    reader.receive_data(b"ok")
    assert reader.next_event() == Ready()
    reader.receive_data(b"ay, go")
    reader.finish()
    reader.receive_data(b"get a\n")
    assert reader.next_event() == Asked(b"a")
