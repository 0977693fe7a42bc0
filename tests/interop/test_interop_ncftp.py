"""ncftpget, ncftpput and ncftpls against the daemon."""

from __future__ import annotations

import os

import pytest
from interop_support import AWKWARD_NAMES, SIZES, Runner, Site, fill, payload, sha256, tree


def account(site: Site) -> tuple[str, ...]:
    """The options that name the account; retries are few, so that a fault shows."""
    return ("-u", site.user, "-p", site.password, "-P", str(site.port), "-r", "1", "-t", "30")


def get(run: Runner, site: Site, *options: str, remote: str, to: str = ".") -> None:
    """Download into the directory ``to``."""
    run("ncftpget", "-V", *account(site), *options, site.host, to, remote)


def put(run: Runner, site: Site, *options: str, local: str, to: str = "/") -> None:
    """Upload into the directory ``to``."""
    run("ncftpput", "-V", *account(site), *options, site.host, to, local)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    (run.cwd / "file.bin").write_bytes(payload(size))
    put(run, site, local="file.bin")
    assert site.tree() == {"file.bin": sha256(payload(size))}
    (run.cwd / "back").mkdir()
    get(run, site, remote="file.bin", to="back")
    assert tree(run.cwd / "back") == site.tree()


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, run: Runner, name: str) -> None:
    """Names survive both ways."""
    (run.cwd / name).write_bytes(payload(1000))
    put(run, site, local=f"./{name}")
    assert site.tree() == {name: sha256(payload(1000))}
    (run.cwd / "back").mkdir()
    get(run, site, remote=f"./{name}", to="back")
    assert tree(run.cwd / "back") == site.tree()


@pytest.mark.parametrize("mode", ["-F", "-E"])
def test_a_tree_both_ways(site: Site, run: Runner, mode: str) -> None:
    """`-R`, passive and active."""
    expected = fill(run.cwd / "source")
    put(run, site, mode, "-R", local="source")
    assert tree(site.home / "source") == expected
    (run.cwd / "back").mkdir()
    get(run, site, mode, "-R", "-T", remote="source", to="back")
    assert tree(run.cwd / "back" / "source") == expected


def test_resume_of_a_download(site: Site, run: Runner) -> None:
    """`-z` continues the file that is there."""
    site.put("file.bin", payload(3_000_000))
    (run.cwd / "file.bin").write_bytes(payload(3_000_000)[:1_234_567])
    get(run, site, "-z", remote="file.bin")
    assert (run.cwd / "file.bin").read_bytes() == payload(3_000_000)


def test_resume_of_an_upload(site: Site, run: Runner) -> None:
    """`-z` sends the rest. A small file: for large ones ncftp 3.2.6 uses sendfile and forgets the offset."""
    (run.cwd / "file.bin").write_bytes(payload(3000))
    os.utime(run.cwd / "file.bin", (1_000_000_000, 1_000_000_000))
    site.put("file.bin", payload(3000)[:1234])
    put(run, site, "-z", local="file.bin")
    assert site.tree() == {"file.bin": sha256(payload(3000))}


def test_upload_under_a_temporary_suffix(site: Site, run: Runner) -> None:
    """`-T` and `-S` store under another name and rename."""
    (run.cwd / "file.bin").write_bytes(payload(1000))
    put(run, site, "-T", ".tmp-", local="file.bin")
    assert site.tree() == {"file.bin": sha256(payload(1000))}


def test_ascii(site: Site, run: Runner) -> None:
    """`-a` keeps the lines."""
    (run.cwd / "text.txt").write_bytes(b"one\ntwo\n")
    put(run, site, "-a", local="text.txt")
    assert (site.home / "text.txt").read_bytes() == b"one\ntwo\n"
    (run.cwd / "back").mkdir()
    get(run, site, "-a", remote="text.txt", to="back")
    assert (run.cwd / "back/text.txt").read_bytes() == b"one\ntwo\n"


def test_listings(site: Site, run: Runner) -> None:
    """Long and short listings, and a pattern."""
    for name in ("a1.txt", "a2.txt", "b1.txt", ".hidden"):
        site.put(name, name.encode())
    url = f"ftp://{site.user}:{site.password}@{site.host}:{site.port}/"
    assert set(run("ncftpls", "-1", url).stdout.split()) - {".hidden"} == {"a1.txt", "a2.txt", "b1.txt"}
    long = run("ncftpls", "-l", "-a", url).stdout
    assert ".hidden" in long
    assert "a1.txt" in long
