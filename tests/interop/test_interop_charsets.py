"""Names on the wire and on the disk."""

from __future__ import annotations

import io
import os

from interop_support import Site


def test_utf8_is_announced_and_may_be_asked_for(site: Site) -> None:
    """OPTS UTF8 ON is agreed to, in the spellings that clients use."""
    with site.connect() as ftp:
        assert " UTF8" in ftp.sendcmd("FEAT").splitlines()
        for command in ("OPTS UTF8 ON", "opts utf8 on", "OPTS UTF-8 ON"):
            assert ftp.sendcmd(command).startswith("2"), command
        ftp.storbinary("STOR 文件.txt", io.BytesIO(b"x"))
        assert ftp.nlst() == ["文件.txt"]
    assert os.listdir(os.fsencode(site.home)) == ["文件.txt".encode()]


def test_bytes_that_are_no_utf8_come_back_as_they_were(site: Site) -> None:
    """A name that another program left in another charset is listed, fetched and deleted by its bytes."""
    raw = "старый.txt".encode("cp1251")
    path = os.path.join(os.fsencode(site.home), raw)
    with open(path, "wb") as file:
        file.write(b"12345")
    name = raw.decode("latin-1")
    with site.connect(encoding="latin-1") as ftp:
        assert ftp.nlst() == [name]
        into = io.BytesIO()
        ftp.retrbinary(f"RETR {name}", into.write)
        assert into.getvalue() == b"12345"
        ftp.delete(name)
    assert not os.path.exists(path)


def test_an_account_with_gbk(gbk_site: Site) -> None:
    """The wire carries GBK, the disk UTF-8, and listings are in GBK again."""
    with gbk_site.connect(encoding="gbk") as ftp:
        ftp.mkd("目录")
        ftp.storbinary("STOR 目录/中文文件.txt", io.BytesIO(b"x"))
        assert [name.rpartition("/")[2] for name in ftp.nlst("目录")] == ["中文文件.txt"]
        assert ftp.cwd("目录").startswith("250")
        assert ftp.pwd() == "/目录"
    assert (gbk_site.home / "目录/中文文件.txt").read_bytes() == b"x"


def test_an_account_with_gbk_that_turns_to_utf8(gbk_site: Site) -> None:
    """OPTS UTF8 ON overrules the account's charset for the session."""
    gbk_site.put("中文.txt", b"x")
    with gbk_site.connect() as ftp:
        assert ftp.sendcmd("OPTS UTF8 ON").startswith("200")
        assert "中文.txt" in ftp.nlst()
