"""Names that do not fit the session's charset."""

from __future__ import annotations

import pytest

from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.options import FTPOptions

from .conftest import channel

CHINESE = "日本"
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
    assert codec.shown_raw(b"/a/" + raw) == stored
    assert codec.shown_raw(b"/a/" + raw + b"/") == stored
    assert codec.shown_raw(raw) == raw
