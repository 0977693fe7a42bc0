"""Directories and files over the control connection, and names in any charset."""

from __future__ import annotations

import pytest
from twisted.internet.defer import succeed
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, PermissionDenied
from twisted_xfer.interfaces import (
    Account,
    IEnters,
    IHasQuota,
    IHasRoom,
    QuotaScope,
    QuotaStatus,
    Right,
    Usage,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.options import FTPOptions


def test_directories(user):
    """MKD, CWD, CDUP, PWD, RMD and their X-aliases."""
    assert user.say("MKD a").startswith(b'257 "/a"')
    assert user.say("XMKD a/b").startswith(b'257 "/a/b"')
    assert user.say("CWD a/b").startswith(b"250 ")
    assert user.say("XPWD").startswith(b'257 "/a/b"')
    assert user.say("CDUP").startswith(b"250 ")
    assert user.say("XCUP").startswith(b"250 ")
    assert user.say("CDUP").startswith(b'250 "/"')
    assert user.say("XCWD a").startswith(b"250 ")
    assert user.say("RMD b").startswith(b"250 ")
    assert user.say("CWD b").startswith(b"550 ")
    assert user.say("MKD /a").startswith(b"550 ")


def test_quotes_in_names(user):
    """Double quotes are doubled in 257 replies."""
    assert user.say('MKD say "hi"').startswith(b'257 "/say ""hi"""')


def test_cwd_to_a_file(user):
    """A file is no directory."""
    user.storage_file("f", b"x")
    assert user.say("CWD f").startswith(b"550 ")


@pytest.mark.parametrize("path", ["../../etc/passwd", "/../etc/passwd", "a/../../../etc", "..", "/.."])
def test_dots_stay_inside(user, path):
    """``..`` never climbs over the root."""
    assert user.session.path(path.encode()).parts in {(b"etc", b"passwd"), (b"etc",), ()}


def test_size_and_times(user):
    """SIZE, MDTM, MFMT and the MDTM form that sets."""
    user.storage_file("f", b"12345")
    assert user.say("SIZE f").startswith(b"550 ")
    user.say("TYPE I")
    assert user.say("SIZE f") == b"213 5\r\n"
    assert user.say("SIZE nothing").startswith(b"550 ")
    user.say("MKD d")
    assert user.say("SIZE d").startswith(b"550 ")
    assert user.say("MFMT 20200102030405 f") == b"213 Modify=20200102030405; f\r\n"
    assert user.say("MDTM f") == b"213 20200102030405\r\n"
    assert user.say("MDTM 20210102030405 f").startswith(b"213 20210102030405")
    assert user.say("MDTM f") == b"213 20210102030405\r\n"
    assert user.say("MFMT 20201302030405 f").startswith(b"501 ")


def test_mdtm_of_a_name_that_looks_like_a_time(user):
    """A file called like a time and a name is that file."""
    user.storage_file("20210102030405 f", b"x")
    assert user.say("MDTM 20210102030405 f") == b"213 20231114221320\r\n"


def test_rename(user):
    """RNFR then RNTO, and only so."""
    user.storage_file("old", b"x")
    assert user.say("RNTO new").startswith(b"503 ")
    assert user.say("RNFR nothing").startswith(b"550 ")
    assert user.say("RNTO new").startswith(b"503 ")
    assert user.say("RNFR old").startswith(b"350 ")
    user.say("NOOP")
    assert user.say("RNTO new").startswith(b"503 ")
    user.say("RNFR old")
    assert user.say("RNTO new").startswith(b"250 ")
    assert user.say("RNTO newer").startswith(b"503 ")
    assert user.say("MLST new").startswith(b"250-")


def test_delete(user):
    """DELE is for files."""
    user.storage_file("f", b"x")
    assert user.say("DELE f").startswith(b"250 ")
    assert user.say("DELE f").startswith(b"550 ")
    user.say("MKD d")
    assert user.say("DELE d").startswith(b"550 ")
    assert user.say("RMD /").startswith(b"550 ")


def test_site(user):
    """CHMOD, UTIME, HELP, and what is not there."""
    user.storage_file("f", b"x")
    assert user.say("SITE CHMOD 640 f").startswith(b"200 ")
    assert b"UNIX.mode=0640" in user.say("MLST f")
    assert user.say("SITE CHMOD 4755 f").startswith(b"501 ")
    assert user.say("SITE UTIME 20200102030405 f").startswith(b"200 ")
    assert user.say("MDTM f") == b"213 20200102030405\r\n"
    assert b" SITE UTIME " in user.say("SITE HELP")
    assert user.say("SITE HELP chmod") == b"214 SITE CHMOD <octal> <path>: set permissions\r\n"
    assert user.say("SITE HELP exec").startswith(b"502 ")
    assert user.say("SITE EXEC rm").startswith(b"504 ")
    assert user.say("SITE CHMOD").startswith(b"501 ")


def test_names_that_end_with_a_blank(user):
    """Whatever stands before the name, its blanks are of it."""
    user.storage_file("f ", b"x")
    for line in (
        "SITE CHMOD 640 f ",
        "SITE UTIME 20200102030405 f ",
        "MFMT 20200102030405 f ",
        "MDTM f ",
        "SIZE f ",
    ):
        assert user.say("TYPE I", line).split(b"\r\n")[1][:1] == b"2", line
    assert user.say("SITE UTIME f  20200102030405 20200102030405 20200102030405 UTC ").startswith(b"200 ")


def test_mlst(user):
    """One entry, with its whole path, over the control connection."""
    user.storage_file("f", b"abc")
    lines = user.say("MLST f").split(b"\r\n")
    assert lines[0].startswith(b"250-")
    assert lines[1].startswith(b" type=file;size=3;")
    assert lines[1].endswith(b" /f")
    assert lines[2].startswith(b"250 ")


def test_mlst_tells_the_rights_of_the_entry_itself(make_rig):
    """Patterns of paths may give an entry other rights than its directory."""
    rules = (("/pub/**", frozenset({Right.LIST, Right.READ})),)
    rig = make_rig(account=Account("", path_rights=rules)).login()
    rig.storage.view("/alice", owner="", create=False).make_directory(VirtualPath((b"pub",)))
    assert b"perm=el;" in rig.say("MLST pub")
    assert b"perm=cdeflmp;" in rig.say("MLST /")


def test_stat_of_a_directory_is_bounded(make_rig):
    """STAT of a directory at the limit of entries and one past it."""
    rig = make_rig(options=FTPOptions(status_entries=3)).login()
    for name in ("a", "b", "c"):
        rig.storage_file(name, b"x")
    assert rig.say("STAT /").endswith(b"213 End.\r\n")
    rig.storage_file("d", b"x")
    reply = rig.say("STAT /")
    assert reply.count(b"-rw") == 3
    assert b"213 More entries" in reply


def test_stat_of_a_pattern_takes_turns(user):
    """A pattern that fits nothing of a large directory is looked for in many turns of the reactor."""
    turns = []
    user.protocol.later = turns.append
    for number in range(1500):
        user.storage_file(f"f{number}", b"")
    assert user.say("STAT *.none") == b""
    taken = 0
    while turns:
        turns.pop()()
        taken += 1
    assert user.take() == b"213-Status follows:\r\n213 End.\r\n"
    assert taken >= 15


def test_stat_of_a_pattern_ends_with_its_session(user):
    """Nobody goes on to look for a client that is gone."""
    turns = []
    user.protocol.later = turns.append
    for number in range(1500):
        user.storage_file(f"f{number}", b"")
    user.say("STAT *.none")
    for _ in range(12):
        turns.pop()()
    user.lose()
    turns.pop()()
    assert turns == []


def test_help(user):
    """HELP of everything, of one, of nothing."""
    assert b"RETR" in user.say("HELP")
    assert user.say("HELP retr").startswith(b"214 RETR")
    assert user.say("HELP XYZZY").startswith(b"502 ")


def test_feat_lists_what_works(user):
    """FEAT says no TLS when there is none."""
    reply = user.say("FEAT")
    assert b" UTF8\r\n" in reply
    assert b" REST STREAM\r\n" in reply
    assert b"AUTH" not in reply


def test_charset_of_an_account(make_rig):
    """Names of a gbk account are UTF-8 in the storage and gbk on the wire; OPTS UTF8 ON changes that."""
    rig = make_rig(account=Account("", charset="gbk")).login()
    name = "文件"
    assert rig.raw(b"MKD " + name.encode("gbk") + b"\r\n").startswith(b"257 ")
    assert name.encode("gbk") in rig.raw(b"MLST " + name.encode("gbk") + b"\r\n")
    rig.say("OPTS UTF8 ON")
    assert name.encode() in rig.raw(b"MLST " + name.encode() + b"\r\n")
    rig.say("OPTS UTF8 OFF")
    assert name.encode("gbk") in rig.raw(b"MLST " + name.encode("gbk") + b"\r\n")


@pytest.mark.parametrize("raw", [b"\xff\xff\xfe", b"caf\xe9", b"\x80abc", b"a\rb"])
def test_any_bytes_are_a_name(user, raw):
    """Bytes that are no UTF-8 come back as they were (IAC doubled, CR as CR NUL, on the wire)."""
    wire = raw.replace(b"\r", b"\r\0")
    assert user.raw(b"MKD " + wire + b"\r\n").startswith(b"257 ")
    stored = raw.replace(b"\xff\xff", b"\xff")
    assert stored in {info.name for info in user.session.avatar.list(user.session.path(b"/")).next_batch()}


def test_codec_keeps_what_it_cannot_convert():
    """Bytes outside the charset pass as they are."""
    codec = NameCodec("cp1251")
    assert codec.to_wire("файл".encode()) == "файл".encode("cp1251")
    assert codec.to_storage("файл".encode("cp1251")) == "файл".encode()
    assert codec.to_wire("文".encode()) == "文".encode()
    assert NameCodec("ascii").to_storage(b"\xe9") == b"\xe9"


@pytest.mark.parametrize("charset", ["klingon", "rot13", "base64"])
def test_unknown_charset(charset):
    """A codec that Python lacks, or that is none for text, is a configuration error."""
    with pytest.raises(ConfigError):
        NameCodec(charset)


def test_control_bytes_in_names_cannot_forge_a_reply(user):
    """A name with a line end (made outside FTP) stays within its line."""
    user.session.cwd = user.session.cwd.child(b"x\r\n230 fooled")
    assert user.say("PWD").count(b"\r\n") == 1


def test_nul_is_refused(user):
    """NUL is in no name."""
    assert user.raw(b"MKD a\0b\r\n").startswith(b"501 ")


def test_line_at_and_over_the_limit(make_rig):
    """A line of max_line bytes is read, one byte more is 500, and the session goes on."""
    rig = make_rig(options=FTPOptions(max_line=100)).login()
    assert rig.raw(b"MKD ".ljust(99, b"a") + b"\r\n").startswith(b"257 ")
    assert rig.raw(b"MKD ".ljust(101, b"b") + b"\r\n").startswith(b"500 ")
    assert rig.say("NOOP").startswith(b"200 ")


def test_names_too_long_or_too_deep(user):
    """255 bytes are a name, 256 are not; the depth is bounded as well."""
    assert user.say("MKD " + "n" * 255).startswith(b"257 ")
    assert user.say("MKD " + "n" * 256).startswith(b"553 ")
    assert user.say("CWD " + "a/" * 129).startswith(b"553 ")


def test_rein_brings_the_charset_back(make_rig):
    """The next user of the connection does not inherit a charset."""
    rig = make_rig(account=Account("", charset="gbk")).login()
    assert rig.session.codec.charset == "gbk"
    rig.say("REIN")
    assert rig.session.codec.charset == "utf-8"


def test_opts_utf8_before_login_counts(make_rig):
    """What the client chose is not overruled by its account."""
    rig = make_rig(account=Account("", charset="gbk"))
    rig.say("OPTS UTF8 ON")
    rig.login()
    assert rig.session.codec.charset == "utf-8"


def test_account_with_an_unknown_charset(make_rig):
    """No half login: refused, and logged out."""
    rig = make_rig(account=Account("", charset="klingon"))
    assert rig.say("USER alice", "PASS secret").splitlines()[-1].startswith(b"530 ")
    assert rig.say("PWD").startswith(b"530 ")
    assert rig.session.avatar is None


def test_stat_takes_flags_and_patterns(user):
    """STAT of a path understands what LIST does."""
    for name in ("a.txt", "b.txt", "c.bin"):
        user.storage_file(name, b"x")
    assert user.say("STAT -la /").count(b"-rw") == 3
    assert user.say("STAT *.txt").count(b"-rw") == 2
    assert user.say("STAT c.bin").count(b"-rw") == 1


def test_help_says_nothing_of_tls_without_it(user):
    """Commands that cannot work are not listed."""
    assert b"AUTH" not in user.say("HELP")


def test_a_part_is_not_renamed(user):
    """To its owner SIZE shows it, but it is no file yet: RNFR says so, and not only RNTO."""
    upload = user.session.avatar.open_write(user.session.path(b"part"), WriteIntent())
    upload.write(b"12345")
    upload.suspend()
    user.say("TYPE I")
    assert user.say("SIZE part") == b"213 5\r\n"
    assert user.say("RNFR part").startswith(b"550 ")
    assert user.say("RNTO new").startswith(b"503 ")
    user.storage_file("part", b"old")
    assert user.say("RNFR part").startswith(b"350 ")
    assert user.say("RNTO new").startswith(b"250 ")
    user.say("MKD d")
    assert user.say("RNFR d").startswith(b"350 ")


def test_a_part_is_listed_by_its_name(user):
    """LIST and STAT of one's own part, by which some clients ask for sizes, show what those of its directory do."""
    upload = user.session.avatar.open_write(user.session.path(b"part"), WriteIntent())
    upload.write(b"12345")
    upload.suspend()
    (line,) = [line for line in user.say("STAT /").splitlines() if line.endswith(b" part")]
    assert line in user.say("STAT part").splitlines()
    assert line in user.say("STAT -la part").splitlines()
    assert line in user.say("STAT par?").splitlines()
    assert user.say("STAT other").startswith(b"550 ")


def test_a_name_whose_bytes_look_like_a_pattern_is_none(make_rig):
    """GBK and others have brackets within letters: what is not there is not there, and is no pattern either."""
    rig = make_rig(options=FTPOptions(charset="gbk")).login()
    letter = "碵".encode("gbk")
    assert b"[" in letter
    rig.storage_file("碵x", b"x")
    assert rig.raw(b"STAT nix" + letter + b"\r\n").startswith(b"550 ")
    assert b"-rw" in rig.raw(b"STAT " + letter + b"*\r\n")
    assert rig.raw(b"STAT nix*\r\n").startswith(b"213-")


@pytest.mark.parametrize(
    ("limit", "free", "reply"),
    [
        (None, None, b"550 "),
        (None, 700, b"213 700\r\n"),
        (1000, None, b"213 600\r\n"),
        (1000, 599, b"213 599\r\n"),
        (1000, 601, b"213 600\r\n"),
        (300, 601, b"213 0\r\n"),
    ],
)
def test_available_is_the_least_of_quota_and_disk(user, limit, free, reply):
    """AVBL, where one of them, both or none is known."""
    statuses = () if limit is None else (QuotaStatus(QuotaScope("alice", limit, None), Usage(300, 1, 100)),)
    user.session.avatar = Rooms(statuses, free)
    assert user.say("AVBL").startswith(reply)


@pytest.mark.parametrize("line", ["CWD d", "CDUP"])
def test_a_closed_directory_is_not_entered(user, line):
    """550, and the session stays where it is: a directory that the account may not search."""
    user.say("MKD d", "CWD d")

    @implementer(IEnters)
    class Closed:
        def enter(self, path):
            raise PermissionDenied(bytes(path))

    avatar, user.session.avatar = user.session.avatar, Closed()
    assert user.say(line) == b"550 Permission denied.\r\n"
    user.session.avatar = avatar
    assert b'"/d"' in user.say("PWD")


@implementer(IHasQuota, IHasRoom)
class Rooms:
    """An avatar with limits."""

    def __init__(self, statuses, free):
        self._statuses = statuses
        self._free = free

    def quota(self, path):
        return self._statuses

    def room(self, path):
        return succeed(self._free)

    def logout(self):
        """Nothing to let go of."""
