"""Bytes to replies."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire import client as c
from twisted_xfer.protocols.ftp.wire.client import MAX_REPLY, MAX_REPLY_LINE, Reply, ReplyReader
from twisted_xfer.protocols.ftp.wire.replies import feat_reply
from twisted_xfer.protocols.ftp.wire.verbs import VERBS
from twisted_xfer.testing.wires import drive, drive_three_ways, pull_into


def read(data):
    """The replies of ``data``, checked three ways."""
    return drive_three_ways(
        ReplyReader, "next_reply", data, trailing=b"200 ok\r\n", after=[Reply(200, (b"ok",))]
    )


@pytest.mark.parametrize(
    ("data", "replies"),
    [
        (b"220 Hello\r\n", [Reply(220, (b"Hello",))]),
        (b"220 Hello\n", [Reply(220, (b"Hello",))]),
        (b"220\r\n", [Reply(220, (b"",))]),
        (b"220-a\r\nb\r\n220 c\r\n", [Reply(220, (b"a", b"b", b"c"))]),
        (
            b"220-a\r\n220-b\r\n 220 c\r\n221 d\r\n220 e\r\n",
            [Reply(220, (b"a", b"b", b" 220 c", b"221 d", b"e"))],
        ),
        (b"211-a\r\n\r\n211\r\n", [Reply(211, (b"a", b"", b""))]),
        (b"226 \xff\xff\xd0\r\n", [Reply(226, (b"\xff\xd0",))]),
        (b"150 a\r\n226 b\r\n", [Reply(150, (b"a",)), Reply(226, (b"b",))]),
    ],
)
def test_replies(data, replies):
    """Single and multi-line replies of RFC 959 section 4.2."""
    assert read(data) == replies


@pytest.mark.parametrize(
    "data", [b"\r\n", b"hello\r\n", b"22 x\r\n", b"999 x\r\n", b"2200\r\n", b"099 x\r\n"]
)
def test_lines_without_a_code(data):
    """Where a reply must begin, anything else is an error."""
    assert drive_three_ways(ReplyReader, "next_reply", data) == [("error", "reply without a code")]


def test_kinds_of_replies():
    """The first digit tells."""
    assert Reply(150, (b"",)).preliminary
    assert not Reply(200, (b"",)).preliminary
    assert Reply(299, (b"",)).ok
    assert not Reply(300, (b"",)).ok
    assert Reply(450, (b"",)).transient
    assert not Reply(550, (b"",)).transient
    assert Reply(211, (b"a", b"b")).text == b"a\nb"


def test_line_limit_and_one_past():
    """A line may have the limit's length, its end counted."""
    fits = b"220 " + b"x" * (MAX_REPLY_LINE - 6) + b"\r\n"
    assert len(drive_three_ways(ReplyReader, "next_reply", fits)[0].last) == MAX_REPLY_LINE - 6
    longer = fits.replace(b"xx", b"xxx", 1)
    assert drive_three_ways(ReplyReader, "next_reply", longer) == [("error", "line too long")]


def test_reply_limit_and_one_past():
    """A reply may have the limit's length in all, and is counted anew each time."""
    line = b"x" * 1022 + b"\r\n"
    fits = b"211-" + b"x" * 1018 + b"\r\n" + line * (MAX_REPLY // 1024 - 2) + b"211 " + b"x" * 1018 + b"\r\n"
    assert len(fits) == MAX_REPLY
    reader = ReplyReader()
    for _ in range(2):
        reader.receive_data(fits)
        assert reader.next_reply().code == 211
    longer = fits.replace(b"xx", b"xxx", 1)
    assert drive(ReplyReader, "next_reply", [longer[:5000], longer[5000:]]) == [("error", "reply too long")]


def test_a_flood_is_refused():
    """Bytes that nobody pulls are bounded too."""
    reader = ReplyReader()
    reader.receive_data(b"x" * (MAX_REPLY + MAX_REPLY_LINE))
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(b"x")


def test_clear_counts_what_was_injected():
    """Bytes in front of a TLS handshake are counted and dropped, half replies too."""
    reader = ReplyReader()
    reader.receive_data(b"211-a\r\nxy\xff")
    assert reader.next_reply() is None
    assert reader.pending == 10
    assert reader.clear() == 10
    reader.receive_data(b"220 a\r\n")
    assert reader.next_reply() == Reply(220, (b"a",))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([b"220-", b"220 ", b"\r\n", b"\xff"])), max_size=20
    )
)
def test_any_bytes_give_replies_or_the_remote_error(chunks):
    """No bytes raise anything else."""
    reader = ReplyReader()
    found = []
    with contextlib.suppress(RemoteProtocolError):
        for chunk in chunks:
            reader.receive_data(chunk)
            pull_into(found, reader.next_reply)
    assert all(100 <= reply.code <= 599 and reply.lines for reply in found)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (c.parse_227, b"Entering Passive Mode (1,2,3,4,5,6).", ("1.2.3.4", 1286)),
        (c.parse_227, b"Entering Passive Mode 1,2,3,4,0,21", ("1.2.3.4", 21)),
        (c.parse_227, b"=1,2,3,4,255,255", ("1.2.3.4", 65535)),
        (c.parse_229, b"Entering Extended Passive Mode (|||6446|)", 6446),
        (c.parse_229, b"ok (!!!65535!)", 65535),
        (c.parse_257, b'"/a" created', b"/a"),
        (c.parse_257, b'"" x', b""),
        (c.parse_257, b'"/a ""b"" c" is "it"', b'/a "b" c'),
        (c.parse_257, b'"a"""', b'a"'),
        (c.parse_213_size, b" 12", 12),
        (c.parse_213_size, b"9223372036854775807", 2**63 - 1),
        (c.parse_213_time, b"19700101000001", 10**9),
    ],
)
def test_what_stands_in_replies(parse, text, value):
    """Addresses, paths, sizes and times as servers write them."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (c.parse_227, b""),
        (c.parse_227, b"(1,2,3,4,5)"),
        (c.parse_227, b"(1,2,3,256,5,6)"),
        (c.parse_227, b"(1,2,3,4,0,0)"),
        (c.parse_227, b"(1,2,3,4,5,6789)"),
        (c.parse_229, b"(|||0|)"),
        (c.parse_229, b"(|||65536|)"),
        (c.parse_229, b"(||6446|)"),
        (c.parse_229, b"(|||1!)"),
        (c.parse_257, b"/a"),
        (c.parse_257, b'"/a'),
        (c.parse_257, b'"/a""'),
        (c.parse_213_size, b"x"),
        (c.parse_213_size, b"-1"),
        (c.parse_213_size, b"9223372036854775808"),
        (c.parse_213_size, b"1" * 20),
        (c.parse_213_time, b"yesterday"),
    ],
)
def test_what_does_not(parse, text):
    """Anything else is the server's fault."""
    with pytest.raises(RemoteProtocolError):
        parse(text)


def test_feat():
    """Our own FEAT is read back, and other servers' spellings of it."""
    reader = ReplyReader()
    reader.receive_data(feat_reply(VERBS, b"type*;size*;", tls=True))
    features = c.parse_feat(reader.next_reply())
    assert features[b"MLST"] == b"type*;size*;"
    assert features[b"REST"] == b"STREAM"
    assert features[b"UTF8"] == b""
    other = Reply(211, (b"Features:", b" auth SSL", b"\tAUTH TLS", b"", b" mlst  type*;", b"End"))
    assert c.parse_feat(other) == {b"AUTH": b"SSL;TLS", b"MLST": b"type*;"}
    assert c.parse_feat(Reply(211, (b"none",))) == {}
