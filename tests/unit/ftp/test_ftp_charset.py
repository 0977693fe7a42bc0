"""Names that do not fit the session's charset."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from twisted_xfer.errors import NotFound
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.shown import MOST_LOOKS

from .conftest import channel

CHINESE = "日本"


class SlowAvatar:
    """Finds nothing at first; the second time the answer takes its time."""

    def __init__(self, inner, answer, seen):
        self.inner = inner
        self.answer = answer
        self.seen = seen

    def stat(self, path):
        self.seen.append("stat")
        if len(self.seen) == 1:
            raise NotFound(bytes(path))
        return self.answer


RUSSIAN = "ясень"


@pytest.fixture
def cyrillic(make_rig):
    """A session of alice in cp1251, in which every byte of a Chinese name means a letter."""
    return make_rig(options=FTPOptions(charset="cp1251")).login()


def test_a_name_that_fits_no_charset_is_found_as_it_was_shown(cyrillic):
    """Bytes that were shown as they are name the same file, though cp1251 makes another name of them."""
    cyrillic.storage_file(CHINESE, b"four")
    assert CHINESE.encode() in cyrillic.say("STAT /")
    assert (
        cyrillic.say(f"SIZE {CHINESE}")
        == b"550 SIZE needs TYPE I: in ASCII the size is not known before the transfer.\r\n"
    )
    assert cyrillic.say("TYPE I", f"SIZE {CHINESE}").endswith(b"213 4\r\n")
    assert cyrillic.say(f"MDTM {CHINESE}").startswith(b"213 ")
    assert cyrillic.say(f"SITE CHMOD 600 {CHINESE}").startswith(b"200 ")
    assert cyrillic.say(f"RNFR {CHINESE}", "RNTO plain").endswith(b"250 Renamed.\r\n")
    cyrillic.storage_file(CHINESE, b"more")
    assert cyrillic.say(f"DELE {CHINESE}").startswith(b"250 ")
    assert cyrillic.say(f"DELE {CHINESE}").startswith(b"550 ")


def test_a_restart_point_holds_for_the_name_as_it_was_shown(cyrillic):
    """RETR that looks twice starts where REST said."""
    cyrillic.storage_file(CHINESE, b"four")
    cyrillic.say("TYPE I", "EPSV", "REST 3")
    cyrillic.data_ports.ports[-1].channel = channel()
    assert cyrillic.say(f"RETR {CHINESE}").startswith(b"150 ")
    assert cyrillic.transfers.made[-1].file.offset == 3


def test_directories_of_both_kinds(cyrillic):
    """Each name of a path is converted if it can be, whatever the others are; PWD and CWD agree."""
    for line in (b"MKD %b", b"CWD %b", b"MKD sub"):
        cyrillic.raw(line % RUSSIAN.encode("cp1251") + b"\r\n" if b"%" in line else line + b"\r\n")
    cyrillic.storage_file(f"/{RUSSIAN}/{CHINESE}", b"x")
    shown = RUSSIAN.encode("cp1251") + b"/" + CHINESE.encode()
    assert cyrillic.raw(b"SIZE x\r\nTYPE I\r\nSIZE /" + shown + b"\r\n").endswith(b"213 1\r\n")
    assert NameCodec("cp1251").to_wire(f"/{RUSSIAN}/{CHINESE}".encode()) == b"/" + shown


def test_a_converted_name_comes_first(cyrillic):
    """Where both names exist the bytes mean what the charset says."""
    meant = CHINESE.encode().decode("cp1251")
    cyrillic.storage_file(CHINESE, b"1")
    cyrillic.storage_file(meant, b"22")
    assert cyrillic.say("TYPE I", f"SIZE {CHINESE}").endswith(b"213 2\r\n")


def test_new_names_are_always_converted(cyrillic):
    """What is made under a name is found under it by everybody of that charset."""
    cyrillic.say(f"MKD {CHINESE}")
    made = CHINESE.encode().decode("cp1251").encode()
    assert made in [info.name for info in cyrillic.session.avatar.list(cyrillic.session.cwd).next_batch()]


@pytest.mark.parametrize("charset", ["gbk", "cp1251", "koi8-r", "big5"])
def test_paths_of_names_that_cannot_be_converted(charset):
    """Those names are kept, byte by byte, and the others converted."""
    codec = NameCodec(charset)
    raw = b"\x80\xff\xfe\x98"
    stored = b"/a/" + raw
    assert codec.to_wire(stored) == stored


@pytest.fixture
def below(cyrillic):
    """The same session, with a directory whose name is not in its charset, and a tree of both kinds in it."""
    for place in (CHINESE, f"{CHINESE}/{RUSSIAN}", f"{CHINESE}/{CHINESE}"):
        cyrillic.session.avatar.make_directory(VirtualPath.parse(place.encode()))
        cyrillic.storage_file(f"{place}/file", b"four")
    cyrillic.say("TYPE I")
    return cyrillic


MEANT = RUSSIAN.encode("cp1251")
SHOWN = CHINESE.encode()


@pytest.mark.parametrize(
    "path",
    [b"/file", b"/./file", b"/" + MEANT + b"/file", b"/" + SHOWN + b"/file", b"/" + SHOWN + b"/../file"],
)
@pytest.mark.parametrize("start", [b"", b"/", b"/" + SHOWN + b"/../"])
def test_files_below_a_directory_that_fits_no_charset(below, start, path):
    """Each name of a path is looked for as what it means, and else as what it is."""
    assert below.raw(b"SIZE " + start + SHOWN + path + b"\r\n") == b"213 4\r\n"
    assert below.raw(b"SIZE " + start + SHOWN + path + b"x\r\n").startswith(b"550 ")


def test_commands_below_such_a_directory(below):
    """Those that ask, those that change and those that make names."""
    for line, code in (
        (b"STAT %b/*", b"213-"),
        (b"MLST %b/file", b"250-"),
        (b"MKD %b/new", b"257 "),
        (b"CWD %b/new", b"250 "),
        (b"CWD /%b", b"250 "),
        (b"CWD /%b/" + SHOWN, b"250 "),
        (b"RNFR file", b"350 "),
        (b"RNTO /%b/moved", b"250 "),
        (b"SIZE /%b/moved", b"213 "),
        (b"MFMT 20200101000000 /%b/moved", b"213 "),
        (b"MDTM 20200101000000 /%b/moved", b"213 "),
        (b"DELE /%b/moved", b"250 "),
        (b"RNTO /%b/moved", b"503 "),
        (b"RMD /%b/new", b"250 "),
        (b"RMD /%b/new", b"550 "),
        (b"MKD /%b/nowhere/new", b"550 "),
    ):
        said = below.raw((line % SHOWN if b"%b" in line else line) + b"\r\n")
        assert said.startswith(code), (line, said)
    assert b" file" in below.raw(b"STAT /" + SHOWN + b"/*\r\n")


def test_what_is_made_there_has_a_converted_name(below):
    """The last name of what is made means what the charset says, wherever it is."""
    assert below.raw(b"MKD " + SHOWN + b"/" + b"\xfe\xfe\r\n").startswith(b"257 ")
    made = below.session.avatar.stat(VirtualPath((SHOWN, b"\xfe\xfe".decode("cp1251").encode())))
    assert made.kind == "dir"


def test_uploads_below_such_a_directory_go_on_and_have_a_size(below):
    """What REST and ALLO said is not lost over the second look."""
    below.raw(b"EPSV\r\nREST 3\r\nALLO 9\r\n")
    below.data_ports.ports[-1].channel = channel()
    assert below.raw(b"STOR " + SHOWN + b"/file\r\n").startswith(b"150 ")
    upload = below.transfers.made[-1].file
    assert (upload.offset, upload.path) == (3, VirtualPath((SHOWN, b"file")))
    assert below.session.size_hint is None
    below.transfers.made[-1].cancel()


def test_a_path_of_many_such_names_is_not_looked_for(below):
    """Looking costs the more the deeper it is; nobody has as many names in a wrong charset below each other."""
    # Two of them are there already.
    for depth in range(3, MOST_LOOKS + 2):
        below.session.avatar.make_directory(VirtualPath((SHOWN,) * depth))
    at_limit = b"/".join([SHOWN] * MOST_LOOKS)
    assert below.raw(b"CWD /" + at_limit + b"/" + SHOWN + b"\r\n").startswith(b"550 ")
    assert below.raw(b"CWD /" + at_limit + b"\r\n").startswith(b"250 ")


def test_nobody_is_there_any_more_when_the_look_is_over(below):
    """A session that ends meanwhile takes nothing more up."""
    avatar = below.session.avatar
    answer = Deferred()
    seen = []
    session = below.session
    session.avatar = SlowAvatar(avatar, answer, seen)
    assert below.raw(b"SIZE " + SHOWN + b"/file\r\n") == b""
    session.avatar = avatar
    below.lose()
    answer.errback(NotFound(b"x"))
    assert session.running is None
    assert seen == ["stat", "stat"]
