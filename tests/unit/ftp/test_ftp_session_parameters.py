"""TYPE, PASV, EPSV, PORT, EPRT, REST, OPTS: what is set, what is refused."""

from __future__ import annotations

import pytest

from twisted_xfer.errors import Busy
from twisted_xfer.interfaces import TransferMode
from twisted_xfer.protocols.ftp.options import FTPOptions


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("I", b"200"),
        ("A", b"200"),
        ("A N", b"200"),
        ("L 8", b"200"),
        ("E", b"504"),
        ("L 7", b"504"),
        ("X", b"501"),
    ],
)
def test_type(user, argument, code):
    """The types of RFC 959 that anybody uses."""
    assert user.say(f"TYPE {argument}")[:3] == code


def test_mode_and_structure(user):
    """Stream and file, and nothing else."""
    assert user.say("MODE S", "STRU F").count(b"200 ") == 2
    assert user.say("MODE B", "STRU R").count(b"504 ") == 2


def test_pasv(user):
    """227 with our address and the port."""
    assert b"(127,0,0,1,195,80)" in user.say("PASV")


def test_pasv_on_ipv6(make_rig):
    """PASV has no room for an IPv6 address; EPSV works."""
    rig = make_rig(local="::1", peer="::1").login()
    assert rig.say("PASV").startswith(b"425 ")
    assert b"(|||50000|)" in rig.say("EPSV")
    assert rig.say("EPSV 2").startswith(b"229 ")
    assert rig.say("EPSV 1").startswith(b"522 ")


def test_epsv_protocols(user):
    """EPSV with a protocol number: ours, the other, an unknown one."""
    assert user.say("EPSV 1").startswith(b"229 ")
    assert user.say("EPSV 2").startswith(b"522 ")
    assert user.say("EPSV 3").startswith(b"522 ")


def test_epsv_all(user):
    """After EPSV ALL only EPSV is left."""
    assert user.say("EPSV ALL").startswith(b"200 ")
    for line in ("PASV", "PORT 127,0,0,1,10,10", "EPRT |1|127.0.0.1|5000|"):
        assert user.say(line).startswith(b"501 "), line
    assert user.say("EPSV").startswith(b"229 ")


def test_range_used_up(user):
    """No free port: 425, and the session works on."""
    user.data_ports.error = Busy()
    assert user.say("PASV").startswith(b"425 ")
    assert user.say("NOOP").startswith(b"200 ")


@pytest.mark.parametrize(
    "line",
    [
        "PORT 203,0,113,5,10,10",
        "EPRT |1|203.0.113.5|5000|",
        "PORT 127,0,0,1,3,255",
        "EPRT |1|127.0.0.1|1023|",
        "EPRT |2|2001:db8::1|5000|",
        "PORT 127,0,0,1",
        "PORT 127,0,0,1,300,1",
        "EPRT |1|example.com|5000|",
    ],
)
def test_active_mode_refuses(user, line):
    """Other hosts, privileged ports and nonsense are 501, and nobody is dialled."""
    assert user.say(line).startswith(b"501 ")
    user.storage_file("f", b"x")
    assert user.say("RETR f").startswith(b"425 ")
    assert user.data_ports.dialled == []


def test_active_mode(user):
    """The client's own address and the lowest port allowed."""
    user.storage_file("f", b"x")
    user.transfers.instant = True
    assert user.say("PORT 127,0,0,1,4,0").startswith(b"200 ")
    assert user.say("RETR f").startswith(b"150 ")
    assert user.data_ports.dialled == [("127.0.0.1", 1024)]


def test_mapped_address_is_the_same_host(make_rig):
    """A client that came over IPv6 with a mapped IPv4 address may name it as IPv4."""
    rig = make_rig(local="::ffff:127.0.0.1", peer="::ffff:127.0.0.1").login()
    assert rig.say("EPRT |1|127.0.0.1|5000|").startswith(b"200 ")


def test_active_mode_switched_off(make_rig):
    """The administrator may forbid it."""
    rig = make_rig(options=FTPOptions(active=False)).login()
    assert rig.say("PORT 127,0,0,1,10,10").startswith(b"502 ")


