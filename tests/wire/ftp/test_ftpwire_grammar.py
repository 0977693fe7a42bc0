"""Arguments, each with its bounds."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.protocols.ftp.wire import grammar as g
from twisted_xfer.protocols.ftp.wire import timestamps
from twisted_xfer.protocols.ftp.wire.client import parse_227, parse_229
from twisted_xfer.protocols.ftp.wire.listing import MLST_FACTS

NS = 10**9

PARSERS = [
    g.parse_host_port,
    g.parse_eprt,
    g.parse_epsv,
    g.parse_type,
    g.parse_mode,
    g.parse_structure,
    g.parse_rest,
    g.parse_allo,
    g.parse_mfmt,
    g.parse_mdtm,
    g.parse_chmod,
    g.parse_utime,
    g.parse_idle,
    g.parse_utf8,
    g.parse_time,
    g.parse_list_argument,
    g.split_glob,
    lambda raw: g.parse_facts(raw, MLST_FACTS),
]

GOOD = [
    (g.parse_host_port, b"127,0,0,1,4,1", ("127.0.0.1", 1025)),
    (g.parse_host_port, b"255,255,255,255,255,255", ("255.255.255.255", 65535)),
    (g.parse_host_port, b"010,0,0,1,0,1", ("10.0.0.1", 1)),
    (g.parse_eprt, b"|1|132.235.1.2|6275|", ("132.235.1.2", 6275)),
    (g.parse_eprt, b"|2|1080::8:800:200C:417A|5282|", ("1080::8:800:200c:417a", 5282)),
    (g.parse_eprt, b"!2!::1!65535!", ("::1", 65535)),
    (g.parse_eprt, b"~1~1.2.3.4~1~", ("1.2.3.4", 1)),
    (g.parse_epsv, b"", None),
    (g.parse_epsv, b"1", 1),
    (g.parse_epsv, b"2", 2),
    (g.parse_epsv, b"3", 3),
    (g.parse_epsv, b"aLL", "ALL"),
    (g.parse_type, b"a", "A"),
    (g.parse_type, b"A n", "A"),
    (g.parse_type, b"I", "I"),
    (g.parse_type, b"L 8", "I"),
    (g.parse_type, b"L8", "I"),
    (g.parse_type, b"L 36", None),
    (g.parse_type, b"E", None),
    (g.parse_type, b"A T", None),
    (g.parse_mode, b"s", True),
    (g.parse_mode, b"B", False),
    (g.parse_mode, b"Z", False),
    (g.parse_structure, b"f", True),
    (g.parse_structure, b"R", False),
    (g.parse_rest, b"0", 0),
    (g.parse_rest, b"9223372036854775807", 2**63 - 1),
    (g.parse_allo, b"10", 10),
    (g.parse_allo, b"10 R 5", 10),
    (g.parse_allo, b"10 r  5", 10),
    (g.parse_mfmt, b"19700101000001 a b", (NS, b"a b")),
    (g.parse_mfmt, b"19700101000000.5 a", (NS // 2, b"a")),
    (g.parse_mdtm, b"a b", (None, b"a b")),
    (g.parse_mdtm, b"19700101000001 a b", (NS, b"a b")),
    (g.parse_mdtm, b"19700101000001", (None, b"19700101000001")),
    (g.parse_mdtm, b"19700101000001 ", (None, b"19700101000001 ")),
    (g.parse_mdtm, b"1970010100000x a", (None, b"1970010100000x a")),
    (g.parse_chmod, b"644 a b", (0o644, b"a b")),
    (g.parse_chmod, b"0777 a", (0o777, b"a")),
    (g.parse_chmod, b"0 a", (0, b"a")),
    (g.parse_utime, b"19700101000001 a b", (NS, b"a b")),
    (g.parse_utime, b"197001010001 a", (60 * NS, b"a")),
    (g.parse_utime, b"a b 19700101000000 19700101000001 19700101000002 UTC", (NS, b"a b")),
    (g.parse_utime, b"a 19700101000000 197001010001 19700101000002 utc", (60 * NS, b"a")),
    (g.parse_idle, b"", None),
    (g.parse_idle, b"86400", 86400),
    (g.parse_utf8, b"", True),
    (g.parse_utf8, b"on", True),
    (g.parse_utf8, b"OFF", False),
    (g.parse_utf8, b"NLST", True),
    (g.parse_time, b"19700101000000", 0),
    (g.parse_time, b"19691231235959", -NS),
    (g.parse_time, b"20240229120000", 1709208000 * NS),
    (g.parse_time, b"20161231235960", 1483228800 * NS),
    (g.parse_time, b"19700101000000.123456789", 123456789),
]

BAD = [
    (g.parse_host_port, b""),
    (g.parse_host_port, b"1,2,3,4,5"),
    (g.parse_host_port, b"1,2,3,4,5,6,7"),
    (g.parse_host_port, b"256,0,0,1,4,1"),
    (g.parse_host_port, b"1,0,0,1,256,1"),
    (g.parse_host_port, b"127,0,0,1,0,0"),
    (g.parse_host_port, b"127,0,0,-1,4,1"),
    (g.parse_host_port, b"127,0,0, 1,4,1"),
    (g.parse_host_port, b"127,0,0,0001,4,1"),
    (g.parse_host_port, b"127,0,0,,4,1"),
    (g.parse_eprt, b""),
    (g.parse_eprt, b"|"),
    (g.parse_eprt, b"|1|1.2.3.4|80"),
    (g.parse_eprt, b"|1|1.2.3.4|80|x"),
    (g.parse_eprt, b"x|1|1.2.3.4|80|"),
    (g.parse_eprt, b"|1|1.2.3.4|0|"),
    (g.parse_eprt, b"|1|1.2.3.4|65536|"),
    (g.parse_eprt, b"|1|1.2.3.4|+80|"),
    (g.parse_eprt, b"|1|::1|80|"),
    (g.parse_eprt, b"|2|1.2.3.4|80|"),
    (g.parse_eprt, b"|1|1.2.3|80|"),
    (g.parse_eprt, b"|1|localhost|80|"),
    (g.parse_eprt, b"|2|fe80::1%lo|80|"),
    (g.parse_eprt, b"|2|\xff|80|"),
    (g.parse_eprt, b"|x|1.2.3.4|80|"),
    (g.parse_eprt, b"\x801\x801.2.3.4\x8080\x80"),
    (g.parse_eprt, b" 1 1.2.3.4 80 "),
    (g.parse_epsv, b"0"),
    (g.parse_epsv, b"65536"),
    (g.parse_epsv, b"x"),
    (g.parse_type, b"X"),
    (g.parse_type, b"II"),
    (g.parse_type, b""),
    (g.parse_mode, b"X"),
    (g.parse_structure, b"X"),
    (g.parse_rest, b"9223372036854775808"),
    (g.parse_rest, b"-1"),
    (g.parse_rest, b"+1"),
    (g.parse_rest, b"1_0"),
    (g.parse_rest, b"\xb2"),
    (g.parse_rest, b"0" * 20),
    (g.parse_rest, b""),
    (g.parse_allo, b"x"),
    (g.parse_allo, b"10 X 5"),
    (g.parse_allo, b"10 R x"),
    (g.parse_allo, b"10 R"),
    (g.parse_mfmt, b"19700101000001"),
    (g.parse_mfmt, b"19700101000001 "),
    (g.parse_mfmt, b"1970 a"),
    (g.parse_mdtm, b"19701301000001 a"),
    (g.parse_chmod, b"1777 a"),
    (g.parse_chmod, b"4755 a"),
    (g.parse_chmod, b"00644 a"),
    (g.parse_chmod, b"888 a"),
    (g.parse_chmod, b"644"),
    (g.parse_chmod, b"644 "),
    (g.parse_chmod, b" a"),
    (g.parse_utime, b"19700101000001"),
    (g.parse_utime, b"a b"),
    (g.parse_utime, b"19700101 a"),
    (g.parse_idle, b"0"),
    (g.parse_idle, b"86401"),
    (g.parse_utf8, b"MAYBE"),
    (g.parse_time, b"20230229000000"),
    (g.parse_time, b"20240230000000"),
    (g.parse_time, b"00000101000000"),
    (g.parse_time, b"20240001000000"),
    (g.parse_time, b"20240100000000"),
    (g.parse_time, b"20240101240000"),
    (g.parse_time, b"20240101006000"),
    (g.parse_time, b"20240101000061"),
    (g.parse_time, b"2024010100000"),
    (g.parse_time, b"202401010000000"),
    (g.parse_time, b"20240101000000."),
    (g.parse_time, b"20240101000000.1234567890"),
    (g.parse_time, b"20240101000000.x"),
    (g.parse_time, b"2024010100 000"),
]


@pytest.mark.parametrize(("parse", "raw", "value"), GOOD)
def test_good(parse, raw, value):
    """What each argument means."""
    assert parse(raw) == value


@pytest.mark.parametrize(("parse", "raw"), BAD)
def test_bad(parse, raw):
    """Anything beyond the bounds is the peer's fault, with a detail for the reply."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse(raw)
    assert caught.value.detail


