"""Replies to bytes, and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.protocols.ftp.wire import replies
from twisted_xfer.protocols.ftp.wire.client import ReplyReader, parse_257
from twisted_xfer.protocols.ftp.wire.replies import (
    ReplyTable,
    feat_lines,
    feat_reply,
    multiline,
    path_reply,
    reply,
    restart_reply,
    unknown_reply,
)
from twisted_xfer.protocols.ftp.wire.verbs import VERBS


def read(data):
    """What a client makes of ``data``: exactly one reply."""
    reader = ReplyReader()
    reader.receive_data(data)
    found = reader.next_reply()
    assert reader.next_reply() is None
    assert reader.pending == 0
    return found


def test_no_text_makes_a_second_reply():
    """CR, LF and other control bytes in a name are shown as question marks."""
    assert reply(550, b"a\r\n230 Welcome\x1b\x7f") == b"550 a??230 Welcome??\r\n"
    assert reply(550, "имя\n") == "550 имя?\r\n".encode()
    assert reply(550, "\ud800") == b"550 ?\r\n"


def test_byte_255_is_doubled():
    """A name in cp1251 is no Telnet command."""
    assert reply(250, b"\xff") == b"250 \xff\xff\r\n"
    assert read(reply(250, b"a\xffb")).lines == (b"a\xffb",)


def test_multiline_golden():
    """One space before each line in the middle."""
    assert multiline(211, "Extensions:", ["SIZE", b"2\r\n11 x"], "End.") == (
        b"211-Extensions:\r\n SIZE\r\n 2??11 x\r\n211 End.\r\n"
    )


def test_multiline_without_indent():
    """Only lines that a client could take for the end get a space."""
    assert (
        multiline(213, "x", ["-rw", "213 end", ""], indent=b"")
        == b"213-x\r\n-rw\r\n 213 end\r\n\r\n213 End.\r\n"
    )


@settings(derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=5), st.sampled_from([b"", b" "]))
def test_multiline_is_one_reply_whatever_is_in_it(lines, indent):
    """Any bytes stay within one reply with as many lines as were given."""
    found = read(multiline(214, b"first", lines, b"last", indent))
    assert found.code == 214
    assert len(found.lines) == len(lines) + 2


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60).filter(lambda raw: not any(byte < 32 or byte == 127 for byte in raw)))
def test_257_round_trip(path):
    """A client reads back any path without control bytes."""
    assert parse_257(read(path_reply(path)).last) == path


def test_257_golden():
    """Quotes are doubled (RFC 959 appendix II)."""
    assert path_reply(b'/a "b"') == b'257 "/a ""b""" is the current directory.\r\n'


def test_feat_without_tls():
    """FEAT in plain mode names no TLS verb."""
    assert feat_lines(VERBS) == [
        *(
            b"AVBL",
            b"CLNT",
            b"EPRT",
            b"EPSV",
            b"MDTM",
            b"MFMT",
            b"MLST",
            b"REST STREAM",
            b"SIZE",
            b"TVFS",
            b"UTF8",
        ),
    ]


def test_feat_with_tls_and_facts():
    """TLS rows, facts and extra lines appear."""
    lines = feat_lines(VERBS, b"type*;size;", [b"XTRA"], tls=True)
    assert {b"AUTH TLS", b"PBSZ", b"PROT", b"XTRA", b"MLST type*;size;"} <= set(lines)
    assert b"MLST" not in lines
    assert feat_lines({}, b"type*;") == [b"TVFS", b"UTF8"]
    assert feat_reply(VERBS).startswith(b"211-Extensions supported:\r\n AVBL\r\n")
    assert feat_reply(VERBS).endswith(b"\r\n211 End.\r\n")


def test_reply_table():
    """Defaults, replacements, and no code that is not there."""
    table = ReplyTable({220: "Hello\r\n230 there"})
    assert table[220] == b"220 Hello??230 there\r\n"
    assert table[226] == b"226 Transfer complete.\r\n"
    assert 226 in table
    assert 999 not in table
    with pytest.raises(LocalProtocolError):
        table[999]


def test_constants_are_single_replies():
    """Each precomputed reply is one whole line."""
    made = [value for name, value in vars(replies).items() if name[0] != "_" and isinstance(value, bytes)]
    found = [read(line) for line in made]
    assert len(found) > 20
    assert restart_reply(5) == b"350 Restarting at 5.\r\n"
    assert unknown_reply(b"") == replies.UNKNOWN_COMMAND
    assert unknown_reply(b"HUH") == b"500 HUH: unknown command.\r\n"