@pytest.mark.parametrize("argument", ["-1", "x", "9223372036854775808", "1 2", "0x10"])
def test_rest_refuses(user, argument):
    """REST takes an octet count."""
    user.say("TYPE I")
    assert user.say(f"REST {argument}").startswith(b"501 ")


def test_rest_at_its_limit_and_beyond_the_end(user):
    """A huge offset is a number; that the file is shorter shows at RETR."""
    user.storage_file("f", b"data")
    user.say("TYPE I", "EPSV")
    assert user.say("REST 9223372036854775807").startswith(b"350 ")
    assert user.say("RETR f").startswith(b"554 ")
    user.say("EPSV")
    assert user.say("REST 5").startswith(b"350 ")
    assert user.say("RETR f").startswith(b"554 ")
    user.data_ports.ports[-1].channel = object()
    assert user.say("REST 4", "RETR f").endswith(b"connection.\r\n")


def test_rest_in_ascii(user):
    """Restart markers are octets: not in ASCII, whenever TYPE changes."""
    user.say("TYPE A")
    assert user.say("REST 1").startswith(b"501 ")
    assert user.say("REST 0").startswith(b"350 ")
    user.say("TYPE I", "REST 1", "TYPE A", "EPSV")
    user.storage_file("f", b"data")
    assert user.say("RETR f").startswith(b"501 ")


def test_rest_is_used_up(user):
    """One REST serves one transfer, and reaches the storage."""
    user.storage_file("f", b"data")
    user.transfers.instant = True
    user.say("TYPE I")
    for rest, offset in (("REST 2", 2), ("NOOP", 0)):
        user.say(rest, "EPSV")
        user.data_ports.ports[-1].channel = object()
        user.say("RETR f")
        assert user.transfers.made[-1].file.offset == offset


@pytest.mark.parametrize("line", ["RETR f", "STOR f", "APPE f", "STOU f"])
def test_rest_and_allo_are_used_up_by_a_transfer_that_is_refused(user, line):
    """What was said of one file is not taken for another one because there was no data connection."""
    user.storage_file("f", b"data")
    user.say("TYPE I", "ALLO 9", "REST 3")
    assert user.say(line).startswith(b"425 ")
    assert user.session.sequence.restart == 0
    user.say("EPSV")
    user.data_ports.ports[-1].channel = object()
    assert user.say("RETR f").startswith(b"150 ")
    assert user.transfers.made[-1].file.offset == 0
    assert (user.session.size_hint is None) is (line != "RETR f")


def test_mode_reaches_the_transfer(user):
    """ASCII until TYPE I, as RFC 959 has it."""
    user.storage_file("f", b"data")
    user.transfers.instant = True
    for line, mode in (("TYPE A", TransferMode.ASCII), ("TYPE I", TransferMode.IMAGE)):
        user.say(line, "EPSV")
        user.data_ports.ports[-1].channel = object()
        user.say("RETR f")
        assert user.transfers.made[-1].mode is mode


def test_opts(user):
    """UTF8 and MLST can be set, the rest is 501."""
    assert user.say("OPTS UTF8 ON").startswith(b"200 ")
    assert user.say("OPTS UTF8 OFF").startswith(b"200 ")
    assert user.say("OPTS UTF8 MAYBE").startswith(b"501 ")
    assert user.say("OPTS MLST size;modify;nonsense;") == b"200 MLST OPTS size;modify;\r\n"
    assert user.say("OPTS MLST") == b"200 MLST OPTS\r\n"
    assert user.say("OPTS HASH SHA-1").startswith(b"501 ")
    assert b"MLST type;size;modify;" in user.say("FEAT")


def test_allo_is_a_hint(user):
    """ALLO reaches the storage as the announced size, once."""
    assert user.say("ALLO 12").startswith(b"200 ")
    assert user.session.size_hint == 12
    assert user.say("ALLO 12 R 1").startswith(b"200 ")
    assert user.say("ALLO many").startswith(b"501 ")
