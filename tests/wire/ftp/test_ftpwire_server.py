"""Bytes to commands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.interfaces import Right
from twisted_xfer.protocols.ftp.wire.server import (
    Command,
    Reason,
    Rejected,
    ServerWire,
    match,
    strip_telnet,
)
from twisted_xfer.protocols.ftp.wire.verbs import SITE_VERBS, VERBS, Verb, with_rows
from twisted_xfer.testing.wires import drive, drive_three_ways, pull_into


def events(data, **limits):
    """What ``data`` gives, checked three ways, as (verb, argument) or the rejection."""
    found = drive_three_ways(
        lambda: ServerWire(**limits),
        "next_command",
        data,
        trailing=b"NOOP\r\n" if data.endswith(b"\n") else b"",
        after=[Command(VERBS[b"NOOP"], b"")],
    )
    return [(e.verb.name, e.argument) if isinstance(e, Command) else e for e in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOOP\r\n", (b"NOOP", b"")),
        (b"noop\n", (b"NOOP", b"")),
        (b"NoOp \r\n", (b"NOOP", b"")),
        (b"USER bob\r\n", (b"USER", b"bob")),
        (b"PASS  two  blanks \r\n", (b"PASS", b" two  blanks ")),
        (b"PASS\r\n", (b"PASS", b"")),
        (b"TYPE  I \r\n", (b"TYPE", b"I")),
        (b"RETR a b  c \r\n", (b"RETR", b"a b  c ")),
        (b"RETR  leading\r\n", (b"RETR", b" leading")),
        (b"STOR -x\r\n", (b"STOR", b"-x")),
        (b"RETR \xd0\xb8\xff\xff\x80\r\n", (b"RETR", b"\xd0\xb8\xff\x80")),
        (b"RETR \xff\xf1\xed\xfb\xff\r\n", (b"RETR", b"\xff\xf1\xed\xfb\xff")),
        (b"MKD \xff\xfb\xea \xff\xf0\r\n", (b"MKD", b"\xff\xfb\xea \xff\xf0")),
        (b"RETR a\r\0b\r\n", (b"RETR", b"a\rb")),
        (b"RETR tab\there\x1b\r\n", (b"RETR", b"tab\there\x1b")),
        (b"LIST\r\n", (b"LIST", b"")),
        (b"LIST -la x\r\n", (b"LIST", b"-la x")),
        (b"xcwd d\r\n", (b"XCWD", b"d")),
        (b"SITE CHMOD 644 a b\r\n", (b"SITE", b"CHMOD 644 a b")),
    ],
)
def test_commands(line, expected):
    """Lines with CRLF or LF, in any case, with arguments as raw as they must be."""
    assert events(line) == [expected]


@pytest.mark.parametrize(
    ("line", "reason", "verb"),
    [
        (b"\r\n", Reason.UNKNOWN, b""),
        (b"\n", Reason.UNKNOWN, b""),
        (b"HUH? x\r\n", Reason.UNKNOWN, b"HUH?"),
        (b" NOOP\r\n", Reason.UNKNOWN, b""),
        (b"NOOP\tx\r\n", Reason.BAD_BYTES, b"NOOPX"),
        (b"NOOP\0\r\n", Reason.BAD_BYTES, b"NOOP"),
        (b"A" * 40 + b"\r\n", Reason.UNKNOWN, b"A" * 16),
        (b"USER\r\n", Reason.SYNTAX, b"USER"),
        (b"USER  \r\n", Reason.SYNTAX, b"USER"),
        (b"CWD \r\n", Reason.SYNTAX, b"CWD"),
        (b"PWD x\r\n", Reason.SURPLUS, b"PWD"),
        (b"TYPE I\x01\r\n", Reason.BAD_BYTES, b"TYPE"),
        (b"RETR a\0b\r\n", Reason.BAD_BYTES, b"RETR"),
        (b"RETR a\rb\r\n", Reason.BAD_BYTES, b"RETR"),
        (b"RETR a\r\r\n", Reason.BAD_BYTES, b"RETR"),
    ],
)
def test_rejections(line, reason, verb):
    """Each kind of bad line, with the session going on behind it."""
    found = events(line)
    assert found == [Rejected(reason, verb)]
    assert found[0].reply[:4] in {b"500 ", b"501 "}
    assert found[0].reply.endswith(b"\r\n")
    assert found[0].reply.count(b"\n") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xf4\xff\xf2ABOR\r\n",
        b"\xff\xf4\xf2ABOR\r\n",
        b"\xff\xf4\xffABOR\r\n",
        b"\xff\xf4ABOR\r\n",
        b"\xf2ABOR\r\n",
        b"\xff\xf4\xff\xf2\xff\xf4\xff\xf2abor\r\n",
        b"\xff\xfb\x01\xff\xfd\x03AB\xff\xf1OR\r\n",
    ],
)
def test_abor_behind_telnet_synch(data):
    """IAC IP IAC DM in front of ABOR, whole or with a byte lost to the urgent channel."""
    assert events(data) == [(b"ABOR", b"")]


def test_telnet_sequences():
    """Two- and three-byte commands go, IAC IAC is one byte, cut ones wait."""
    assert strip_telnet(b"a\xff\xf9b\xff\xfe\x01c\xff\xffd") == (b"abc\xffd", b"")
    assert strip_telnet(b"a\xff") == (b"a", b"\xff")
    assert strip_telnet(b"a\xff\xfd") == (b"a", b"\xff\xfd")
    assert strip_telnet(b"\xffa") == (b"\xffa", b"")
    assert strip_telnet(b"\xff\xef\xff\xf0") == (b"\xff\xef", b"")


def test_line_limit_and_one_past():
    """The limit holds for whole and for unfinished lines; only that line is lost."""
    fits = b"RETR " + b"a" * 27
    assert len(fits) == 32
    assert events(fits + b"\n", max_line=32) == [(b"RETR", b"a" * 27)]
    assert events(fits[:-1] + b"\r\n", max_line=32) == [(b"RETR", b"a" * 26)]
    lost = Rejected(Reason.LINE_TOO_LONG, b"RETR")
    assert events(fits + b"\r\n", max_line=32) == [lost]
    assert events(fits + b"a\n", max_line=32) == [lost]
    assert events(b"RETR " + b"a" * 500 + b"\nPWD\n", max_line=32) == [lost, (b"PWD", b"")]
    assert lost.reply == b"500 Line too long.\r\n"


def test_an_endless_line_is_not_kept():
    """Megabytes without a line end cost one rejection and no memory."""
    wire = ServerWire()
    found = []
    for _ in range(100):
        wire.receive_data(b"A" * 16384)
        pull_into(found, wire.next_command)
        assert wire.pending == 0
    wire.receive_data(b"AAA\r\nNOOP\r\n")
    pull_into(found, wire.next_command)
    assert found == [Rejected(Reason.LINE_TOO_LONG, b"A" * 16), Command(VERBS[b"NOOP"], b"")]


def test_pipelined_commands():
    """Ten thousand in one read come out in order, and their bytes are let go on the way."""
    wire = ServerWire()
    wire.receive_data(b"".join(b"CWD %d\r\n" % number for number in range(10_000)) + b"PW")
    found = []
    pull_into(found, wire.next_command)
    assert [command.argument for command in found] == [b"%d" % number for number in range(10_000)]
    assert wire.pending == 2
    wire.receive_data(b"D\r\n")
    assert wire.next_command().verb.name == b"PWD"


@pytest.mark.parametrize(
    ("before", "line", "after"),
    [
        (b"", b"ABOR\r\n", b""),
        (b"", b"abor \n", b"NOOP\r\n"),
        (b"PWD\r\nSTOR ABOR\r\n", b"\xff\xf4\xff\xf2ABOR\r\n", b"MKD x\r\nQUIT\r\n"),
        (b"PWD\r\n", b"\xf2ABOR\r\n", b"ABOR"),
        (b"PWD\r\n", b"ABOR\r\n", b"ABOR\r\n"),
    ],
)
@pytest.mark.parametrize("pulled", [False, True])
def test_an_abort_is_taken_out_of_its_turn(before, line, after, pulled):
    """The first, wherever its line stands; what stands around it stays as it is."""
    wire, rest = ServerWire(), ServerWire()
    wire.receive_data((b"SYST\r\n" if pulled else b"") + before + line + after)
    rest.receive_data(before + after)
    if pulled:
        wire.next_command()
    assert wire.take_abort() == Command(VERBS[b"ABOR"], b"")
    assert wire.pending == rest.pending
    assert (wire.take_abort() is None) is (after != line)
    if after == line:
        return
    found = [], []
    for one, events_of_one in zip((wire, rest), found, strict=True):
        one.receive_data(b"\r\nNOOP\r\n")
        pull_into(events_of_one, one.next_command)
    assert found[0] == found[1] != []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ABOR",
        b"ABOR\r",
        b"XABOR\r\n",
        b"ABORT\r\n",
        b"ABOR x\r\n",
        b"MKD ABOR\r\n",
        b"QUIT\r\nABOR\r\n",
    ],
)
def test_what_is_no_abort_stays(data):
    """Nor does one count that is behind a QUIT, or whose line is not there yet."""
    wire = ServerWire()
    wire.receive_data(data)
    assert wire.take_abort() is None
    assert wire.pending == len(data)


def test_clear_tells_what_was_injected():
    """Bytes behind AUTH TLS are counted and dropped."""
    wire = ServerWire()
    wire.receive_data(b"AUTH TLS\r\nUSER x\r\nPA\xff")
    assert wire.next_command().verb.name == b"AUTH"
    assert wire.pending == 11
    assert wire.clear() == 11
    assert wire.clear() == 0
    assert wire.next_command() is None
    wire.receive_data(b"NOOP\r\n")
    assert wire.next_command().verb.name == b"NOOP"


def test_secrets_are_masked():
    """No repr of a command shows a password."""
    canary = b"canary-1234"
    for verb in (b"PASS", b"ACCT"):
        wire = ServerWire()
        wire.receive_data(verb + b" " + canary + b"\r\n")
        command = wire.next_command()
        assert command.argument == canary
        assert "canary" not in repr(command)
        assert "canary" not in f"{command} {[command]}"
    assert repr(Command(VERBS[b"RETR"], b"x\xff")) == "Command(RETR, b'x\\xff')"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.sampled_from(
                [b"USER a\r\n", b"\xff", b"\xf4", b"\xff\xf2", b"\r", b"\n", b"\0", b"STOR ", b"x" * 70]
            ),
        ),
        max_size=30,
    )
)
def test_any_bytes_give_commands_or_rejections(chunks):
    """No bytes raise, cutting changes nothing, and no more than a line stays."""
    wire = ServerWire(max_line=64)
    found = []
    for chunk in chunks:
        wire.receive_data(chunk)
        pull_into(found, wire.next_command)
        assert wire.pending <= 64 + 2
    assert all(isinstance(event, Command | Rejected) for event in found)
    for event in found:
        if isinstance(event, Command):
            assert b"\n" not in event.argument
            assert b"\0" not in event.argument
        else:
            assert event.reply.count(b"\r\n") == 1
    single = drive(
        lambda: ServerWire(max_line=64), "next_command", [b"%c" % byte for byte in b"".join(chunks)]
    )
    assert single == found


# --- the table ---------------------------------------------------------------------------

EVERY_VERB = (
    b"USER PASS REIN QUIT ACCT CWD CDUP PWD XCWD XCUP XPWD XMKD XRMD TYPE MODE STRU PASV EPSV PORT EPRT RETR "
    b"STOR APPE STOU REST ALLO ABOR LIST NLST MLSD MLST OPTS STAT SIZE MDTM MFMT DELE RNFR RNTO MKD RMD FEAT "
    b"HELP SYST NOOP CLNT AVBL SITE SMNT AUTH PBSZ PROT CCC"
).split()


def test_the_table_is_complete():
    """Exactly the commands that are promised."""
    assert sorted(VERBS) == sorted(EVERY_VERB)
    assert sorted(SITE_VERBS) == [b"CHMOD", b"HELP", b"IDLE", b"QUOTA", b"UTIME"]


@pytest.mark.parametrize("verb", [*VERBS.values(), *SITE_VERBS.values()], ids=lambda verb: verb.name.decode())
def test_each_row(verb):
    """Each row is keyed by its name, has help, and a right that exists where it touches files."""
    table = VERBS if verb.name in VERBS and VERBS[verb.name] is verb else SITE_VERBS
    assert table[verb.name] is verb
    assert verb.help
    assert verb.help.isascii()
    assert verb.right in {"", *(right.value for right in Right)}
    assert verb.canonical in table
    assert not table[verb.canonical].alias
    assert not verb.feat.startswith(b" ")
    if verb.login != "after":
        assert not verb.right
    for argument, legal in ((b"", verb.argument != "required"), (b"x", verb.argument != "none")):
        event = match(table, verb.name.lower() + b" " + argument)
        assert isinstance(event, Command) is legal


def test_verbs_that_change_files_need_a_right():
    """No command that changes anything is without one."""
    for (
        name
    ) in b"RETR STOR APPE STOU LIST NLST MLSD MLST SIZE MDTM MFMT DELE RNFR RNTO MKD RMD XMKD XRMD".split():
        assert VERBS[name].right, name
    assert SITE_VERBS[b"CHMOD"].right == "chmod"
    assert SITE_VERBS[b"UTIME"].right == "utime"


def test_only_these_pass_a_transfer():
    """Priority is for ABOR, STAT, NOOP and QUIT."""
    assert {name for name, verb in VERBS.items() if verb.priority} == {b"ABOR", b"STAT", b"NOOP", b"QUIT"}


def test_extra_rows():
    """Plugins add rows; doubles, bad names and aliases of nothing are refused."""
    table = with_rows(VERBS, [Verb(b"XTRA", "optional"), Verb(b"XTR2", alias=b"XTRA")])
    assert table[b"XTRA"].argument == "optional"
    assert b"XTRA" not in VERBS
    assert Verb(b"XTR2", alias=b"XTRA").canonical == b"XTRA"
    bad = [b"RETR", b"", b"retr", b"X Y", b"X" * 17, b"\xd0"]
    for name in bad:
        with pytest.raises(LocalProtocolError):
            with_rows(VERBS, [Verb(name)])
    with_rows(VERBS, [Verb(b"X" * 16)])
    with pytest.raises(LocalProtocolError):
        with_rows(VERBS, [Verb(b"XTRA", alias=b"NONE")])
    with pytest.raises(TypeError):
        VERBS[b"XTRA"] = Verb(b"XTRA")
