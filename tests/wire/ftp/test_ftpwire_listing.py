"""Entries to listing lines, and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import RemoteProtocolError
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, FileInfo
from twisted_xfer.protocols.ftp.wire.listing import (
    DEFAULT_FACTS,
    MLST_FACTS,
    list_line,
    list_lines,
    mlsd_line,
    mlsd_lines,
    mlst_feature,
    mlst_text,
    mode_string,
    nlst_line,
    nlst_lines,
    perm_facts,
)
from twisted_xfer.protocols.ftp.wire.listing_parse import (
    MAX_LISTING_LINE,
    ParsedEntry,
    parse_list,
    parse_mlsd,
)
from twisted_xfer.protocols.ftp.wire.timestamps import RECENT

NS = 10**9
NOW = 1709210096  # 2024-02-29 12:34:56
FILE = FileInfo(b"a.txt", "file", 1234, (NOW - 60) * NS, 0o644, 1, 1000, 100, "801g2a")
DIR = FileInfo(b"d", "dir", 4096, NOW * NS, 0o755, 3, 0, 0, "801g2b")
LINK = FileInfo(b"l", "symlink", 5, 0, 0o777, 1, 0, 0, "801g2c", b"a.txt")
NAMES = [
    b"a b",
    b" lead",
    b"trail ",
    b'it\'s "q"',
    b"-rf",
    b"#%&;=",
    b"\xff\xfe",
    "имя".encode(),
    "文件".encode(),
    "имя".encode("cp1251"),
    b"tab\there",
    b"\x1b[31m",
    b"a -> b",
]


def test_list_golden():
    """File, directory and symlink as ls shows them."""
    assert list_lines([FILE, DIR, LINK], NOW) == (
        b"-rw-r--r--   1 1000     100              1234 Feb 29 12:33 a.txt\r\n"
        b"drwxr-xr-x   3 0        0                4096 Feb 29 12:34 d\r\n"
        b"lrwxrwxrwx   1 0        0                   5 Jan  1  1970 l -> a.txt\r\n"
    )
    assert list_line(FILE, NOW) == list_lines([FILE], NOW)
    assert list_lines([], NOW) == b""


def test_list_of_large_values():
    """Wide columns push the rest along and never run together."""
    big = FILE._replace(size=2**63 - 1, links=12345, uid=4294967294, gid=4294967294)
    assert list_line(big, NOW) == (
        b"-rw-r--r-- 12345 4294967294 4294967294 9223372036854775807 Feb 29 12:33 a.txt\r\n"
    )


def test_other_kinds():
    """Sockets and the like have a type that nobody takes for a file."""
    other = FileInfo(b"s", "other", mode=0o600)
    assert list_line(other, NOW).startswith(b"?rw-------")
    assert mlsd_line(other, ("type",), (b"", b"")) == b"type=OS.unix=other; s\r\n"


@pytest.mark.parametrize(
    ("kind", "letter", "name"),
    [
        ("fifo", b"p", b"fifo"),
        ("socket", b"s", b"socket"),
        ("block", b"b", b"blk"),
        ("char", b"c", b"chr"),
        ("symlink", b"l", b"symlink"),
    ],
)
def test_kinds_that_are_no_files(kind, letter, name):
    """As `ls` shows them, and as types of the system (RFC 3659 section 7.5.1.5); never as files."""
    entry = FileInfo(b"s", kind, mode=0o640)
    assert list_line(entry, NOW).startswith(letter + b"rw-r----- ")
    assert mlsd_line(entry, ("type",), (b"", b"")) == b"type=OS.unix=%b; s\r\n" % name
    perm = b"adfrw" if kind == "symlink" else b"df"
    assert mlsd_line(entry, ("perm",), (b"adfrw", b"cdeflmp")) == b"perm=%b; s\r\n" % perm


def test_half_a_year_and_one_second_past():
    """The time of day is shown within half a year back and a day ahead."""
    for second, clock in (
        (NOW, 1),
        (NOW - RECENT + 1, 1),
        (NOW - RECENT, 0),
        (NOW + 86400, 1),
        (NOW + 86401, 0),
    ):
        line = list_line(FILE._replace(mtime_ns=second * NS), NOW)
        assert (line.split()[7].count(b":") == 1) is bool(clock), second


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0, b"----------"),
        (0o777, b"-rwxrwxrwx"),
        (0o4755, b"-rwsr-xr-x"),
        (0o6644, b"-rwSr-Sr--"),
        (0o1777, b"-rwxrwxrwt"),
        (0o1640, b"-rw-r----T"),
    ],
)
def test_mode_strings(mode, text):
    """Special bits as ls shows them."""
    assert mode_string("file", mode) == text


def test_mlsd_golden():
    """Facts in the fixed order, no size for a directory, no unique where there is none."""
    perm = perm_facts(frozenset(ALL_RIGHTS))
    assert mlsd_lines([FILE, DIR, LINK._replace(unique="")], DEFAULT_FACTS, perm) == (
        b"type=file;size=1234;modify=20240229123356;perm=adfrw;unique=801g2a;UNIX.mode=0644; a.txt\r\n"
        b"type=dir;modify=20240229123456;perm=cdeflmp;unique=801g2b;UNIX.mode=0755; d\r\n"
        b"type=OS.unix=symlink;size=5;modify=19700101000000;perm=adfrw;UNIX.mode=0777; l\r\n"
    )
    assert mlsd_line(FILE, ("UNIX.uid", "UNIX.gid"), perm) == b"UNIX.uid=1000;UNIX.gid=100; a.txt\r\n"
    assert mlsd_line(FILE, (), perm) == b" a.txt\r\n"
    assert mlsd_line(DIR._replace(name=b"."), ("type",), perm, b"cdir") == b"type=cdir; .\r\n"
    assert mlst_text(DIR, b"/x y/d", ("type", "perm"), perm) == b"type=dir;perm=cdeflmp; /x y/d"


def test_facts_cannot_be_forged_by_a_storage():
    """What ends a fact is not within one."""
    line = mlsd_line(FILE._replace(unique="a;type=dir; b\r\n\ud800"), ("unique",), (b"", b""))
    assert line == b"unique=a_type=dir__b__?; a.txt\r\n"


def test_perm_facts():
    """Letters follow the rights (RFC 3659 section 7.5.5)."""
    assert perm_facts(frozenset(READ_ONLY)) == (b"r", b"el")
    assert perm_facts(frozenset()) == (b"", b"e")
    assert perm_facts(frozenset({"write", "mkdir"})) == (b"", b"cem")
    assert perm_facts(frozenset({"delete", "rename"})) == (b"df", b"efp")


def test_mlst_feature():
    """All facts, with a star at those that are on."""
    assert mlst_feature(("type", "UNIX.gid")) == (
        b"type*;size;modify;perm;unique;UNIX.mode;UNIX.uid;UNIX.gid*;"
    )


@pytest.mark.parametrize("name", [b"a\nb", b"a\rb", b"a\r\nb", b"\n", b"\0"])
def test_line_ends_in_names_do_not_break_a_listing(name):
    """CR, LF and NUL are shown as question marks in every kind of listing, targets included."""
    shown = name.translate(bytes.maketrans(b"\r\n\0", b"???"))
    for line in (
        list_line(FILE._replace(name=name), NOW),
        mlsd_line(FILE._replace(name=name), DEFAULT_FACTS, (b"", b"")),
        nlst_line(name),
        list_line(LINK._replace(target=name), NOW),
    ):
        assert line.endswith(shown + b"\r\n")
        assert line.count(b"\n") == line.count(b"\r") == 1
    assert b"\n" not in mlst_text(FILE, b"/" + name, ("type",), (b"", b""))


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_as_they_are(name):
    """Blanks, quotes, dashes, escapes and bytes of any charset pass unchanged, and are read back."""
    entry = FILE._replace(name=name)
    assert list_line(entry, NOW).endswith(b" Feb 29 12:33 " + name + b"\r\n")
    assert nlst_lines([entry, entry], b"p/") == (b"p/" + name + b"\r\n") * 2
    assert parse_list(list_line(entry, NOW), NOW).name == name
    assert parse_mlsd(mlsd_line(entry, DEFAULT_FACTS, (b"", b""))).name == name


names = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & set(b"\r\n\0/") and name not in {b".", b".."}
)
times = st.integers(0, 253402300799)
sizes = st.integers(0, 2**63 - 1)


@settings(derandomize=True, deadline=None)
@given(names, st.sampled_from(["file", "dir", "symlink"]), sizes, times, st.integers(0, 0o7777))
def test_mlsd_round_trip(name, kind, size, second, mode):
    """A client reads back every fact."""
    entry = FileInfo(name, kind, size, second * NS, mode, unique="u1")
    found = parse_mlsd(mlsd_line(entry, MLST_FACTS, (b"r", b"el")))
    assert found == ParsedEntry(
        name,
        kind,
        None if kind == "dir" else size,
        second * NS,
        mode,
        "u1",
        perm="el" if kind == "dir" else "r",
        exact=True,
    )


@settings(derandomize=True, deadline=None)
@given(names, st.sampled_from(["file", "dir"]), sizes, times, st.integers(0, 0o7777))
def test_list_round_trip(name, kind, size, second, mode):
    """A client reads back what LIST can say: the minute of recent files, else the day."""
    entry = FileInfo(name, kind, size, second * NS, mode)
    found = parse_list(list_line(entry, NOW), NOW)
    assert (found.name, found.kind, found.size, found.mode) == (name, kind, size, mode)
    grain = 60 if NOW - RECENT < second <= NOW + 86400 else 86400
    assert found.mtime_ns == second // grain * grain * NS


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (
            b"-rw-r--r--   1 owner group   12 Jan  5 10:20 x y",
            ParsedEntry(b"x y", "file", 12, 1704450000 * NS, 0o644),
        ),
        (b"-rw-r--r--+  1 o g 12 Dec 31 23:59 x", ParsedEntry(b"x", "file", 12, 1704067140 * NS, 0o644)),
        (
            b"-rw-r--r--   1 owner 12 Jan  5  2020 x\r\n",
            ParsedEntry(b"x", "file", 12, 1578182400 * NS, 0o644),
        ),
        (b"drwxr-sr-t 2 o g 0 5 Jan 2020 d\n", ParsedEntry(b"d", "dir", 0, 1578182400 * NS, 0o3755)),
        (
            b"lrwxrwxrwx 1 o g 4 Jan  5  2020 l -> t -> u",
            ParsedEntry(b"l", "symlink", 4, 1578182400 * NS, 0o777, target=b"t -> u"),
        ),
        (b"lrwxrwxrwx 1 o g 4 Jan  5  2020 l", ParsedEntry(b"l", "symlink", 4, 1578182400 * NS, 0o777)),
        (b"prw------- 1 o g 0 Xyz  5  2020 p", ParsedEntry(b"p", "other", 0, None, 0o600)),
        (b"-rw------- 1 o g 0 Feb 30 10:00 p", ParsedEntry(b"p", "file", 0, None, 0o600)),
        (
            b"01-05-20  10:20AM       <DIR>          Program Files",
            ParsedEntry(b"Program Files", "dir", None, 1578219600 * NS),
        ),
        (b"01-05-2020  12:20PM  99 a.txt", ParsedEntry(b"a.txt", "file", 99, 1578226800 * NS)),
        (b"01-05-99  12:20am  99 a.txt", ParsedEntry(b"a.txt", "file", 99, 915495600 * NS)),
        (b"13-05-20  22:20  99 a.txt", ParsedEntry(b"a.txt", "file", 99, None)),
        (b"01-05-20  22:20  9999999999999999999 a", ParsedEntry(b"a", "file", None, 1578262800 * NS)),
        (b"total 12", None),
        (b"", None),
        (b"  \r\n", None),
        (b"drwxr-xr-x 2 o g 0 Jan  5  2020 .", None),
        (b"drwxr-xr-x 2 o g 0 Jan  5  2020 ..", None),
    ],
)
def test_lists_of_other_servers(line, entry):
    """Unix and MS-DOS styles, and what is no entry."""
    assert parse_list(line, NOW) == entry


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"-rw-r--r-- 1 o g 12 Jan  5  2020 ../x",
        b"-rw-r--r-- 1 o g 12 Jan  5  2020 a\0",
        b"\xff" * 100,
    ],
)
def test_bad_list_lines(line):
    """Other styles, and names that lead elsewhere."""
    with pytest.raises(RemoteProtocolError):
        parse_list(line, NOW)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (b"type=cdir; /", ParsedEntry(b"/", "cdir")),
        (b"Type=PDIR; ..", ParsedEntry(b"..", "pdir")),
        (b" plain", ParsedEntry(b"plain", "file")),
        (b"type=OS.unix=slink:/t; l", ParsedEntry(b"l", "symlink", target=b"/t")),
        (b"type=OS.unix=chr-1/2; l", ParsedEntry(b"l", "other")),
        (b"size=x;modify=no;unix.mode=9; f", ParsedEntry(b"f", "file")),
        (b"size=99999999999999999999;perm=RW; f", ParsedEntry(b"f", "file", perm="rw")),
        (b"x;y=; f g\r\n", ParsedEntry(b"f g", "file")),
    ],
)
def test_mlsd_of_other_servers(line, entry):
    """Facts in any case; wrong ones count as not told."""
    assert parse_mlsd(line) == entry


@pytest.mark.parametrize(
    "line", [b"", b"type=file;name", b"type=file name", b"type=file; ../x", b"; ", b"; ..", b"; a\0"]
)
def test_bad_mlsd_lines(line):
    """No facts, or a name that is no plain one."""
    with pytest.raises(RemoteProtocolError):
        parse_mlsd(line)


def test_listing_line_limit_and_one_past():
    """A line is no longer than two paths."""
    fits = b" " + b"x" * (MAX_LISTING_LINE - 1)
    assert parse_mlsd(fits).name == fits[1:]
    for parse in (parse_mlsd, lambda line: parse_list(line, NOW)):
        with pytest.raises(RemoteProtocolError, match="too long"):
            parse(fits + b"x")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.from_regex(
            rb"[-dl][-rwx]{9} 1 o g [0-9]{1,20} [A-Z][a-z]{2} [0-9]{1,2} [0-9:]{4,5} .{0,9}", fullmatch=True
        ),
    )
)
def test_any_line_gives_an_entry_or_the_remote_error(line):
    """No line knows another exception, and no name leads out."""
    for parse in (parse_mlsd, lambda raw: parse_list(raw, NOW)):
        try:
            entry = parse(line)
        except RemoteProtocolError:
            continue
        if entry is not None and entry.kind not in {"cdir", "pdir"}:
            assert b"/" not in entry.name
            assert entry.name not in {b"", b".", b".."}