def test_eprt_of_another_protocol_is_for_522():
    """RFC 2428 section 2 has a code of its own for it."""
    with pytest.raises(RemoteProtocolError) as caught:
        g.parse_eprt(b"|3|1.2.3.4|80|")
    assert caught.value.fields["reply"] == 522


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=60), st.from_regex(rb"[|0-9,.: A-Z\[\]*\\-]{0,40}", fullmatch=True)))
def test_any_bytes_give_a_value_or_the_remote_error(raw):
    """No parser knows another exception."""
    for parse in PARSERS:
        with contextlib.suppress(RemoteProtocolError):
            parse(raw)


ipv4 = st.ip_addresses(v=4).map(str)
port = st.integers(1, 65535)


@settings(derandomize=True, deadline=None)
@given(ipv4, port)
def test_port_and_227_round_trip(host, number):
    """What is formatted is read back."""
    assert g.parse_host_port(g.format_port(host, number)) == (host, number)
    assert parse_227(g.format_227(host, number)) == (host, number)


@settings(derandomize=True, deadline=None)
@given(st.ip_addresses().map(str), port)
def test_eprt_and_229_round_trip(host, number):
    """What is formatted is read back."""
    assert g.parse_eprt(g.format_eprt(host, number)) == (host, number)
    assert parse_229(g.format_229(number)) == number


