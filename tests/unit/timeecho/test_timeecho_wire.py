"""The bytes of time and echo, as the tutorials have them."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.timeecho.wire import (
    MAX_GREETING,
    PIECE,
    SERVICES,
    STAMP_SIZE,
    ReplyReader,
    datagram_answer,
    pieces,
    stamp,
)

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
STAMP = b"Tue Feb  3 04:05:06 2026"


def test_the_stamp_is_that_of_ctime():
    """C's ctime() without its newline, 24 bytes, the day padded with a blank."""
    assert stamp(NOW) == STAMP == time.asctime(NOW.timetuple()).encode()
    assert len(STAMP) == STAMP_SIZE


@pytest.mark.parametrize(
    ("service", "data", "answer"),
    [
        ("time", b"", STAMP + b"\n"),
        ("time", b"ignored", STAMP + b"\n"),
        ("echo", b"hello", b"hello"),
        ("echo", b"", b""),
        ("ctime-echo", b"hello\n", STAMP + b" hello\n"),
        ("ctime-echo", b"", STAMP + b" "),
    ],
)
def test_each_service_answers_as_published(service, data, answer):
    """The exact bytes of each service."""
    assert SERVICES[service].answer(data, NOW) == answer


@settings(derandomize=True, deadline=None)
@given(data=st.binary(max_size=3 * PIECE))
def test_pieces_lose_nothing_and_are_as_large_as_a_read(data):
    """Cutting is by 1024 bytes, the last one may be shorter."""
    cut = pieces(data)
    assert b"".join(cut) == data
    assert [len(piece) for piece in cut[:-1]] == [PIECE] * (len(cut) - 1)
    assert all(0 < len(piece) <= PIECE for piece in cut)


@pytest.mark.parametrize(("size", "counted"), [(PIECE, PIECE), (PIECE + 1, PIECE)])
def test_a_datagram_counts_up_to_one_piece(size, counted):
    """At the bound all is echoed; one past it the rest is cut off."""
    assert datagram_answer(SERVICES["echo"], b"x" * size, NOW) == b"x" * counted


@pytest.mark.parametrize("service", ["echo", "ctime-echo"])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_reply_is_read_however_it_is_cut(service, step):
    """Whole, in small pieces, byte by byte."""
    answer = SERVICES[service].answer(b"hello", NOW)
    reader = ReplyReader(SERVICES[service], b"hello")
    got = [reader.feed(answer[at : at + step]) for at in range(0, len(answer), step)]
    assert got == [None] * (len(got) - 1) + [answer]


def test_a_greeting_ends_with_the_stream():
    """The time service closes when it has said all."""
    reader = ReplyReader(SERVICES["time"], b"")
    assert reader.feed(STAMP) is None
    assert reader.feed(b"\n") is None
    assert reader.end() == STAMP + b"\n"


@pytest.mark.parametrize("size", [0, PIECE + 1])
@pytest.mark.parametrize("service", ["echo", "ctime-echo"])
def test_a_message_that_cannot_be_matched_is_refused(service, size):
    """Nothing earns no reply; more than a piece may earn two stamps."""
    with pytest.raises(LocalProtocolError):
        ReplyReader(SERVICES[service], b"x" * size)
    assert ReplyReader(SERVICES[service], b"x" * PIECE).feed(b"") is None


@pytest.mark.parametrize("service", SERVICES)
def test_a_reply_that_is_too_long_is_an_error(service):
    """The bound is what was asked for; one byte more is refused."""
    message = b"" if SERVICES[service].greets else b"hello"
    most = MAX_GREETING if SERVICES[service].greets else SERVICES[service].overhead + 5
    ReplyReader(SERVICES[service], message).feed(b"x" * most)
    with pytest.raises(RemoteProtocolError):
        ReplyReader(SERVICES[service], message).feed(b"x" * (most + 1))


@pytest.mark.parametrize("service", SERVICES)
def test_a_reply_that_is_cut_short_is_an_error(service):
    """An end before the end is told."""
    with pytest.raises(RemoteProtocolError):
        ReplyReader(SERVICES[service], b"" if SERVICES[service].greets else b"hello").end()
