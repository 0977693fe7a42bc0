"""Python's ftplib against the daemon, and what only a hand-driven session can do."""

from __future__ import annotations

import ftplib
import io
import socket

import pytest
from interop_support import AWKWARD_NAMES, BIG, SIZES, Site, payload, sha256


def retrieve(ftp: ftplib.FTP, name: str, rest: int | None = None) -> bytes:
    """The bytes of a file, from ``rest`` on."""
    into = io.BytesIO()
    ftp.retrbinary(f"RETR {name}", into.write, rest=rest)
    return into.getvalue()


def lines(ftp: ftplib.FTP, command: str) -> list[str]:
    """The lines of a listing."""
    found: list[str] = []
    ftp.retrlines(command, found.append)
    return found


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, size: int, passive: bool) -> None:
    """Empty, one byte and 64 MiB, passive and active."""
    with site.connect() as ftp:
        ftp.set_pasv(passive)
        ftp.storbinary("STOR file.bin", io.BytesIO(payload(size)))
        assert site.tree() == {"file.bin": sha256(payload(size))}
        assert sha256(retrieve(ftp, "file.bin")) == sha256(payload(size))


@pytest.mark.parametrize("passive", [True, False])
def test_ipv6(site: Site, passive: bool) -> None:
    """EPSV and EPRT over ::1."""
    with site.connect(ipv6=True) as ftp:
        ftp.set_pasv(passive)
        ftp.storbinary("STOR file.bin", io.BytesIO(payload(300_000)))
        assert retrieve(ftp, "file.bin") == payload(300_000)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, name: str) -> None:
    """Stored, listed three ways, renamed and deleted under the same name."""
    with site.connect() as ftp:
        ftp.storbinary(f"STOR {name}", io.BytesIO(b"12345"))
        assert site.tree() == {name: sha256(b"12345")}
        assert name in ftp.nlst()
        assert name in [found for found, _ in ftp.mlsd()]
        assert any(line.endswith(name) for line in lines(ftp, "LIST"))
        ftp.voidcmd("TYPE I")
        assert ftp.size(name) == 5
        ftp.rename(name, f"{name}.new")
        ftp.delete(f"{name}.new")
        assert site.tree() == {}


def test_names_as_directories(site: Site) -> None:
    """MKD, CWD and PWD give an awkward name back as it was, quotes doubled on the wire."""
    with site.connect() as ftp:
        for name in AWKWARD_NAMES:
            assert ftp.mkd(name) == f"/{name}"
            ftp.cwd(name)
            assert ftp.pwd() == f"/{name}"
            ftp.cwd("..")
            ftp.rmd(name)
        assert ftp.pwd() == "/"


def test_resume_both_ways(site: Site) -> None:
    """REST before RETR and before STOR, and APPE."""
    data = payload(300_000)
    with site.connect() as ftp:
        site.put("file.bin", data)
        assert retrieve(ftp, "file.bin", rest=123_456) == data[123_456:]
        site.put("up.bin", data[:100_000])
        ftp.storbinary("STOR up.bin", io.BytesIO(data[100_000:200_000]), rest=100_000)
        ftp.storbinary("APPE up.bin", io.BytesIO(data[200_000:]))
        assert (site.home / "up.bin").read_bytes() == data


def test_ascii_both_ways(site: Site) -> None:
    """Lines end in CR LF on the wire and in LF on disk; a bare CR inside a line stays."""
    with site.connect() as ftp:
        ftp.storlines("STOR up.txt", io.BytesIO(b"one\r\ntwo\nlast"))
        assert (site.home / "up.txt").read_bytes() == b"one\ntwo\nlast\n"
        assert lines(ftp, "RETR up.txt") == ["one", "two", "last"]
        ftp.voidcmd("TYPE A")
        with ftp.transfercmd("RETR up.txt") as data:
            received = b"".join(iter(lambda: data.recv(4096), b""))
        ftp.voidresp()
        assert received == b"one\r\ntwo\r\nlast\r\n"


@pytest.mark.parametrize("flags", ["", "-a", "-l", "-la", "-al", "-a -l"])
def test_listing_flags(site: Site, flags: str) -> None:
    """Flags are no file names; `a` decides about dot files alone."""
    for name in ("plain.txt", ".hidden", "sub/inner.txt"):
        site.put(name, b"12345")
    with site.connect() as ftp:
        found = {line.split()[-1] for line in lines(ftp, f"LIST {flags}".strip())}
        assert {"plain.txt", "sub"} <= found
        if "a" in flags:
            assert ".hidden" in found
        found = {line.split()[-1] for line in lines(ftp, f"LIST {flags} sub".replace("  ", " "))}
        assert found - {".", ".."} == {"inner.txt"}