@settings(derandomize=True, deadline=None)
@given(st.integers(-62135596800, 253402300799))
def test_times_round_trip(second):
    """Every second from year 1 to 9999 is read back, and is what the calendar says."""
    text = g.format_time(second * NS + 5)
    assert g.parse_time(text) == second * NS
    day = dt.date.fromordinal(second // 86400 + 719163)
    assert text[:8] == b"%04d%02d%02d" % (day.year, day.month, day.day)


def test_times_beyond_the_calendar_are_clamped():
    """A file from the year 30000 is listed, with the last day there is."""
    assert g.format_time(2**63 * 1000).startswith(b"99991231")
    assert g.format_time(-(2**63) * 1000).startswith(b"00010101")


def test_the_cache_of_days_is_bounded():
    """Whatever times files have, memory does not grow."""
    for day in range(timestamps.MAX_CACHED_DAYS + 10):
        g.format_time(day * 86400 * NS)
    assert len(timestamps._days) <= timestamps.MAX_CACHED_DAYS


def test_same_address():
    """Spellings of one address are the same, others and nonsense are not."""
    assert g.same_address("127.0.0.1", "::ffff:127.0.0.1")
    assert g.same_address("::1", "0:0::1")
    assert not g.same_address("127.0.0.1", "127.0.0.2")
    assert not g.same_address("::1", "127.0.0.1")
    assert not g.same_address("localhost", "localhost")


def test_facts():
    """Known facts in the server's order, in any case, unknown ones passed over."""
    assert g.parse_facts(b"SIZE;type;nonsense;unix.MODE;", MLST_FACTS) == ("type", "size", "UNIX.mode")
    assert g.parse_facts(b"", MLST_FACTS) == ()