@pytest.mark.parametrize(("pattern", "expected"), [
    ("*.txt", {"a1.txt", "a2.txt"}),
    ("a?.txt", {"a1.txt", "a2.txt"}),
    ("a[2-9].txt", {"a2.txt"}),
    ("-la *.bin", {"b1.bin"}),
    ("sub/*.txt", {"c1.txt"}),
])  # fmt: skip
def test_globs_in_the_last_component(site: Site, pattern: str, expected: set[str]) -> None:
    """LIST and NLST with a pattern."""
    for name in ("a1.txt", "a2.txt", "b1.bin", "sub/c1.txt"):
        site.put(name, b"x")
    with site.connect() as ftp:
        assert {line.split()[-1].rpartition("/")[2] for line in lines(ftp, f"LIST {pattern}")} == expected
        assert {name.rpartition("/")[2] for name in lines(ftp, f"NLST {pattern}")} == expected


def test_abor_in_a_transfer_and_the_session_lives(site: Site) -> None:
    """ABOR as urgent data, the way ftplib and classic clients send it; then a download and an upload."""
    site.put("big.bin", payload(BIG))
    with site.connect() as ftp:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("RETR big.bin") as data:
            assert data.recv(1000)
            first = ftp.abort()
        if first.startswith("426"):
            assert ftp.voidresp().startswith(("225", "226"))
        ftp.voidcmd("NOOP")
        assert retrieve(ftp, "big.bin", rest=BIG - 5) == payload(BIG)[-5:]
        ftp.storbinary("STOR small.bin", io.BytesIO(b"12345"))
        assert (site.home / "small.bin").read_bytes() == b"12345"


def test_abor_of_an_upload_leaves_no_whole_file(site: Site) -> None:
    """An upload that is cut off by ABOR is not under its name as if it were whole."""
    with site.connect() as ftp:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("STOR up.bin") as data:
            data.sendall(payload(100_000))
            first = ftp.abort()
        if first.startswith("426"):
            ftp.voidresp()
        ftp.voidcmd("NOOP")
    whole = site.home / "up.bin"
    assert not whole.exists()


@pytest.mark.parametrize("urgent", [b"\xff\xf2", b"\xff\xf4\xff\xf2"])
def test_telnet_interrupt_and_synch(site: Site, urgent: bytes) -> None:
    """IAC IP, IAC DM with the urgent mark on its last byte, then ABOR: RFC 959 section 4.1.3."""
    site.put("big.bin", payload(BIG))
    with site.connect() as ftp:
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd("RETR big.bin") as data:
            assert data.recv(1000)
            assert isinstance(ftp.sock, socket.socket)
            ftp.sock.send(b"\xff\xf4")
            ftp.sock.send(urgent, socket.MSG_OOB)
            ftp.sock.sendall(b"ABOR\r\n")
            assert ftp.getmultiline().startswith("426")
        assert ftp.voidresp().startswith(("225", "226"))
        assert ftp.voidcmd("NOOP").startswith("200")


def test_abor_with_nothing_to_abort(site: Site) -> None:
    """It is answered at once."""
    with site.connect() as ftp:
        ftp.putcmd("ABOR")
        assert ftp.voidresp().startswith(("225", "226"))
        ftp.voidcmd("NOOP")


def test_data_connection_dropped_by_the_client(site: Site) -> None:
    """A client that closes the data connection early gets its reply, and goes on."""
    site.put("big.bin", payload(BIG))
    with site.connect() as ftp:
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("RETR big.bin")
        assert data.recv(1000)
        data.close()
        with pytest.raises(ftplib.error_temp, match=r"^4"):
            ftp.voidresp()
        assert retrieve(ftp, "big.bin", rest=BIG - 5) == payload(BIG)[-5:]


def test_facts_and_times(site: Site) -> None:
    """SIZE, MDTM, MLST and MFMT agree with the disk."""
    path = site.put("file.bin", b"12345")
    with site.connect() as ftp:
        ftp.voidcmd("TYPE I")
        ftp.voidcmd("MFMT 20200102030405 file.bin")
        assert path.stat().st_mtime == 1577934245
        assert ftp.voidcmd("MDTM file.bin") == "213 20200102030405"
        assert ftp.size("file.bin") == 5
        facts = dict(ftp.mlsd(facts=["type", "size", "modify"]))["file.bin"]
        assert (facts["type"], facts["size"], facts["modify"]) == ("file", "5", "20200102030405")


def test_unique_names(site: Site) -> None:
    """STOU twice makes two files and says their names."""
    with site.connect() as ftp:
        for number in range(2):
            ftp.storbinary("STOU", io.BytesIO(b"%d" % number))
    assert sorted(path.read_bytes() for path in site.home.iterdir()) == [b"0", b"1"]


def test_a_session_starts_over(site: Site) -> None:
    """REIN forgets the user; USER and PASS log in again."""
    with site.connect() as ftp:
        assert ftp.sendcmd("REIN").startswith("2")
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            ftp.sendcmd("PWD")
        ftp.login(site.user, site.password)
        assert ftp.pwd() == "/"
